"""What a testbed consists of, whatever makes it: its hosts with their limits, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import platformdirs
from mlsysops_core.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HOSTS", "Machine", "Testbed"]


@dataclass(frozen=True, slots=True)
class Machine:
    """One host.

    Attributes:
        name: Host name.
        number: Its number, in the last octet of its address where the testbed chooses addresses.
        memory: Limit of the whole host in bytes.
        cpu: Limit in cores.
    """

    name: str
    number: int
    memory: int
    cpu: float = 1.0


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
    """

    directory: Path
    cache: Path

    @classmethod
    def here(cls) -> Testbed:
        """Return this user's testbed."""
        return Testbed(
            directory=platformdirs.user_data_path("mlsysops") / "testbed",
            cache=platformdirs.user_cache_path("mlsysops") / "testbed",
        )

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

    def machine(self, name: str) -> Machine:
        """Return a host by name.

        Raises:
            NotFound: There is none of that name.
        """
        for machine in HOSTS:
            if machine.name == name:
                return machine
        raise NotFound(f"no host {name!r} in the testbed", hint=f"hosts: {', '.join(m.name for m in HOSTS)}")
