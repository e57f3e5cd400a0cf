"""The continuum agent's side of the plug-in handle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Rejected, Telemetry

from mlsysops_agents.loop import explain

from .world import ContinuumWorld

__all__ = ["ContinuumHandle"]


class ContinuumHandle:
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
        self.agent = agent
        self.clock = clock
        self.objects = objects
        self.telemetry = telemetry
        self._world = world
        #: Set by the agent once its loop exists.
        self.on_notify: Callable[[str, str], None] | None = None

    def place(self, application: str) -> PlacementOutcome:
        """Find a cluster for every component."""
        return self._world.place(application)

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """Return components whose cluster is not theirs any more."""
        return self._world.recheck(application)

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find a cluster for every component: here a component has no other place than its application."""
        return self._world.place(application)

    def better(self, application: str) -> PlacementOutcome | None:
        """Return nothing: what is better inside a cluster, its agent knows."""
        return None

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """Say why a cluster cannot take a component."""
        return self._world.objection(application, component, host)

    def assigned(self, application: str) -> Sequence[str]:
        """Return all components: the continuum looks after each."""
        description = self._world.application(application)
        return [component.name for component in description.components] if description is not None else []

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        explain(rejected, message, component)

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application."""
        if self.on_notify is not None:
            self.on_notify(application, reason)
