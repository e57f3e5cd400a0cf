"""A testbed's hosts as instances of Incus or LXD."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from mlsysops_core.errors import NotFound, Unreachable, UsageError

from mlsysops_cli.testbed.backend import Condition
from mlsysops_cli.testbed.incus.client import Client
from mlsysops_cli.testbed.incus.inside import Inside
from mlsysops_cli.testbed.incus.instances import Instances
from mlsysops_cli.testbed.incus.network import address_of, plugged
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.ssh import answers
from mlsysops_cli.testbed.tools import run, which

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlsysops_cli.testbed.incus.place import Place
    from mlsysops_cli.testbed.model import Machine, Testbed

__all__ = ["Incus"]

_T = TypeVar("_T")
#: Seconds until an SSH server that runs answers from here.
_REACHED = 30.0


class Incus:
    """The backend `mlsysops_cli.testbed.backend.Backend` on a server of Incus or LXD.

    Args:
        bed: The testbed.
        place: Where its hosts are.
    """

    def __init__(self, bed: Testbed, place: Place) -> None:
        self._bed = bed
        self._place = place
        self._client = Client(place)
        self._instances = Instances(place, self._client)
        self._inside = Inside(place, self._client)

    @property
    def jump(self) -> str:
        """See `Backend`."""
        return self._place.ssh_jump

    def check(self, *, install: bool) -> None:
        """See `Backend`; nothing is installed for this one."""
        self.require()
        for program in ("ssh", "ssh-keygen"):
            if not which(program):
                raise UsageError(f"{program} is not installed", hint="apt-get install openssh-client")
        self._instances.check()

    def require(self) -> None:
        """See `Backend`."""
        self._client.require()

    def remember(self) -> None:
        """See `Backend`."""
        self._place.save(self._bed)

    def make(self, note: Callable[[str], None]) -> None:
        """See `Backend`."""
        devices = self._instances.check()
        there = self._instances.all()
        missing = [host for host in HOSTS if self._place.instance(host) not in there]
        if missing:
            note(f"making {len(missing)} hosts on {self._place.remote} of {self._place.image}")
            self._instances.make(missing[0], devices)  # alone: it may have to fetch the image
            _each(missing[1:], lambda host: self._instances.make(host, devices))
        key = self._bed.key.with_suffix(".pub").read_text(encoding="ascii").strip()

        def boot(host: Machine) -> str:
            self._instances.switch(host, "start")
            address = self._instances.wait_for_address(host)
            self._inside.prepare(host, key)
            return address

        addresses = dict(zip((host.name for host in HOSTS), _each(HOSTS, boot), strict=True))
        self._place = self._place.model_copy(update={"addresses": addresses})
        self._place.save(self._bed)
        _each(HOSTS, lambda host: self._inside.name_hosts(host, addresses))

    def host_key(self, machine: Machine) -> str:
        """See `Backend`."""
        return self._inside.host_key(machine)

    def wait_for_ssh(self, machine: Machine) -> None:
        """See `Backend`.

        Raises:
            Unreachable: The host is up, but cannot be reached from here.
        """
        address = self._place.addresses.get(machine.name, "")
        deadline = time.monotonic() + _REACHED
        while True:
            said = self._log_in(address) if self.jump else "" if answers(address) else "nothing answers"
            if not said:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        where = f"host {machine.name} is up at {address} in a network of {self._place.remote}"
        if self.jump:
            hint = f"`ssh {self.jump}` must work without a question, and reach {address} from there"
            raise Unreachable(f"{where}, but cannot be reached through {self.jump}: {said}", hint=hint)
        hint = "route that network here, give the hosts one that is (--profile), or go through the server: --ssh-jump USER@HOST"
        raise Unreachable(f"{where}, and cannot be reached from here", hint=hint)

    def conditions(self) -> dict[str, Condition]:
        """See `Backend`."""
        there = self._instances.all()
        found = {}
        for host in HOSTS:
            instance = there.get(self._place.instance(host))
            known = self._place.addresses.get(host.name, "")
            if instance is None:
                found[host.name] = Condition(address=known, on=False, plugged=False)
            else:
                found[host.name] = Condition(
                    address=address_of(instance) or known,
                    on=instance["status"] == "Running",
                    plugged=plugged(instance),
                )
        return found

    def start(self, machine: Machine) -> None:
        """See `Backend`."""
        self._instances.switch(machine, "start")
        if plugged(self._instances.find(machine)):
            self._instances.wait_for_address(machine)
            self.wait_for_ssh(machine)

    def stop(self, machine: Machine) -> None:
        """See `Backend`."""
        self._instances.switch(machine, "stop")

    def crash(self, machine: Machine) -> None:
        """See `Backend`."""
        self._instances.switch(machine, "stop", force=True)

    def set_link(self, machine: Machine, *, up: bool) -> None:
        """See `Backend`."""
        self._instances.set_link(machine, up=up)

    def partition(self, one: Machine, other: Machine) -> None:
        """See `Backend`; access lists of a bridge do not hold between its own guests, so the hosts themselves do it."""
        for host, peer in ((one, other), (other, one)):
            self._inside.part(host, self._address(peer))

    def mend(self) -> None:
        """See `Backend`; a host that is off has forgotten its partition."""
        there = self._instances.all()
        for host in HOSTS:
            if (there.get(self._place.instance(host)) or {}).get("status") == "Running":
                self._inside.mend(host)

    def remove(self) -> None:
        """See `Backend`."""
        self._instances.remove()

    def _address(self, machine: Machine) -> str:
        address = self._place.addresses.get(machine.name, "")
        if not address:
            raise NotFound(f"host {machine.name} was never up", hint="run `mls testbed up`")
        return address

    def _log_in(self, address: str) -> str:
        """Log in through the jump host, and return what is said where that fails."""
        options = (
            "BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self._bed.known_hosts}", f"ProxyJump={self.jump}",
        )  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        done = run("ssh", *words, "-i", str(self._bed.key), f"root@{address}", "true", check=False, timeout=60)
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return "" if done.returncode == 0 else lines[0]


def _each(hosts: Sequence[Machine], action: Callable[[Machine], _T]) -> list[_T]:
    """Do something to hosts at one time, and return what came of it in their order."""
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        return list(pool.map(action, hosts))
