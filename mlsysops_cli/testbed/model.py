"""What a testbed consists of: its hosts, their addresses and limits, and the names of everything it makes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from mlsysops_core.errors import Conflict, InvalidInput, NotFound

__all__ = ["DEFAULT_SUBNET", "HOSTS", "Machine", "Testbed"]

DEFAULT_SUBNET = "10.78.0.0/24"


@dataclass(frozen=True, slots=True)
class Machine:
    """One host.

    Attributes:
        name: Host name.
        number: Last octet of its address.
        memory: Limit of the whole host in bytes.
        cpu: Limit in cores.
    """

    name: str
    number: int
    memory: int
    cpu: float = 1.0

    @property
    def namespace(self) -> str:
        """Name of its network namespace."""
        return f"mls-{self.name}"

    @property
    def link(self) -> str:
        """Name of its interface on this machine's side; Linux allows 15 characters."""
        return f"mlstb-{self.name}"


_GIB = 1024**3
HOSTS = (
    Machine("mgmt", 10, 2 * _GIB),
    Machine("server", 11, 2 * _GIB),
    Machine("worker1", 12, 2 * _GIB),
    Machine("worker2", 13, 2 * _GIB),
    Machine("edge", 20, _GIB // 2, 0.5),
)


@dataclass(frozen=True, slots=True)
class Testbed:
    """Where everything of the testbed is.

    Attributes:
        directory: Its state.
        cache: Where images are kept between testbeds.
        subnet: The private network, an IPv4 /24.
    """

    directory: Path
    cache: Path
    subnet: ipaddress.IPv4Network

    bridge = "mlstb0"
    table = "mls_testbed"
    group = "mls-testbed"

    @classmethod
    def here(cls, subnet: str = "") -> Testbed:
        """Return this user's testbed.

        Args:
            subnet: Its private network; that of the testbed which is up, or the usual one, where empty.

        Raises:
            InvalidInput: The subnet is no IPv4 /24.
            Conflict: A testbed with another subnet is up.
        """
        directory = platformdirs.user_data_path("mlsysops") / "testbed"
        kept = directory / "subnet"
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
        return cls(
            directory=directory,
            cache=platformdirs.user_cache_path("mlsysops") / "testbed",
            subnet=network,
        )

    @property
    def gateway(self) -> str:
        """Address of this machine on the bridge."""
        return str(self.subnet[1])

    @property
    def key(self) -> Path:
        """Private SSH key that opens every host."""
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' SSH keys."""
        return self.directory / "known_hosts"

    @property
    def inventory(self) -> Path:
        """The inventory that describes the hosts."""
        return self.directory / "inventory.yml"

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

    def machine(self, name: str) -> Machine:
        """Return a host by name.

        Raises:
            NotFound: There is none of that name.
        """
        for machine in HOSTS:
            if machine.name == name:
                return machine
        raise NotFound(f"no host {name!r} in the testbed", hint=f"hosts: {', '.join(m.name for m in HOSTS)}")
