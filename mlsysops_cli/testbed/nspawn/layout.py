"""Where everything of a testbed on this machine is, and the names of all that it makes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict, InvalidInput

from mlsysops_cli.testbed.model import Testbed

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.testbed.model import Machine

__all__ = ["DEFAULT_SUBNET", "Layout", "link", "namespace"]

DEFAULT_SUBNET = "10.78.0.0/24"


def namespace(machine: Machine) -> str:
    """Name of a host's network namespace."""
    return f"mls-{machine.name}"


def link(machine: Machine) -> str:
    """Name of a host's interface on this machine's side; Linux allows 15 characters."""
    return f"mlstb-{machine.name}"


@dataclass(frozen=True, slots=True)
class Layout(Testbed):
    """A testbed of systemd-nspawn.

    Attributes:
        subnet: The private network, an IPv4 /24.
    """

    subnet: ipaddress.IPv4Network

    bridge = "mlstb0"
    table = "mls_testbed"
    group = "mls-testbed"

    @classmethod
    def of(cls, bed: Testbed, subnet: str = "") -> Layout:
        """Return how a testbed is laid out.

        Args:
            bed: The testbed.
            subnet: The private network; that of the testbed that is up, or the default, where empty.

        Raises:
            InvalidInput: The subnet is no IPv4 /24.
            Conflict: A testbed with another subnet is up.
        """
        kept = bed.directory / "subnet"
        known = kept.read_text(encoding="ascii").strip() if kept.is_file() else ""
        if known and subnet and known != subnet:
            raise Conflict(f"a testbed is up on {known}", hint="remove it first with `mls testbed down`")
        subnet = subnet or known or DEFAULT_SUBNET
        try:
            network = ipaddress.IPv4Network(subnet)
        except ValueError as exc:
            raise InvalidInput(f"subnet {subnet!r}: {exc}", hint=f"an IPv4 /24 such as {DEFAULT_SUBNET}") from exc
        if network.prefixlen != 24:
            raise InvalidInput(f"subnet {subnet} is no /24", hint=f"an IPv4 /24 such as {DEFAULT_SUBNET}")
        return cls(directory=bed.directory, cache=bed.cache, subnet=network)

    @property
    def kept_subnet(self) -> Path:
        """Holds the subnet of the testbed that is up."""
        return self.directory / "subnet"

    @property
    def gateway(self) -> str:
        """Address of this machine on the bridge."""
        return str(self.subnet[1])

    @property
    def isolated(self) -> Path:
        """Is there where the hosts reach each other and this machine only."""
        return self.directory / "isolated"

    @property
    def base(self) -> Path:
        """The unpacked image: lower directory of every host's overlay."""
        return self.directory / "base"

    def address(self, machine: Machine) -> str:
        """Return a host's address."""
        return str(self.subnet[machine.number])

    def place(self, machine: Machine) -> Path:
        """Return a host's directory."""
        return self.directory / "hosts" / machine.name

    def root(self, machine: Machine) -> Path:
        """Return where a host's file system is mounted."""
        return self.place(machine) / "root"
