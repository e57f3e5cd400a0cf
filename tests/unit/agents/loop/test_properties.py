"""The loop and its scheduler whatever comes: a state machine turns everything that can be turned, under virtual time.

What must hold: no trigger is lost, no plan is executed twice (not even across a kill), never two plans on one asset at a time,
every plan that was executed is told exactly once, and nothing that waits grows without bound.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mlsysops_agents.loop import Engine, EngineSettings, SchedulerSettings, SqliteKnowledge, Trigger, VirtualClock
from mlsysops_agents.loop.database import NotWritten, Statement
from mlsysops_core.contracts import AgentIdentity, Outcome, Sample, Scope
from mlsysops_core.errors import Refused, Unreachable
from mlsysops_core.plugins import LoadedPolicy

from .conftest import World, policy

T = TypeVar("T")
POLICIES = {"core": True, "user": False, "other": False}
ASSETS = [f"a{number}" for number in range(6)]
METRIC = "load"
QUEUE = 4
SETTINGS = EngineSettings(
    concurrency=3,
    policy_concurrency=2,
    late_assets=3,
    scheduler=SchedulerSettings(queue=QUEUE, workers=2, cool_down=5.0),
)
#: What policies and the mechanism do; the first ones oftener, for only they lead to plans that meet.
BEHAVIOURS = st.sampled_from(["acts", "acts", "acts", "quiet", "slow", "raises", "hangs"])
HANDS = st.sampled_from(["slow", "slow", "works", "works", "hangs", "away", "refuses", "stale"])
#: The longest pause of a breaker, the longest hold and the longest time for one try, with room for a few of them.
ALL_OVER_SECONDS = 3000.0


class Hand:
    """The mechanism of one life of the agent; its assets are shared by several of the loop's."""

    def __init__(self, machine: Loop) -> None:
        self._machine = machine
        self._active: set[str] = set()

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        machine = self._machine
        assets = self.assets(command)
        if assets & self._active:
            machine.faults.append(f"two plans on {assets & self._active}")
        if not machine.store.is_written(command["serial"]):
            machine.faults.append(f"plan {command['serial']} is executed and not written down")
        machine.begun[command["serial"]] += 1
        self._active |= assets
        try:
            if machine.hand == "slow":
                await machine.clock.sleep(3.0)
            elif machine.hand == "hangs":
                await asyncio.Event().wait()
            elif machine.hand == "away":
                machine.begun[command["serial"]] -= 1  # nothing was done
                raise Unreachable("away")
            elif machine.hand == "refuses":
                raise Refused("no")
            return Outcome(ok=True)
        finally:
            self._active -= assets

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(command["assets"])

    def effects(self, command: Mapping[str, Any]) -> Mapping[str, str]:
        return {asset: str(command["serial"]) for asset in command["assets"]}

    def check(self, command: Mapping[str, Any]) -> str:
        return "gone" if self._machine.hand == "stale" else ""

    def get_state(self) -> dict[str, Any]:
        return {}

    get_status = get_options = get_state


class Store(SqliteKnowledge):
    """A store of one life: nothing is written to it any more once that life is over, and nothing while the disk is full."""

    def __init__(self, machine: Loop, path: Path) -> None:
        super().__init__(path, now=machine.clock.time, monotonic=machine.clock.monotonic)
        self.dead = False
        write = self._db.write_now

        def write_now(*statements: Statement) -> None:
            if self.dead or machine.full:
                raise NotWritten("full")
            write(*statements)

        self._db.write_now = write_now  # type: ignore[method-assign]

    def is_written(self, serial: int) -> bool:
        """Whether a next process would know that a plan was begun."""
        rows = self._db.read(
            "SELECT id FROM plan WHERE outcome IS NULL AND json_extract(body, '$.commands.hand.serial') = ?", (serial,)
        )
        return len(rows) == 1


class Loop(RuleBasedStateMachine):
    """The engine, and what is known of what it should have done."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="loop-"))
        self.clock = VirtualClock()
        self.faults: list[str] = []
        self.behaviour = dict.fromkeys(POLICIES, "quiet")
        self.versions = dict.fromkeys(POLICIES, 1)
        self.present = set(POLICIES)
        self.assets: set[str] = set()
        self.changes: Counter[str] = Counter()
        self.seen: dict[tuple[str, str], int] = {}
        self.calls: Counter[str] = Counter()
        self.serial = 0
        self.begun: Counter[int] = Counter()
        self.hand = "works"
        self.full = False

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run_until_complete(work)

    def make(self, name: str) -> LoadedPolicy:
        async def analyze(_context: dict[str, Any], asset: str) -> bool:
            self.calls[name] += 1
            try:
                kind = sum(self.calls[other] for other, core in POLICIES.items() if core is POLICIES[name])
                if self.calls[name] > SETTINGS.policy_concurrency or kind > SETTINGS.concurrency:
                    self.faults.append(f"too many analyses side by side: {self.calls}")
                changes, behaviour = self.changes[asset], self.behaviour[name]
                if behaviour == "raises":
                    raise ValueError("a fault")
                if behaviour == "hangs":
                    await asyncio.Event().wait()
                if behaviour == "slow":
                    await self.clock.sleep(2.0)
                self.seen[name, asset] = changes
                return behaviour == "acts"
            finally:
                self.calls[name] -= 1

        async def plan(_context: dict[str, Any], asset: str) -> dict[str, Any]:
            self.serial += 1
            return {"hand": {"assets": [asset, f"shared-{int(asset[1:]) // 2}"], "serial": self.serial}}

        made = policy(name, analyze, plan, core=POLICIES[name], telemetry={"metrics": [METRIC]})
        return LoadedPolicy(name, made.policy, made.declaration, made.context, str(self.versions[name]), "test")

    async def _begin(self) -> None:
        self.store = Store(self, self.directory / "knowledge.sqlite")
        self.engine = Engine(
            AgentIdentity("cluster", "c"),
            clock=self.clock,
            knowledge=self.store,
            inputs=World(),
            policies=[self.make(name) for name in sorted(self.present)],
            mechanisms={"hand": Hand(self)},
            settings=SETTINGS,
        )
        self.task = asyncio.create_task(self.engine.run())
        for asset in sorted(self.assets):
            self.engine.add_asset(asset, Scope.APPLICATION)
        await self.clock.settle()

    async def _kill(self) -> None:
        self.store.dead = True
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.clock.settle()
        self.store._db._backlog.clear()
        self.store._db._connection.close()

    # -- what may happen ---------------------------------------------------------------------------------------

    @initialize(
        assets=st.sets(st.sampled_from(ASSETS), min_size=2),
        behaviour=st.fixed_dictionaries(dict.fromkeys(POLICIES, BEHAVIOURS)),
        hand=HANDS,
    )
    def begin(self, assets: set[str], behaviour: dict[str, str], hand: str) -> None:
        self.assets, self.behaviour, self.hand = assets, behaviour, hand
        self.go(self._begin())

    @rule()
    def everything_changes(self) -> None:
        async def notify() -> None:
            self.changes.update(ASSETS)
            for asset in sorted(self.assets):
                self.engine.notify(asset, Trigger("change", "all"))
            await self.clock.settle()

        self.go(notify())

    @rule(asset=st.sampled_from(ASSETS))
    def asset_comes(self, asset: str) -> None:
        async def come() -> None:
            self.engine.add_asset(asset, Scope.APPLICATION)

        self.assets.add(asset)
        self.go(come())

    @rule(asset=st.sampled_from(ASSETS))
    def asset_goes(self, asset: str) -> None:
        async def leave() -> None:
            self.engine.remove_asset(asset)

        self.assets.discard(asset)
        for name in POLICIES:
            self.seen.pop((name, asset), None)
        self.go(leave())

    @rule(asset=st.sampled_from(ASSETS), times=st.integers(1, 20))
    def something_changes(self, asset: str, times: int) -> None:
        async def notify() -> None:
            for number in range(times):
                self.changes[asset] += 1
                self.engine.notify(asset, Trigger("change", str(number)))
            await self.clock.settle()

        self.go(notify())

    @rule(concerned=st.none() | st.sets(st.sampled_from(ASSETS)))
    def sample_arrives(self, concerned: set[str] | None) -> None:
        async def observe() -> None:
            self.changes.update(ASSETS if concerned is None else concerned)
            self.engine.observe([Sample(METRIC, 1.0, self.clock.time())], lambda _sample: concerned)
            await self.clock.settle()

        self.go(observe())

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.15, 0.15, 1.0, 1.0, 2.0, 7.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.go(self.clock.advance(seconds))

    @rule(name=st.sampled_from(sorted(POLICIES)), to=BEHAVIOURS)
    def policy_behaves(self, name: str, to: str) -> None:
        self.behaviour[name] = to

    @rule(to=HANDS)
    def mechanism_behaves(self, to: str) -> None:
        self.hand = to

    @rule(name=st.sampled_from(sorted(POLICIES)), another=st.booleans())
    def policy_is_set(self, name: str, another: bool) -> None:
        async def set_policy() -> None:
            self.engine.set_policy(self.make(name))
            await self.clock.settle()

        self.versions[name] += another
        self.present.add(name)
        self.go(set_policy())

    @rule(name=st.sampled_from(sorted(POLICIES)), handed_over=st.sampled_from(["", "mode"]))
    def policy_is_removed(self, name: str, handed_over: str) -> None:
        async def remove() -> None:
            self.engine.remove_policy(name, handed_over=handed_over)
            await self.clock.settle()

        self.present.discard(name)
        self.go(remove())

    @rule(full=st.booleans())
    def disk_is_full(self, full: bool) -> None:
        self.full = full

    @precondition(lambda self: not self.full)
    @rule()
    def agent_is_killed(self) -> None:
        async def again() -> None:
            await self._kill()
            await self._begin()

        self.go(again())

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert self.faults == []

    @invariant()
    def no_plan_is_executed_twice(self) -> None:
        assert all(count <= 1 for count in self.begun.values())

    @invariant()
    def what_waits_is_bounded(self) -> None:
        if not hasattr(self, "engine"):
            return
        engine = self.engine
        assert len(engine._scheduler._queue) <= QUEUE
        assert len(engine._analyses) <= len(POLICIES) * len(ASSETS)
        assert all(len(analysis.pending) <= 8 for analysis in engine._analyses.values())
        assert len(engine._timers._heap) <= 2 * len(engine._timers) + 64
        assert set(engine._by_asset) <= self.assets

    def teardown(self) -> None:
        try:
            if hasattr(self, "engine"):
                try:
                    self.go(self._come_to_rest())
                    self.at_rest()
                finally:
                    self.go(self._kill())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    async def _come_to_rest(self) -> None:
        self.behaviour = dict.fromkeys(POLICIES, "quiet")
        self.hand, self.full = "works", False
        await self.clock.advance(ALL_OVER_SECONDS)

    def at_rest(self) -> None:
        """After all pauses are over: every trigger was seen, every plan that was begun was told once, and nothing is left over."""
        assert self.faults == []
        for name in self.present:
            for asset in self.assets:
                assert self.seen.get((name, asset)) == self.changes[asset], f"{name} missed a trigger of {asset}"
        assert self.engine.conditions() == []
        assert self.engine._scheduler._queue == []
        self.store.record({"id": "the last", "asset": "none"})  # what waited for the disk is written now
        decisions = self.store.decisions(limit=100_000)
        told = (
            Counter(
                item["plan"]["hand"]["serial"]
                for item in decisions
                if item["outcome"] in ("executed", "failed", "rolled-back", "interrupted")
                and item["verdict"] == "adapt"
            )
            if (decisions := [item for item in decisions if item.get("plan", {}).get("hand")])
            else Counter()
        )
        done = {serial for serial, count in self.begun.items() if count}
        assert done <= set(told), "a plan was executed and nobody tells of it"
        assert all(count == 1 for count in told.values())
        assert self.store._db.read("SELECT id FROM plan") == []


Loop.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
TestLoop = Loop.TestCase
