"""Executes plans: core policies first, never two on one asset at a time, transient errors again, each decision explained.

A plan is made from what its policy saw. Where another plan has touched one of its assets since, it stands on sand: it is
set aside as superseded, and its policy looks again. That one rule keeps two plans off the same asset in one cycle.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlsysops_core.contracts import Clock, KnowledgeStore, Mechanism
from mlsysops_core.errors import Conflict, MlsError, TimedOut, Unreachable
from mlsysops_core.knobs import acting_policy

from .breaker import Breaker
from .clock import within
from .oscillation import Oscillations

__all__ = ["Plan", "PlanResult", "PlanScheduler", "SchedulerSettings"]

_log = logging.getLogger(__name__)

_TRANSIENT = (Unreachable, TimedOut, Conflict, TimeoutError)
#: Assets whose last touch is remembered; beyond that the longest untouched are forgotten.
_REMEMBERED_ASSETS = 20_000
_LONGEST_HOLD = 3600.0


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """How plans are executed; times in seconds.

    Attributes:
        attempts: Tries of one command before its plan has failed.
        backoff: Wait before the second try; doubles each time.
        cool_down: Time after a plan in which policies that are not core leave its assets alone.
        swing_window: Time within which changes to and fro count as oscillation.
        swing_hold: How long an oscillating asset is left alone the first time; doubles up to an hour.
        timeout: Longest time for one try.
        workers: Plans executed side by side; one more is kept free for core plans.
        queue: Plans waiting; more are turned away.
    """

    attempts: int = 4
    backoff: float = 0.5
    cool_down: float = 10.0
    swing_window: float = 900.0
    swing_hold: float = 300.0
    timeout: float = 60.0
    workers: int = 4
    queue: int = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """Commands of one policy for one asset.

    Attributes:
        id: The decision's id.
        asset: What the policy looked at.
        policy: Who made it.
        core: Whether it goes first.
        commands: Mechanism name to command, executed in this order.
        seen_at: Monotonic time at which the analysis began.
        version: The policy's.
        priority: Among core plans, and among the others, the highest goes first.
    """

    id: str
    asset: str
    policy: str
    core: bool
    commands: Mapping[str, Mapping[str, Any]]
    seen_at: float
    version: str = ""
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What the scheduler did with a plan.

    Attributes:
        action: What it did.
        reason: Why, or how it went.
        attempts: Tries made.
        retry_after: Seconds after which the policy should look again, where the scheduler knows better than usual.
    """

    action: Literal["executed", "failed", "rolled-back", "superseded", "cool-down", "held", "stale", "refused"]
    reason: str = ""
    attempts: int = 0
    retry_after: float | None = None


@dataclass(order=True, slots=True)
class _Queued:
    rank: tuple[bool, float, int]
    plan: Plan = field(compare=False)
    done: asyncio.Future[PlanResult] = field(compare=False)


class PlanScheduler:
    """The one place where plans become actions.

    Args:
        mechanisms: Mechanisms by name.
        clock: Time.
        knowledge: Where plans are written down before they are executed.
        settings: Limits.
    """

    def __init__(
        self,
        mechanisms: Mapping[str, Mechanism],
        clock: Clock,
        knowledge: KnowledgeStore,
        settings: SchedulerSettings | None = None,
    ) -> None:
        self._mechanisms = mechanisms
        self._clock = clock
        self._knowledge = knowledge
        self._settings = settings or SchedulerSettings()
        self._queue: list[_Queued] = []
        self._sequence = 0
        self._work = asyncio.Event()
        self._core_work = asyncio.Event()
        self._busy: dict[str, str] = {}
        self._touched: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._unwritten = Breaker(threshold=1, first_pause=1.0, longest_pause=60.0)
        #: Called with plans that ended when whoever had submitted them was gone.
        self.on_unclaimed: Callable[[Plan, PlanResult], None] | None = None
        self._swings = Oscillations(
            self._settings.swing_window, self._settings.swing_hold, _LONGEST_HOLD, keep=self._keep_hold
        )
        for asset, state in knowledge.holds().items():
            elapsed = max(0.0, clock.time() - float(state["time"]))
            if not self._swings.restore(asset, state, clock.monotonic(), elapsed):
                knowledge.release(asset)

    def oscillations(self) -> list[dict[str, str]]:
        """Return one condition for each asset that is left alone because policies change it to and fro."""
        return [
            {"policy": "scheduler", "asset": asset, "reason": "Oscillation", "message": message}
            for asset, message in self._swings.conditions(self._clock.monotonic())
        ]

    def _keep_hold(self, asset: str, state: Mapping[str, Any]) -> None:
        """Keep what is known of a swinging asset: a restart must not set it free."""
        self._knowledge.hold(asset, {**state, "time": self._clock.time()})

    async def submit(self, plan: Plan) -> PlanResult:
        """Queue a plan and wait for what becomes of it."""
        if len(self._queue) >= self._settings.queue:
            return PlanResult("refused", f"{len(self._queue)} plans are waiting already")
        unknown = [name for name in plan.commands if name not in self._mechanisms]
        if unknown:
            return PlanResult("refused", f"this agent has no mechanism {', '.join(unknown)}")
        self._sequence += 1
        done: asyncio.Future[PlanResult] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Queued((not plan.core, -plan.priority, self._sequence), plan, done))
        self._work.set()
        if plan.core:
            self._core_work.set()
        return await done

    async def run(self) -> None:
        """Execute plans until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.workers):
                group.create_task(self._worker())
            # However long the others' commands take, applications are looked after.
            group.create_task(self._worker(core=True))

    async def _worker(self, *, core: bool = False) -> None:
        work = self._core_work if core else self._work
        while True:
            while not self._queue or (core and not self._queue[0].plan.core):  # core plans come first in the queue
                work.clear()
                await work.wait()
            queued = heapq.heappop(self._queue)
            if queued.done.done():
                continue  # whoever submitted it is gone
            try:
                result = await self._take(queued.plan)
            except Exception as exc:  # noqa: BLE001 -- a mechanism is a plug-in: its faults end its plan, not the scheduler
                _log.exception("plan %s of %s on %s", queued.plan.id, queued.plan.policy, queued.plan.asset)
                result = PlanResult("failed", f"{type(exc).__name__}: {exc}")
            if not queued.done.done():
                queued.done.set_result(result)
            elif self.on_unclaimed is not None:
                self.on_unclaimed(queued.plan, result)

    async def _take(self, plan: Plan) -> PlanResult:
        effects: dict[str, str] = {}
        for name, command in plan.commands.items():
            effects.update(_effects(self._mechanisms[name], name, command))
        refusal = self._conflict(plan, effects)
        if refusal is not None:
            return refusal
        unwritten = self._write_ahead(plan)
        if unwritten is not None:
            return unwritten
        for asset in effects:
            self._busy[asset] = plan.policy
        result: PlanResult | None = None
        token = acting_policy.set(plan.policy)
        try:
            result = await self._execute(plan)
            return result
        finally:
            acting_policy.reset(token)
            now = self._clock.monotonic()
            for asset, effect in effects.items():
                self._busy.pop(asset, None)
                if result is None or result.action != "stale":
                    self._touched[asset] = (now, plan.policy)
                    self._touched.move_to_end(asset)
                if result is not None and result.action == "executed":
                    self._swings.note(asset, effect, plan.policy, now)
            while len(self._touched) > _REMEMBERED_ASSETS:
                self._touched.popitem(last=False)
            if result is not None:  # else the agent is being ended, and the note says that the plan was interrupted
                self._knowledge.finish(plan.id, result.action)

    def _write_ahead(self, plan: Plan) -> PlanResult | None:
        """Write down that a plan is about to be executed; one that cannot be might be executed twice, so it is not at all."""
        note = {
            "asset": plan.asset,
            "policy": plan.policy,
            "version": plan.version,
            "time": self._clock.time(),
            "commands": {name: dict(command) for name, command in plan.commands.items()},
        }
        now = self._clock.monotonic()
        try:
            self._knowledge.begin(plan.id, note)
        except MlsError as exc:
            # Plans that come while it lasts are put off as long as the first, and make it no worse.
            left = self._unwritten.open_until - now
            again = left if left > 0 else self._unwritten.failed(now, str(exc))
            return PlanResult("refused", f"not executed, for it cannot be written down first: {exc}", retry_after=again)
        self._unwritten.succeeded()
        return None

    def _conflict(self, plan: Plan, effects: Mapping[str, str]) -> PlanResult | None:
        now = self._clock.monotonic()
        for asset in sorted(effects):
            if asset in self._busy:
                return PlanResult("superseded", f"{asset} is being changed by {self._busy[asset]}")
            touched, policy = self._touched.get(asset, (float("-inf"), ""))
            if touched > plan.seen_at:
                return PlanResult("superseded", f"{asset} was changed by {policy} after the analysis began")
            left = touched + self._settings.cool_down - now
            if not plan.core and left > 0:
                reason = f"{asset} was changed by {policy}; {left:.0f} s of cool-down left"
                return PlanResult("cool-down", reason, retry_after=left)
            swinging, pause = self._swings.objection(asset, effects[asset], plan.policy, now)
            if swinging and not plan.core:
                return PlanResult("held", f"{swinging}; left alone for {pause:.0f} s")
            if swinging:
                _log.warning("%s; a core policy goes on", swinging)
        return None

    async def _execute(self, plan: Plan) -> PlanResult:
        messages: list[str] = []
        done: list[tuple[str, Mapping[str, Any] | None]] = []
        attempts = 0
        for name, command in plan.commands.items():
            result, undo = await self._command(name, self._mechanisms[name], command)
            attempts += result.attempts
            if result.action != "executed":
                if undo is not None:
                    done.append((name, undo))
                reason = f"{name}: {result.reason}" + (f" (after {', '.join(messages)})" if messages else "")
                return await self._roll_back(PlanResult(result.action, reason, attempts), done)
            done.append((name, undo))
            messages.append(f"{name}: {result.reason}" if result.reason else name)
        return PlanResult("executed", "; ".join(messages), attempts)

    async def _roll_back(self, broken: PlanResult, done: Sequence[tuple[str, Mapping[str, Any] | None]]) -> PlanResult:
        """Take back what was done of a plan that broke half way, the last first."""
        if not done:
            return broken
        told: list[str] = []
        complete = True
        for name, undo in reversed(done):
            if undo is None:
                complete = False
                told.append(f"{name} cannot take back what it did")
                continue
            try:
                result, _ = await self._command(name, self._mechanisms[name], undo)
            except Exception as exc:  # noqa: BLE001 -- the other steps must be taken back all the same
                result = PlanResult("failed", f"{type(exc).__name__}: {exc}")
            complete = complete and result.action == "executed"
            verb = "taken back" if result.action == "executed" else "not taken back"
            told.append(f"{name} {verb}" + (f" ({result.reason})" if result.reason else ""))
        return PlanResult(
            "rolled-back" if complete else "failed", f"{broken.reason}; {'; '.join(told)}", broken.attempts
        )

    async def _command(
        self, name: str, mechanism: Mechanism, command: Mapping[str, Any]
    ) -> tuple[PlanResult, Mapping[str, Any] | None]:
        """Carry out one command; returns also the command that takes it back, where there is one."""
        settings = self._settings
        for attempt in range(1, settings.attempts + 1):
            objection = mechanism.check(command)
            if objection:
                return PlanResult("stale", objection, attempt - 1), None
            try:
                outcome = await within(self._clock, settings.timeout, mechanism.apply(command))
            except _TRANSIENT as exc:
                if attempt == settings.attempts:
                    return PlanResult("failed", f"{exc} (tried {attempt} times)", attempt), None
                if objection := mechanism.check(command):  # nobody has to wait to see that it makes no sense any more
                    return PlanResult("stale", objection, attempt), None
                _log.info("mechanism %s, try %d of %d: %s", name, attempt, settings.attempts, exc)
                await self._clock.sleep(settings.backoff * 2 ** (attempt - 1))
            except MlsError as exc:
                return PlanResult("failed", str(exc), attempt), None
            except Exception as exc:  # noqa: BLE001 -- a mechanism is a plug-in: its faults end its plan, not the scheduler
                _log.exception("mechanism %s", name)
                return PlanResult("failed", f"{type(exc).__name__}: {exc}", attempt), None
            else:
                return PlanResult("executed" if outcome.ok else "failed", outcome.message, attempt), outcome.undo
        raise AssertionError("unreachable: the last attempt returns")


def _effects(mechanism: Mechanism, name: str, command: Mapping[str, Any]) -> dict[str, str]:
    """Return what each asset is to become, as far as the mechanism tells; else the command stands for it."""
    tell = getattr(mechanism, "effects", None)
    told: Mapping[str, str] = tell(command) if tell is not None else {}
    whole = f"{name} {json.dumps(command, sort_keys=True, default=str)}"
    return {asset: told.get(asset, whole) for asset in mechanism.assets(command)}
