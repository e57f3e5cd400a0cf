"""The MAPE-K engine: triggers in, analyses of exactly the assets that depend on them, plans to the scheduler.

It knows neither tiers nor Kubernetes. One analysis is one policy for one asset; it has its own context, its own circuit
breaker and at most one run at a time. Triggers that come meanwhile are gathered and cause one more run, so none is lost and
none piles up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlsysops_core.contracts import AgentIdentity, Clock, KnowledgeStore, Mechanism, PolicyContext, Sample, Scope
from mlsysops_core.plugins import LoadedPolicy

from .analysis import Analysis
from .chronicle import Chronicle
from .cycle import Cycle, CycleSettings, Inputs
from .record import Trigger
from .scheduler import PlanScheduler, SchedulerSettings
from .shares import Shares
from .timers import Timers

__all__ = ["Engine", "EngineSettings"]

_log = logging.getLogger(__name__)

#: By then an agent that has just started knows of all its assets again.
_FIRST_SWEEP_SECONDS = 600.0
_SWEEP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of the engine; times in seconds.

    Attributes:
        debounce: Least time between the starts of two runs of one analysis; the first trigger after a quiet time runs at once.
        concurrency: Analyses that run side by side, of core policies and of the others each.
        policy_concurrency: Of these, those of one policy; fewer, so that one that hangs leaves room for the others.
        late_assets: Assets in a row on which a policy must be late before all its analyses pause.
        cycle: Limits of one run.
        scheduler: Limits of the plan scheduler.
    """

    debounce: float = 0.1
    concurrency: int = 16
    policy_concurrency: int = 4
    late_assets: int = 4
    cycle: CycleSettings = field(default_factory=CycleSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


class DecisionSink(Protocol):
    """Who wants to hear of decisions."""

    def __call__(self, decision: Mapping[str, Any]) -> None:
        """Take a decision."""
        ...


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
        self._chronicle = Chronicle(agent, clock, knowledge, on_decision)
        self._policies = {policy.name: policy for policy in policies}
        self._scopes: dict[str, Scope] = {}
        #: Those whose breaker is open: told after every run, so never looked for among all.
        self._tripped: dict[tuple[str, str], Analysis] = {}
        self._scheduler = PlanScheduler(mechanisms, clock, knowledge, self._settings.scheduler)
        self._scheduler.on_unclaimed = self._chronicle.unclaimed
        self._cycle = Cycle(
            agent, clock, knowledge, inputs, mechanisms, self._scheduler, self._settings.cycle, on_decision
        )
        self._analyses: dict[tuple[str, str], Analysis] = {}
        self._by_asset: defaultdict[str, list[Analysis]] = defaultdict(list)
        #: By metric and asset: a sample costs as much as the assets it is about, however many others there are.
        self._by_metric: dict[str, dict[str, set[Analysis]]] = {}
        self._timers = Timers(clock, self._due)
        self._shares = Shares(self._settings.concurrency, self._settings.policy_concurrency, self._settings.late_assets)
        self._last_conditions: list[dict[str, str]] = []
        self._ended = False
        #: Called whenever a circuit breaker opens or closes.
        self.on_conditions: Callable[[Sequence[dict[str, str]]], None] | None = None

    # -- assets ------------------------------------------------------------------------------------------------

    def add_asset(self, asset: str, scope: Scope, trigger: Trigger | None = None) -> None:
        """Look after an asset: every policy of its scope analyses it now."""
        if asset in self._scopes:
            return
        self._scopes[asset] = scope
        for policy in self._policies.values():
            if policy.declaration.scope is scope:
                self._add(policy, asset, trigger or Trigger("start"))

    def remove_asset(self, asset: str) -> None:
        """Look after an asset no longer."""
        self._scopes.pop(asset, None)
        for analysis in list(self._by_asset.get(asset, ())):
            self._drop(analysis)
            forget = getattr(analysis.policy.policy, "forget", None)
            if forget is not None:
                forget(asset)
        self._by_asset.pop(asset, None)
        self._knowledge.forget(asset)

    @property
    def assets(self) -> frozenset[str]:
        """What is looked after."""
        return frozenset(self._scopes)

    # -- policies ----------------------------------------------------------------------------------------------

    @property
    def policies(self) -> Mapping[str, LoadedPolicy]:
        """The policies that decide now, by name."""
        return dict(self._policies)

    def set_policy(self, policy: LoadedPolicy) -> None:
        """Let a policy decide from now on; one of the same name does so no longer.

        Assets keep their contexts where the version is the same.
        """
        before = self._policies.get(policy.name)
        kept: dict[str, PolicyContext] = {}
        for analysis in [item for item in self._analyses.values() if item.policy.name == policy.name]:
            if before is not None and before.version == policy.version:
                kept[analysis.asset] = analysis.context
            self._drop(analysis)
        self._shares.drop(policy.name)
        self._knowledge.forget_policy(policy.name, but=policy.version)
        self._policies[policy.name] = policy
        for asset, scope in self._scopes.items():
            if policy.declaration.scope is scope:
                self._add(policy, asset, Trigger("start", f"policy {policy.name}"), kept.get(asset))
        self._report_conditions()

    def remove_policy(self, name: str, *, handed_over: str = "", keep: bool = False) -> None:
        """Let a policy decide no longer.

        Args:
            name: Its name.
            handed_over: Why its last effects stay; the other policies then look at its assets. Empty where they do not.
            keep: Whether it is only switched off, so that its contexts are kept for a time.
        """
        policy = self._policies.pop(name, None)
        for analysis in [item for item in self._analyses.values() if item.policy.name == name]:
            self._drop(analysis)
            if policy is not None and handed_over:
                self._chronicle.handed_over(policy, analysis.asset, handed_over)
                self.notify(analysis.asset, Trigger("request", f"takes over from {name}"))
        self._shares.drop(name)
        if not keep and not handed_over:
            self._knowledge.forget_policy(name)
        self._report_conditions()

    def _add(self, policy: LoadedPolicy, asset: str, trigger: Trigger, context: PolicyContext | None = None) -> None:
        kept = context if context is not None else self._knowledge.load_context(_versioned(policy), asset)
        made = policy.make_context(asset, kept)
        if context is not None and made == context:
            made = context  # what runs it elsewhere knows this one
        analysis = Analysis(policy, asset, made, self._shares.of(policy.name, core=policy.declaration.core))
        self._analyses[analysis.key] = analysis
        self._by_asset[asset].append(analysis)
        for metric in policy.declaration.metrics:
            self._by_metric.setdefault(metric, {}).setdefault(asset, set()).add(analysis)
        self._trigger(analysis, trigger)

    def _drop(self, analysis: Analysis) -> None:
        self._analyses.pop(analysis.key, None)
        self._tripped.pop(analysis.key, None)
        self._by_asset[analysis.asset].remove(analysis)
        self._timers.cancel(analysis.key)
        for metric in analysis.policy.declaration.metrics:
            assets = self._by_metric.get(metric, {})
            asset_analyses = assets.get(analysis.asset, set())
            asset_analyses.discard(analysis)
            if not asset_analyses:
                assets.pop(analysis.asset, None)
            if not assets:
                self._by_metric.pop(metric, None)
        self._cycle.forget(*analysis.key)
        if analysis.task is not None:
            analysis.task.cancel()

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
            by_asset = self._by_metric.get(sample.metric)
            if not by_asset:
                continue
            assets = concerned(sample)
            trigger = Trigger("telemetry", sample.metric)
            for asset in tuple(by_asset) if assets is None else set(assets) & by_asset.keys():
                for analysis in tuple(by_asset[asset]):
                    self._trigger(analysis, trigger)

    # -- running -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled; plans that a killed process had begun are looked at again first."""
        for plan in self._knowledge.interrupted():
            policy = self._policies.get(str(plan.get("policy")))
            trigger = self._chronicle.left_behind(plan, policy.version if policy is not None else "")
            self.notify(str(plan.get("asset")), trigger)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._timers.run())
                group.create_task(self._scheduler.run())
                group.create_task(self._sweep())
        finally:
            self._ended = True
            running = [analysis.task for analysis in self._analyses.values() if analysis.task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _sweep(self) -> None:
        """Now and then forget what went while nobody looked: assets and policies that went while the agent was down."""
        wait = _FIRST_SWEEP_SECONDS
        while True:
            await self._clock.sleep(wait)
            wait = _SWEEP_SECONDS
            self._knowledge.retain(self._scopes.keys(), {_versioned(policy) for policy in self._policies.values()})

    def conditions(self) -> list[dict[str, str]]:
        """Return what is wrong: an entry for each analysis and policy whose breaker is open, and each asset that swings."""
        return [
            *self._scheduler.oscillations(),
            *self._shares.conditions(),
            *self._broken(),
        ]

    def _broken(self) -> list[dict[str, str]]:
        return [
            {
                "policy": analysis.policy.name,
                "asset": analysis.asset,
                "reason": "CircuitOpen",
                "message": f"failed {analysis.breaker.failures} times in a row: {analysis.breaker.reason}",
            }
            for analysis in self._tripped.values()
        ]

    def _trigger(self, analysis: Analysis, trigger: Trigger) -> None:
        analysis.add(trigger)
        if analysis.task is None:
            self._schedule(analysis)

    def _schedule(self, analysis: Analysis) -> None:
        if self._ended:
            return  # what it still waits for is looked at when the agent starts again
        now = self._clock.monotonic()
        at = max(analysis.started + self._settings.debounce, analysis.open_until)
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

    def _start(self, analysis: Analysis) -> None:
        analysis.started = self._clock.monotonic()
        self._timers.cancel(analysis.key)
        analysis.task = asyncio.get_running_loop().create_task(self._run_once(analysis))

    async def _run_once(self, analysis: Analysis) -> None:
        again: float | None = None
        try:
            async with analysis.share.slot():
                if self._clock.monotonic() < analysis.share.open_until:
                    return  # others of the same policy were late while this one waited
                triggers, analysis.pending = tuple(analysis.pending), []
                again = await self._cycle.run(
                    analysis.policy,
                    analysis.asset,
                    analysis.context,
                    triggers,
                    analysis,
                    core_running=lambda: self._core_tasks(analysis),
                )
            analysis.runs += 1
        except Exception as exc:  # noqa: BLE001 -- keeping or telling of a turn went wrong: the next one must come all the same
            _log.exception("turn of %s on %s", analysis.policy.name, analysis.asset)
            again = analysis.failed(self._clock.monotonic(), f"{type(exc).__name__}: {exc}", late=False)
        finally:
            analysis.task = None
            if self._analyses.get(analysis.key) is analysis:
                self._after(analysis, again)

    def _after(self, analysis: Analysis, again: float | None) -> None:
        if analysis.breaker.tripped:
            self._tripped[analysis.key] = analysis
        else:
            self._tripped.pop(analysis.key, None)
        self._report_conditions()
        if analysis.pending:
            self._schedule(analysis)
        if again is not None and analysis.task is None:
            self._timers.set_earlier(analysis.key, self._clock.monotonic() + again)

    def _core_tasks(self, analysis: Analysis) -> list[asyncio.Task[None]]:
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
