"""The side of the plug-in handle that both upper tiers have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Rejected, Telemetry

from mlsysops_agents.loop import explain

__all__ = ["PlacingWorld", "UpperHandle"]


class PlacingWorld(Protocol):
    """What an upper tier finds out about places."""

    def place(self, name: str) -> PlacementOutcome:
        """Find a host for what has none."""
        ...

    def recheck(self, name: str) -> Mapping[str, Rejected]:
        """Return placed components whose host is not theirs any more."""
        ...

    def objection(self, name: str, component: str, host: str) -> Rejected | None:
        """Say why a host cannot take a component."""
        ...


class UpperHandle(ABC):
    """`PluginHandle` of an upper tier.

    Args:
        agent: The agent.
        clock: Its time.
        objects: Its objects.
        telemetry: Its metrics.
        places: What it knows of places.
    """

    def __init__(
        self, agent: AgentIdentity, clock: Clock, objects: Objects, telemetry: Telemetry, places: PlacingWorld
    ) -> None:
        self.agent = agent
        self.clock = clock
        self.objects = objects
        self.telemetry = telemetry
        self._places = places
        #: Set by the agent once its loop exists.
        self.on_notify: Callable[[str, str], None] | None = None

    def place(self, application: str) -> PlacementOutcome:
        """Find a host for what has none."""
        return self._places.place(application)

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """Return placed components whose host is not theirs any more."""
        return self._places.recheck(application)

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """Say why a host cannot take a component."""
        return self._places.objection(application, component, host)

    @abstractmethod
    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find another host for a placed component."""

    @abstractmethod
    def better(self, application: str) -> PlacementOutcome | None:
        """Return where placed components had better be, as far as that is known."""

    @abstractmethod
    def assigned(self, application: str) -> Sequence[str]:
        """Return the components that the agent looks after."""

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        explain(rejected, message, component)

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application."""
        if self.on_notify is not None:
            self.on_notify(application, reason)
