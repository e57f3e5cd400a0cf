"""The continuum agent's side of the plug-in handle."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Telemetry

from mlsysops_agents.upper import UpperHandle

from .world import ContinuumWorld

__all__ = ["ContinuumHandle"]


class ContinuumHandle(UpperHandle):
    """`PluginHandle` of the continuum tier.

    Args:
        agent: The agent.
        clock: Its time.
        objects: Its objects.
        telemetry: Its metrics.
        world: What it knows.
    """

    def __init__(
        self, agent: AgentIdentity, clock: Clock, objects: Objects, telemetry: Telemetry, world: ContinuumWorld
    ) -> None:
        super().__init__(agent, clock, objects, telemetry, world)
        self._world = world

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find a cluster for every component: here a component has no other place than its application."""
        return self._world.place(application)

    def better(self, application: str) -> PlacementOutcome | None:
        """Return nothing: what is better inside a cluster, its agent knows."""
        return None

    def assigned(self, application: str) -> Sequence[str]:
        """Return all components: the continuum looks after each."""
        description = self._world.application(application)
        return [component.name for component in description.components] if description is not None else []
