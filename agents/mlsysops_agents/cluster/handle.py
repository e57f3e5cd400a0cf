"""The cluster agent's side of the plug-in handle."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Telemetry

from mlsysops_agents.upper import UpperHandle

from .optimiser import Optimiser
from .world import ClusterWorld

__all__ = ["ClusterHandle"]


class ClusterHandle(UpperHandle):
    """`PluginHandle` of the cluster tier.

    Args:
        agent: The agent.
        clock: Its time.
        objects: Its objects.
        telemetry: Its metrics.
        world: What it knows.
    """

    def __init__(
        self, agent: AgentIdentity, clock: Clock, objects: Objects, telemetry: Telemetry, world: ClusterWorld
    ) -> None:
        super().__init__(agent, clock, objects, telemetry, world)
        self._world = world
        #: Set by the agent where it looks for better places.
        self.optimiser: Optimiser | None = None

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find another node for a placed component."""
        return self._world.alternatives(application, component)

    def better(self, application: str) -> PlacementOutcome | None:
        """Return where placed components had better be, as far as that is known."""
        return self.optimiser.better(application) if self.optimiser is not None else None

    def assigned(self, application: str) -> Sequence[str]:
        """Return the components of this cluster."""
        return self._world.assigned(application)
