"""The cluster agent's side of the plug-in handle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Rejected, Telemetry

from mlsysops_agents.loop import explain

from .optimiser import Optimiser
from .world import ClusterWorld

__all__ = ["ClusterHandle"]


class ClusterHandle:
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
        self.agent = agent
        self.clock = clock
        self.objects = objects
        self.telemetry = telemetry
        self._world = world
        #: Set by the agent where it looks for better places.
        self.optimiser: Optimiser | None = None
        #: Set by the agent once its loop exists.
        self.on_notify: Callable[[str, str], None] | None = None

    def place(self, application: str) -> PlacementOutcome:
        """Find nodes for what has none."""
        return self._world.place(application)

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """Return placed components whose node no longer fits."""
        return self._world.recheck(application)

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find another node for a placed component."""
        return self._world.alternatives(application, component)

    def better(self, application: str) -> PlacementOutcome | None:
        """Return where placed components had better be, as far as that is known."""
        return self.optimiser.better(application) if self.optimiser is not None else None

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """Say why a node cannot take a component."""
        return self._world.objection(application, component, host)

    def assigned(self, application: str) -> Sequence[str]:
        """Return the components of this cluster."""
        return self._world.assigned(application)

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        explain(rejected, message, component)

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application."""
        if self.on_notify is not None:
            self.on_notify(application, reason)
