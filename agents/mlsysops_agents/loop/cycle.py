"""One turn of the loop for one policy and one asset: analyse, plan, hand over to the scheduler, remember.

Whatever a policy does wrong (raises, hangs, answers nonsense) ends its own turn and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlsysops_core.contracts import AgentIdentity, Clock, KnowledgeStore, Mechanism
from mlsysops_core.plugins import LoadedPolicy, PluginError, parse_interval
from mlsysops_core.plugins.declaration import parse_priority
from opentelemetry import trace

from .clock import within
from .declared import undeclared
from .record import CycleRecord, Trigger, current_cycle
from .scheduler import Plan, PlanResult, PlanScheduler
from .shown import Shown

__all__ = ["Cycle", "CycleSettings", "Inputs"]

_log = logging.getLogger(__name__)
_tracer = trace.get_tracer("mlsysops.loop")

#: Results after which the policy should look again, and after how many seconds.
_LOOK_AGAIN = {"superseded": 0.2, "stale": 0.5, "failed": 5.0, "rolled-back": 5.0, "refused": 10.0, "held": 60.0}
#: How long a plan of another policy waits for core policies that are still deciding on the same asset.
_CORE_SECONDS = 1.0
#: Characters of a plan as JSON; a larger one is no decision: it would hold up everybody who writes it down, keeps and tells it.
_LARGEST_PLAN = 2**20
#: The beginning of what a policy raises that is told.
_LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class CycleSettings:
    """Longest times in seconds for the two calls of a policy."""

    analyze_timeout: float = 10.0
    plan_timeout: float = 30.0


class Inputs(Protocol):
    """What policies are shown of an agent's world."""

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        """Return the applications concerned, each with ``name`` and ``spec``."""
        ...

    def system_description(self, asset: str) -> dict[str, Any]:
        """Return the tier's own wrapped description."""
        ...

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        """Return the telemetry argument."""
        ...

    def ml_connector(self) -> Any:
        """Return the connector to deployed models, or None."""
        ...

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Return the values that a decision about the asset is to remember as its inputs, those of the policy's metrics among them."""
        ...


class Health(Protocol):
    """What takes note of how a policy's turns go."""

    def succeeded(self) -> None:
        """Note that a turn went well."""
        ...

    def failed(self, now: float, reason: str, *, late: bool) -> float:
        """Note that a turn failed; returns the seconds until the next try."""
        ...


class Cycle:
    """Runs turns; between them it holds only whose last one had nothing to do."""

    def __init__(
        self,
        agent: AgentIdentity,
        clock: Clock,
        knowledge: KnowledgeStore,
        inputs: Inputs,
        mechanisms: Mapping[str, Mechanism],
        scheduler: PlanScheduler,
        settings: CycleSettings,
        on_decision: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._knowledge = knowledge
        self._inputs = inputs
        self._mechanisms = mechanisms
        self._scheduler = scheduler
        self._settings = settings
        self._on_decision = on_decision
        self._quiet: set[tuple[str, str]] = set()

    async def run(
        self,
        policy: LoadedPolicy,
        asset: str,
        context: dict[str, Any],
        triggers: tuple[Trigger, ...],
        health: Health,
        *,
        core_running: Callable[[], list[asyncio.Task[None]]],
    ) -> float | None:
        """Run one turn.

        Args:
            policy: The policy.
            asset: The asset.
            context: The policy's context for it, updated in place.
            triggers: Why.
            health: Takes note of success and failure.
            core_running: The runs of core policies under way on the same asset.

        Returns:
            Seconds until the analysis should run again without a trigger, or None.
        """
        record = CycleRecord(
            self._agent.tier, self._agent.name, asset, policy.name, policy.version, triggers, self._clock.time()
        )
        before = _frozen(context)
        again: float | None = None
        with _tracer.start_as_current_span("mape.cycle") as span:
            span.set_attributes(
                {"mlsysops.asset": asset, "mlsysops.policy": policy.name, "mlsysops.decision": record.id}
            )
            token = current_cycle.set(record)
            try:
                again = await self._turn(policy, asset, context, record, core_running)
                health.succeeded()
            except Exception as exc:  # noqa: BLE001 -- isolation: a policy's fault ends its own turn, not the agent
                reason = f"{type(exc).__name__}: {exc}"[:_LONGEST_REASON]
                _log.warning("policy %s on %s failed: %s", policy.name, asset, reason)
                _log.debug("policy %s on %s", policy.name, asset, exc_info=exc)
                record.verdict, record.outcome, record.message = "error", "failed", reason
                span.record_exception(exc)
                again = health.failed(self._clock.monotonic(), reason, late=isinstance(exc, TimeoutError))
            finally:
                current_cycle.reset(token)
            span.set_attributes({"mlsysops.verdict": record.verdict, "mlsysops.outcome": record.outcome})
        after = _frozen(context)
        if after is not None and after != before:
            self._knowledge.save_context(f"{policy.name}@{policy.version}", asset, json.loads(after))
        self._remember(record, policy.declaration.metrics)
        return _sooner(again, _interval(policy, context))

    def forget(self, policy: str, asset: str) -> None:
        """Forget what was told last of an analysis that is gone."""
        self._quiet.discard((policy, asset))

    async def _turn(
        self,
        policy: LoadedPolicy,
        asset: str,
        context: dict[str, Any],
        record: CycleRecord,
        core_running: Callable[[], list[asyncio.Task[None]]],
    ) -> float | None:
        seen_at = self._clock.monotonic()
        arguments = (
            self._inputs.application_description(asset),
            self._inputs.system_description(asset),
            Shown(self._mechanisms),
            self._inputs.telemetry(policy, asset),
            self._inputs.ml_connector(),
        )
        needed = await self._stage(
            "analyze",
            policy,
            context,
            record,
            policy.policy.analyze(context, *arguments),
            self._settings.analyze_timeout,
        )
        if not needed:
            return None
        record.verdict = "adapt"
        record.inputs = self._inputs.snapshot(asset, policy.declaration.metrics)
        commands = await self._stage(
            "plan", policy, context, record, policy.policy.plan(context, *arguments), self._settings.plan_timeout
        )
        commands = {
            name: command
            for name, command in _commands(commands, policy.name).items()
            if not _is_idle(self._mechanisms.get(name), command)
        }
        if not commands:
            record.verdict = "no-plan"
            return None
        record.plan = {name: dict(command) for name, command in commands.items()}
        objection = undeclared(policy, commands, self._mechanisms)
        if objection:
            return self._note(record, PlanResult("refused", objection))
        if not policy.declaration.core and (others := core_running()):
            with contextlib.suppress(TimeoutError):
                await within(self._clock, _CORE_SECONDS, asyncio.wait(others))
        with _tracer.start_as_current_span("mape.execute"), _Stopwatch(self._clock, record, "execute"):
            plan = Plan(
                record.id,
                asset,
                policy.name,
                policy.declaration.core,
                commands,
                seen_at,
                policy.version,
                _priority(policy, context),
            )
            result = await self._scheduler.submit(plan)
        return self._note(record, result)

    async def _stage(
        self,
        stage: str,
        policy: LoadedPolicy,
        context: dict[str, Any],
        record: CycleRecord,
        call: Awaitable[Any],
        timeout: float,
    ) -> Any:
        with _tracer.start_as_current_span(f"mape.{stage}"), _Stopwatch(self._clock, record, stage):
            answer = await within(self._clock, timeout, call)
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
            raise PluginError(f"policy {policy.name}: {stage}() must return (result, context)")
        result, updated = answer
        if updated is not context:
            context.clear()
            context.update(updated)
        return result

    def _note(self, record: CycleRecord, result: PlanResult) -> float | None:
        record.scheduler = f"{result.action}: {result.reason}" if result.reason else result.action
        record.outcome = result.action
        if result.action in {"failed", "rolled-back", "held"}:
            _log.warning("plan of %s on %s %s: %s", record.policy, record.asset, result.action, result.reason)
        return result.retry_after if result.retry_after is not None else _LOOK_AGAIN.get(result.action)

    def _remember(self, record: CycleRecord, metrics: Sequence[str]) -> None:
        """Keep the decision; of a row of equal "nothing to do" only the first."""
        key = (record.policy, record.asset)
        if record.verdict == "no-change":
            if key in self._quiet:
                return
            self._quiet.add(key)
        else:
            self._quiet.discard(key)
        if not record.inputs:  # a decision against a plan, and one that failed, had inputs, too
            record.inputs = self._inputs.snapshot(record.asset, metrics)
        decision = record.as_dict()
        self._knowledge.record(decision)
        if self._on_decision is not None:
            self._on_decision(decision)


class _Stopwatch:
    def __init__(self, clock: Clock, record: CycleRecord, stage: str) -> None:
        self._clock = clock
        self._record = record
        self._stage = stage

    def __enter__(self) -> None:
        self._started = self._clock.monotonic()

    def __exit__(self, *_: object) -> None:
        self._record.duration_ms[self._stage] = (self._clock.monotonic() - self._started) * 1000.0


def _commands(answer: Any, policy: str) -> dict[str, Mapping[str, Any]]:
    """Return the commands of a plan.

    Raises:
        PluginError: It is none, or nothing that could be written down before it is executed.
    """
    if answer is None:
        return {}
    if not isinstance(answer, Mapping):
        raise PluginError(f"policy {policy}: plan() must return a dict of commands by mechanism")
    for name, command in answer.items():
        if command and not isinstance(command, Mapping):
            raise PluginError(f"policy {policy}: the command for {name} must be a dict, not {type(command).__name__}")
    commands = {str(name): command for name, command in answer.items() if command}
    try:
        size = len(json.dumps(commands, default=str, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as exc:
        raise PluginError(f"policy {policy}: plan() returned what cannot be written down: {exc}") from exc
    if size > _LARGEST_PLAN:
        raise PluginError(f"policy {policy}: plan() returned {size} characters; a plan has {_LARGEST_PLAN} at most")
    return commands


def _is_idle(mechanism: Mechanism | None, command: Mapping[str, Any]) -> bool:
    """Say whether a mechanism that tells such commands apart has nothing to do; that is no plan."""
    tell = getattr(mechanism, "is_idle", None)
    return tell is not None and bool(tell(command))


def _interval(policy: LoadedPolicy, context: Mapping[str, Any]) -> float | None:
    """Return the longest time until the next analysis; a policy may change it in its context as it goes."""
    configuration = context.get("configuration")
    value = configuration.get("analyze_interval") if isinstance(configuration, Mapping) else None
    if value is None:
        return None
    try:
        return parse_interval(value, plugin=policy.name) or None
    except PluginError as exc:
        _log.warning("%s; the interval declared first is kept", exc)
        return policy.declaration.analyze_interval or None


def _priority(policy: LoadedPolicy, context: Mapping[str, Any]) -> float:
    """Return the priority of a policy's plans: what its configuration says now, else what it declared first."""
    configuration = context.get("configuration")
    value = configuration.get("priority") if isinstance(configuration, Mapping) else None
    if value is None:
        return policy.declaration.priority
    try:
        return parse_priority(value, plugin=policy.name)
    except PluginError as exc:
        _log.warning("%s; the one declared first is kept", exc)
        return policy.declaration.priority


def _sooner(first: float | None, second: float | None) -> float | None:
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None


def _frozen(context: Mapping[str, Any]) -> str | None:
    """Return the context as JSON, to see a change and to keep it; None where it is no JSON."""
    try:
        return json.dumps(context, sort_keys=True)
    except (TypeError, ValueError):
        return None
