"""A testbed's hosts as containers of systemd-nspawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mlsysops_cli.files import write_private
from mlsysops_cli.testbed.backend import Condition
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.nspawn import cgroups, image, machine, network
from mlsysops_cli.testbed.nspawn.ability import check_network, check_rights
from mlsysops_cli.testbed.nspawn.programs import require, require_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_cli.testbed.model import Machine
    from mlsysops_cli.testbed.nspawn.layout import Layout

__all__ = ["Nspawn"]


class Nspawn:
    """The backend `mlsysops_cli.testbed.backend.Backend` on this machine.

    Args:
        layout: Where everything is.
        isolated: The hosts reach each other and this machine only.
    """

    jump = ""

    def __init__(self, layout: Layout, *, isolated: bool = False) -> None:
        self.layout = layout
        self._isolated = isolated

    def check(self, *, install: bool) -> None:
        """See `Backend`."""
        require_root()
        check_rights(self.layout.directory)  # before packages are installed in vain
        require(install=install)
        check_network()

    def require(self) -> None:
        """See `Backend`."""
        require(install=False)

    def remember(self) -> None:
        """See `Backend`."""
        write_private(self.layout.kept_subnet, f"{self.layout.subnet}\n")

    def make(self, note: Callable[[str], None]) -> None:
        """See `Backend`."""
        if not image.tarball(self.layout).is_file():
            note("building the hosts' image; once, about a minute")
        image.ensure_base(self.layout)
        network.network_up(self.layout, isolated=self._isolated)
        mark = self.layout.isolated
        mark.touch() if self._isolated else mark.unlink(missing_ok=True)
        for host in HOSTS:
            machine.start(self.layout, host)

    def host_key(self, host: Machine) -> str:
        """See `Backend`."""
        path = self.layout.root(host) / "etc/ssh/ssh_host_ed25519_key.pub"
        return " ".join(path.read_text(encoding="ascii").split()[:2])

    def wait_for_ssh(self, host: Machine) -> None:
        """See `Backend`."""
        machine.wait_for_ssh(self.layout, host)

    def conditions(self) -> dict[str, Condition]:
        """See `Backend`."""
        return {
            host.name: Condition(
                address=self.layout.address(host),
                on=machine.running(self.layout, host) is not None,
                plugged=network.carrier(host),
            )
            for host in HOSTS
        }

    def start(self, host: Machine) -> None:
        """See `Backend`."""
        machine.start(self.layout, host)
        machine.wait_for_ssh(self.layout, host)

    def stop(self, host: Machine) -> None:
        """See `Backend`."""
        machine.stop(self.layout, host)

    def crash(self, host: Machine) -> None:
        """See `Backend`."""
        machine.crash(self.layout, host)

    def set_link(self, host: Machine, *, up: bool) -> None:
        """See `Backend`."""
        network.set_link(host, up=up)

    def partition(self, one: Machine, other: Machine) -> None:
        """See `Backend`."""
        network.partition(self.layout, one, other)

    def mend(self) -> None:
        """See `Backend`."""
        network.mend(self.layout)

    def remove(self) -> None:
        """See `Backend`."""
        if not network.made_here(self.layout):
            return
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            for stopping in [pool.submit(machine.stop, self.layout, host) for host in HOSTS]:
                stopping.result()
        for host in HOSTS:
            machine.remove(self.layout, host)
        network.network_down(self.layout)
        cgroups.remove(self.layout.group)
