"""The MAPE-K engine: triggers in, analyses of exactly the assets that depend on them, plans to the scheduler.

It knows neither tiers nor Kubernetes. One analysis is one policy for one asset; it has its own context, its own circuit
breaker and at most one run at a time. Triggers that come meanwhile are gathered and cause one more run, so none is lost and
none piles up.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlsysops_core.contracts import AgentIdentity, Clock, KnowledgeStore, Mechanism, Sample, Scope
from mlsysops_core.plugins import LoadedPolicy

from .breaker import Breaker
from .cycle import Cycle, CycleSettings, Inputs
from .record import Trigger
from .scheduler import PlanScheduler, SchedulerSettings
from .timers import Timers

__all__ = ["Engine", "EngineSettings"]

_log = logging.getLogger(__name__)

#: Triggers named in one decision; the rest are only counted into the same run.
_MAX_TRIGGERS = 8


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of the engine; times in seconds.

    Attributes:
        debounce: Least time between the starts of two runs of one analysis; the first trigger after a quiet time runs at once.
        concurrency: Analyses that run side by side.
        cycle: Limits of one run.
        scheduler: Limits of the plan scheduler.
    """

    debounce: float = 0.1
    concurrency: int = 16
    cycle: CycleSettings = field(default_factory=CycleSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


class DecisionSink(Protocol):
    """Who wants to hear of decisions."""

    def __call__(self, decision: Mapping[str, Any]) -> None:
        """Take a decision."""
        ...


@dataclass(slots=True, eq=False)
class _Analysis:
    policy: LoadedPolicy
    asset: str
    context: dict[str, Any]
    breaker: Breaker
    pending: list[Trigger] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    started: float = float("-inf")
    runs: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return (self.policy.name, self.asset)


class Engine:
    """One agent's loop.

    Args:
        agent: Whose loop it is.
        clock: Time.
        knowledge: Memory.
        inputs: What policies are shown.
        policies: Policies.
        mechanisms: Mechanisms by name.
        settings: Limits.
        on_decision: Called with every decision that is recorded.
    """

    def __init__(
        self,
        agent: AgentIdentity,
        *,
        clock: Clock,
        knowledge: KnowledgeStore,
        inputs: Inputs,
        policies: Sequence[LoadedPolicy],
        mechanisms: Mapping[str, Mechanism],
        settings: EngineSettings | None = None,
        on_decision: DecisionSink | None = None,
    ) -> None:
        self._clock = clock
        self._knowledge = knowledge
        self._settings = settings or EngineSettings()
        self._policies = list(policies)
        self._scheduler = PlanScheduler(mechanisms, clock, knowledge, self._settings.scheduler)
        self._cycle = Cycle(
            agent, clock, knowledge, inputs, mechanisms, self._scheduler, self._settings.cycle, on_decision
        )
        self._analyses: dict[tuple[str, str], _Analysis] = {}
        self._by_asset: defaultdict[str, list[_Analysis]] = defaultdict(list)
        self._by_metric: defaultdict[str, set[_Analysis]] = defaultdict(set)
        self._timers = Timers(clock, self._due)
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._last_conditions: list[dict[str, str]] = []
        #: Called whenever a circuit breaker opens or closes.
        self.on_conditions: Callable[[Sequence[dict[str, str]]], None] | None = None

    # -- assets ------------------------------------------------------------------------------------------------

    def add_asset(self, asset: str, scope: Scope, trigger: Trigger | None = None) -> None:
        """Look after an asset: every policy of its scope analyses it now."""
        if asset in self._by_asset:
            return
        for policy in self._policies:
            if policy.declaration.scope is not scope:
                continue
            context = self._knowledge.load_context(_versioned(policy), asset) or copy.deepcopy(dict(policy.context))
            analysis = _Analysis(policy, asset, context, Breaker())
            self._analyses[analysis.key] = analysis
            self._by_asset[asset].append(analysis)
            for metric in policy.declaration.metrics:
                self._by_metric[metric].add(analysis)
            self._trigger(analysis, trigger or Trigger("start"))

    def remove_asset(self, asset: str) -> None:
        """Look after an asset no longer."""
        for analysis in self._by_asset.pop(asset, ()):
            self._analyses.pop(analysis.key, None)
            self._timers.cancel(analysis.key)
            for metric in analysis.policy.declaration.metrics:
                self._by_metric[metric].discard(analysis)
            if analysis.task is not None:
                analysis.task.cancel()
        self._knowledge.forget(asset)

    @property
    def assets(self) -> frozenset[str]:
        """What is looked after."""
        return frozenset(self._by_asset)

    # -- triggers ----------------------------------------------------------------------------------------------

    def notify(self, asset: str, trigger: Trigger) -> None:
        """Analyse one asset."""
        for analysis in self._by_asset.get(asset, ()):
            self._trigger(analysis, trigger)

    def observe(self, samples: Iterable[Sample], concerned: Callable[[Sample], Iterable[str] | None]) -> None:
        """Analyse what depends on new samples.

        Args:
            samples: The samples.
            concerned: Assets that a sample is about; None where it may be about any.
        """
        for sample in samples:
            analyses = self._by_metric.get(sample.metric)
            if not analyses:
                continue
            assets = concerned(sample)
            wanted = None if assets is None else set(assets)
            for analysis in analyses:
                if wanted is None or analysis.asset in wanted:
                    self._trigger(analysis, Trigger("telemetry", sample.metric))

    # -- running -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled; plans that a killed process had begun are looked at again first."""
        for plan in self._knowledge.interrupted():
            _log.info("plan %s of %s on %s was interrupted", plan["id"], plan.get("policy"), plan.get("asset"))
            self.notify(str(plan.get("asset")), Trigger("retry", "interrupted plan"))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._timers.run())
                group.create_task(self._scheduler.run())
        finally:
            running = [analysis.task for analysis in self._analyses.values() if analysis.task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def conditions(self) -> list[dict[str, str]]:
        """Return one entry for each analysis whose circuit breaker is open."""
        return [
            {
                "policy": analysis.policy.name,
                "asset": analysis.asset,
                "reason": "CircuitOpen",
                "message": f"failed {analysis.breaker.failures} times in a row: {analysis.breaker.reason}",
            }
            for analysis in self._analyses.values()
            if analysis.breaker.tripped
        ]

    def _trigger(self, analysis: _Analysis, trigger: Trigger) -> None:
        if trigger not in analysis.pending and len(analysis.pending) < _MAX_TRIGGERS:
            analysis.pending.append(trigger)
        if analysis.task is None:
            self._schedule(analysis)

    def _schedule(self, analysis: _Analysis) -> None:
        now = self._clock.monotonic()
        at = max(analysis.started + self._settings.debounce, analysis.breaker.open_until)
        if at <= now:
            self._start(analysis)
        else:
            self._timers.set_earlier(analysis.key, at)

    def _due(self, key: Hashable) -> None:
        analysis = self._analyses.get(key)  # type: ignore[call-overload]  # keys of these timers are those of the analyses
        if analysis is None or analysis.task is not None:
            return
        if not analysis.pending:
            analysis.pending.append(Trigger("timer"))
        self._schedule(analysis)

    def _start(self, analysis: _Analysis) -> None:
        analysis.started = self._clock.monotonic()
        self._timers.cancel(analysis.key)
        analysis.task = asyncio.get_running_loop().create_task(self._run_once(analysis))

    async def _run_once(self, analysis: _Analysis) -> None:
        triggers, analysis.pending = tuple(analysis.pending), []
        again: float | None = None
        try:
            async with self._slots:
                again = await self._cycle.run(
                    analysis.policy,
                    analysis.asset,
                    analysis.context,
                    triggers,
                    analysis.breaker,
                    core_running=lambda: self._core_tasks(analysis),
                )
            analysis.runs += 1
        finally:
            analysis.task = None
            if self._analyses.get(analysis.key) is analysis:
                self._after(analysis, again)

    def _after(self, analysis: _Analysis, again: float | None) -> None:
        self._report_conditions()
        if analysis.pending:
            self._schedule(analysis)
        if again is not None and analysis.task is None:
            self._timers.set_earlier(analysis.key, self._clock.monotonic() + again)

    def _core_tasks(self, analysis: _Analysis) -> list[asyncio.Task[None]]:
        """Return the runs of core policies under way on the same asset."""
        return [
            other.task
            for other in self._by_asset.get(analysis.asset, ())
            if other is not analysis and other.policy.declaration.core and other.task is not None
        ]

    def _report_conditions(self) -> None:
        conditions = self.conditions()
        if conditions != self._last_conditions:
            self._last_conditions = conditions
            if self.on_conditions is not None:
                self.on_conditions(conditions)


def _versioned(policy: LoadedPolicy) -> str:
    return f"{policy.name}@{policy.version}"
