"""What agents promise to mechanisms that turn knobs of a node, and these to agents: beside `contracts`, only where it applies.

A setting of a node outlives the policy that asked for it and the process that made it. So every mechanism that makes one can put
it back: for a policy that is removed, for a component that has left, or for all when the agent is uninstalled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mlsysops_core.contracts import PluginHandle

__all__ = ["NodePluginHandle", "Restorable", "acting_policy"]

#: The policy on whose behalf a mechanism is being called; empty outside of the plan scheduler.
acting_policy: ContextVar[str] = ContextVar("mlsysops_acting_policy", default="")


@runtime_checkable
class Restorable(Protocol):
    """A mechanism that can put back what it changed."""

    async def restore(self, *, policy: str | None = None, assets: Set[str] | None = None) -> Sequence[str]:
        """Put settings back to what they were before the first command.

        Args:
            policy: Only what this policy asked for last.
            assets: Only what belongs to these assets.

        Returns:
            One line for each setting: what was put back, and what was not and why.

        Raises:
            mlsysops_core.errors.PartialFailure: Some could not be put back; they stay on record for another try.
        """
        ...

    async def tidy(self) -> Sequence[str]:
        """Put back, or forget, what was set for something that is gone meanwhile: a container, an address; as `restore`."""
        ...

    def policies(self) -> frozenset[str]:
        """Return the policies whose settings are in force."""
        ...


class NodePluginHandle(PluginHandle, Protocol):
    """What plug-ins of the node tier can reach beside the rest."""

    @property
    def root(self) -> Path:
        """Where the host's root directory is: ``/``, or where a container has it mounted."""
        ...

    @property
    def state_dir(self) -> Path:
        """Directory of the agent that outlives it."""
        ...

    def requests(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the changes of components that this node asks its cluster for, by key."""
        ...

    def request(self, key: str, change: Mapping[str, Any] | None) -> None:
        """Ask the cluster for a change of a component's specification, or with None no longer; it stands until taken back."""
        ...
