"""A typed policy that somebody installed beside the agent: it runs in a worker process, as a module policy does.

The agent never imports it: even for which tiers it is meant is asked of the worker. What the policy does through its handle
(`mlsysops_core.plugins.remote`) it asks the agent to do, one question at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import asdict
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import PlacementOutcome, PluginHandle, Rejected
from mlsysops_core.plugins import Declaration, LoadedPolicy
from mlsysops_core.plugins.loader import version_of

from .policy import WorkerPolicy
from .process import WorkerLimits, WorkerProcess

__all__ = ["WorkerClass", "load_class_in_worker"]


class WorkerClass(WorkerPolicy):
    """Asks a process that has made the policy's class.

    Args:
        entry: Where the class is.
        handle: What the policy gets to reach the agent.
        limits: What its process may use.
        directory: Where its process runs.
    """

    def __init__(self, entry: EntryPoint, handle: PluginHandle, limits: WorkerLimits, directory: Path) -> None:
        super().__init__(entry.name, entry.value, b"", limits, directory)
        self._agent = asdict(handle.agent)
        self._answers = _Answers(handle)
        #: Whether it is meant for the agent's tier; known once it is loaded.
        self.meant = False

    async def _request_load(self, process: WorkerProcess) -> dict[str, Any]:
        return await process.request("load-class", self._name, self._path, self._agent)

    def _loaded(self, answer: Mapping[str, Any]) -> None:
        self.meant = answer["context"] is not None
        if self.meant:
            super()._loaded(answer)

    async def _answer(self, call: int, operation: str, arguments: list[Any]) -> Any:
        if operation in self._answers:
            asking = self._asking.get(call)
            return await self._answers.answer(operation, arguments, asking.context if asking is not None else None)
        return await super()._answer(call, operation, arguments)


class _Answers:
    """What a handle answers, as JSON."""

    def __init__(self, handle: PluginHandle) -> None:
        objects, telemetry = handle.objects, handle.telemetry
        self._at_once: dict[str, Callable[..., Any]] = {
            "objects.get": objects.get,
            "objects.items": lambda kind: list(objects.items(kind)),
            "objects.labelled": lambda kind, label, value: list(objects.labelled(kind, label, value)),
            "telemetry.latest": lambda metric, attributes: _asdict(telemetry.latest(metric, **attributes)),
            "telemetry.series": lambda metric: [asdict(sample) for sample in telemetry.series(metric)],
            "telemetry.metrics": lambda: list(telemetry.metrics()),
            "place": lambda application: _outcome(handle.place(application)),
            "recheck": lambda application: {name: asdict(item) for name, item in handle.recheck(application).items()},
            "alternatives": lambda application, component: _outcome(handle.alternatives(application, component)),
            "better": lambda application: _outcome(handle.better(application)),
            "objection": lambda *arguments: _asdict(handle.objection(*arguments)),
            "assigned": lambda application: list(handle.assigned(application)),
            "explain": lambda rejected, message, component: handle.explain(
                rejected=[Rejected(**item) for item in rejected], message=message, component=component
            ),
            "notify": handle.notify,
        }
        self._later: dict[str, Callable[..., Awaitable[Any]]] = {
            "objects.apply": lambda obj, manager: objects.apply(obj, field_manager=manager),
            "objects.resize": lambda pod, resources, manager: objects.resize(pod, resources, field_manager=manager),
            "objects.annotate": lambda kind, name, annotations, manager: objects.annotate(
                kind, name, annotations, field_manager=manager
            ),
            "objects.delete": lambda kind, name, uid: objects.delete(kind, name, uid=uid),
            "objects.event": lambda regarding, kind, reason, message: objects.event(
                regarding, kind=kind, reason=reason, message=message
            ),
        }

    def __contains__(self, operation: str) -> bool:
        return operation in self._at_once or operation in self._later

    async def answer(self, operation: str, arguments: list[Any], context: Context | None) -> Any:
        """Ask the handle, on behalf of the turn that the call belongs to: ``context`` knows which one is explained."""
        if operation in self._later:
            return await self._later[operation](*arguments)
        ask = self._at_once[operation]
        return context.run(ask, *arguments) if context is not None else ask(*arguments)


def _asdict(value: Any) -> dict[str, Any] | None:
    return asdict(value) if value is not None else None


def _outcome(outcome: PlacementOutcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "assignments": dict(outcome.assignments),
        "rejected": [asdict(item) for item in outcome.rejected],
        "explain": dict(outcome.explain),
        "scores": {component: dict(scores) for component, scores in outcome.scores.items()},
    }


async def load_class_in_worker(
    entry: EntryPoint, handle: PluginHandle, *, limits: WorkerLimits, directory: Path
) -> tuple[LoadedPolicy, WorkerClass] | None:
    """Load a typed policy in a process of its own.

    Args:
        entry: Where its class is.
        handle: What it gets to reach the agent.
        limits: What its process may use.
        directory: Where its process runs.

    Returns:
        None where it is meant for other tiers.

    Raises:
        PluginError: It does not load, does not have the methods of a policy, or declares nonsense.
    """
    policy = WorkerClass(entry, handle, limits, directory)
    try:
        await policy.load()
        if not policy.meant:
            await policy.close()
            return None
        declaration = Declaration.from_context(policy.context, plugin=entry.name)
    except BaseException:
        await policy.close()
        raise
    policy.metrics = declaration.metrics
    return LoadedPolicy(entry.name, policy, declaration, policy.context, version_of(entry), entry.value), policy
