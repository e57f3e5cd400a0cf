"""The handle of a typed policy that runs in a worker process: what it asks for, its agent answers over a socket.

It is the `mlsysops_core.contracts.PluginHandle` that built-in policies get in the agent itself, but for subscriptions to
telemetry: nobody could call back in the middle of something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any, Literal, NoReturn

from mlsysops_core.clock import SystemClock
from mlsysops_core.contracts import AgentIdentity, Object, PlacementOutcome, Rejected, Sample

from .asking import Asker
from .declaration import PluginError

__all__ = ["RemoteHandle", "current_call"]

#: The call on whose behalf the running code runs, so that the agent knows whose decision is being explained.
current_call: ContextVar[int] = ContextVar("mlsysops_current_call", default=0)


class _Remote:
    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def _ask(self, operation: str, *arguments: Any) -> Any:
        return self._asker.ask(current_call.get(), operation, *arguments)

    async def _do(self, operation: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(self._asker.ask, current_call.get(), operation, *arguments)


class RemoteObjects(_Remote):
    """`Objects` of the agent; errors are those that the agent's own raise."""

    def get(self, kind: str, name: str) -> Object | None:
        """Return one cached object, or None."""
        found: Object | None = self._ask("objects.get", kind, name)
        return found

    def items(self, kind: str) -> Sequence[Object]:
        """Return all cached objects of a kind."""
        found: Sequence[Object] = self._ask("objects.items", kind)
        return found

    def labelled(self, kind: str, label: str, value: str) -> Sequence[Object]:
        """Return the cached objects of a kind that have a label."""
        found: Sequence[Object] = self._ask("objects.labelled", kind, label, value)
        return found

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        """Server-side apply."""
        applied: Object = await self._do("objects.apply", dict(obj), field_manager)
        return applied

    async def resize(self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str) -> Object:
        """Change CPU and memory of a pod's containers while they run."""
        resized: Object = await self._do("objects.resize", pod, dict(resources), field_manager)
        return resized

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        """Set (or with None remove) annotations of an object that exists."""
        annotated: Object = await self._do("objects.annotate", kind, name, dict(annotations), field_manager)
        return annotated

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        """Delete in the background; False where it was not there."""
        return bool(await self._do("objects.delete", kind, name, uid))

    async def event(
        self, regarding: Mapping[str, Any], *, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event on an object."""
        await self._do("objects.event", dict(regarding), kind, reason, message)


class RemoteMetrics(_Remote):
    """`Telemetry` of the agent."""

    def latest(self, metric: str, **attributes: str) -> Sample | None:
        """Return the newest sample of a metric whose attributes include the given ones."""
        found = self._ask("telemetry.latest", metric, attributes)
        return Sample(**found) if found is not None else None

    def series(self, metric: str) -> Sequence[Sample]:
        """Return the newest sample of every series of a metric."""
        return [Sample(**item) for item in self._ask("telemetry.series", metric)]

    def metrics(self) -> Sequence[str]:
        """Return the names of all metrics seen."""
        names: Sequence[str] = self._ask("telemetry.metrics")
        return names

    def subscribe(self, callback: Callable[[Sequence[Sample]], None]) -> NoReturn:
        """Refuse.

        Raises:
            PluginError: Always; it says what to do instead.
        """
        raise PluginError(
            "a policy in a process of its own cannot subscribe to telemetry: it names metrics in its context (telemetry.metrics)"
            " and is asked whenever one of them has a new value"
        )


class RemoteHandle(_Remote):
    """`PluginHandle` of a policy in a worker.

    Args:
        asker: Asks the agent.
        agent: The agent.
    """

    def __init__(self, asker: Asker, agent: AgentIdentity) -> None:
        super().__init__(asker)
        self.agent = agent
        self.clock = SystemClock()
        self.objects = RemoteObjects(asker)
        self.telemetry = RemoteMetrics(asker)

    def place(self, application: str) -> PlacementOutcome:
        """Find a host for each component that this tier is to place."""
        return _outcome(self._ask("place", application))

    def recheck(self, application: str) -> Mapping[str, Rejected]:
        """Return the placed components whose host no longer fits, and why."""
        return {name: Rejected(**item) for name, item in self._ask("recheck", application).items()}

    def alternatives(self, application: str, component: str) -> PlacementOutcome:
        """Find another host for one placed component."""
        return _outcome(self._ask("alternatives", application, component))

    def better(self, application: str) -> PlacementOutcome | None:
        """Return where placed components had better be, as far as that is known."""
        found = self._ask("better", application)
        return _outcome(found) if found is not None else None

    def objection(self, application: str, component: str, host: str) -> Rejected | None:
        """Say why a host cannot take a component; None where it can."""
        found = self._ask("objection", application, component, host)
        return Rejected(**found) if found is not None else None

    def assigned(self, application: str) -> Sequence[str]:
        """Return the names of the components that the agent looks after."""
        names: Sequence[str] = self._ask("assigned", application)
        return names

    def explain(self, *, rejected: Iterable[Rejected] = (), message: str = "", component: str | None = None) -> None:
        """Add to the record of the decision being made now."""
        self._ask("explain", [asdict(item) for item in rejected], message, component)

    def notify(self, application: str, reason: str) -> None:
        """Ask for a new analysis of an application."""
        self._ask("notify", application, reason)


def _outcome(told: Mapping[str, Any]) -> PlacementOutcome:
    return PlacementOutcome(
        told["assignments"], [Rejected(**item) for item in told["rejected"]], told["explain"], told["scores"]
    )
