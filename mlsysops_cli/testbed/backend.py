"""What makes, breaks and removes a testbed's hosts: the contract of every backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_cli.testbed.model import Machine

__all__ = ["Backend", "Condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a host is.

    Attributes:
        address: Its IPv4 address; empty where it never had one.
        on: Whether it is switched on.
        plugged: Whether its cable is plugged in.
    """

    address: str
    on: bool
    plugged: bool


class Backend(Protocol):
    """One testbed's hosts. What it needs to find them again it keeps in the testbed's directory.

    The methods that change something are called while the testbed is locked, and each may be called again after a
    run that was killed at any instant. Errors are of the one tree in `mlsysops_core.errors`.
    """

    @property
    def jump(self) -> str:
        """SSH destination through which the hosts are reached (ProxyJump of ssh_config(5)); empty where directly."""
        ...

    def check(self, *, install: bool) -> None:
        """Find out whether hosts can be made, before anything is.

        Args:
            install: Install what is missing on this machine.
        """
        ...

    def require(self) -> None:
        """Make sure that hosts which exist can be worked on from here."""
        ...

    def remember(self) -> None:
        """Write down what is going to be made, so that `remove` finds whatever of it was."""
        ...

    def make(self, note: Callable[[str], None]) -> None:
        """Make every host that is not there, opened by the testbed's SSH key, and switch it on.

        Args:
            note: Told what takes long.
        """
        ...

    def host_key(self, machine: Machine) -> str:
        """Return a host's public SSH key, type and key, by a way that is not SSH."""
        ...

    def wait_for_ssh(self, machine: Machine) -> None:
        """Wait until a host's SSH server answers from here."""
        ...

    def conditions(self) -> dict[str, Condition]:
        """Return how every host is, by name."""
        ...

    def start(self, machine: Machine) -> None:
        """Switch a host on, and wait until it answers."""
        ...

    def stop(self, machine: Machine) -> None:
        """Shut a host down."""
        ...

    def crash(self, machine: Machine) -> None:
        """Cut a host's power."""
        ...

    def set_link(self, machine: Machine, *, up: bool) -> None:
        """Plug a host's cable in, or pull it."""
        ...

    def partition(self, one: Machine, other: Machine) -> None:
        """Let two hosts no longer reach each other; this machine still reaches both."""
        ...

    def mend(self) -> None:
        """End every partition."""
        ...

    def remove(self) -> None:
        """Remove every host and what was made for it, also where only some of it is there."""
        ...
