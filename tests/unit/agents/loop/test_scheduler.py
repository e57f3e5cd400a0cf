"""The plan scheduler: order, conflicts by asset, retries, preconditions, cool-down, write-ahead."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from mlsysops_agents.loop import Plan, PlanScheduler, SchedulerSettings, SqliteKnowledge, VirtualClock
from mlsysops_core.contracts import Scope
from mlsysops_core.errors import Refused, Unreachable

from .conftest import MakeBench, Recorder, always, policy


class Scheduling:
    def __init__(self, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.knowledge = SqliteKnowledge(":memory:")
        self.mechanism = Recorder(self.clock)
        self.scheduler = PlanScheduler(
            {"recorder": self.mechanism}, self.clock, self.knowledge, SchedulerSettings(**settings)
        )
        self.number = 0

    def plan(self, *assets: str, core: bool = True, seen_at: float | None = None, **command: Any) -> Plan:
        self.number += 1
        seen = self.clock.monotonic() if seen_at is None else seen_at
        body = {"assets": list(assets), "number": self.number, **command}
        return Plan(str(self.number), assets[0], f"p{self.number}", core, {"recorder": body}, seen)


@pytest.fixture
async def scheduling() -> Any:
    made = Scheduling(workers=1)
    task = asyncio.create_task(made.scheduler.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_core_policies_go_first(scheduling: Scheduling) -> None:
    scheduling.mechanism.seconds = 1
    plans = [scheduling.plan(name, core=core) for name, core in (("a", True), ("b", False), ("c", False), ("d", True))]
    tasks = [asyncio.create_task(scheduling.scheduler.submit(plan)) for plan in plans]
    await scheduling.clock.advance(10)
    await asyncio.gather(*tasks)
    assert [item["number"] for item in scheduling.mechanism.applied] == [1, 4, 2, 3]


async def test_a_plan_made_before_its_asset_changed_is_superseded(scheduling: Scheduling) -> None:
    scheduling.mechanism.seconds = 1
    first, second, late = scheduling.plan("a/x", "a/y"), scheduling.plan("a/y"), scheduling.plan("a/y", seen_at=0.5)
    tasks = [asyncio.create_task(scheduling.scheduler.submit(plan)) for plan in (first, second)]
    await scheduling.clock.advance(10)
    tasks.append(asyncio.create_task(scheduling.scheduler.submit(late)))
    await scheduling.clock.advance(10)
    results = await asyncio.gather(*tasks)
    assert [result.action for result in results] == ["executed", "superseded", "superseded"]
    assert "a/y is being changed by p1" in results[1].reason
    assert "a/y was changed by p1" in results[2].reason
    third = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("a/y")))
    await scheduling.clock.advance(2)
    assert (await third).action == "executed"


async def test_transient_errors_are_tried_again_others_are_not(scheduling: Scheduling) -> None:
    scheduling.mechanism.fail = lambda attempt: Unreachable("away") if attempt < 3 else None
    task = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("a")))
    await scheduling.clock.advance(0.4)
    assert scheduling.mechanism.attempts == 1
    await scheduling.clock.advance(5)
    result = await task
    assert (result.action, result.attempts) == ("executed", 3)

    scheduling.mechanism.fail = lambda _attempt: Refused("forbidden")
    task = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("b")))
    await scheduling.clock.advance(5)
    result = await task
    assert (result.action, result.attempts, result.reason) == ("failed", 1, "recorder: forbidden")


async def test_a_mechanism_that_raises_anything_fails_its_plan_only(scheduling: Scheduling) -> None:
    scheduling.mechanism.fail = lambda attempt: KeyError("bug") if attempt == 1 else None
    tasks = [asyncio.create_task(scheduling.scheduler.submit(scheduling.plan(name))) for name in "ab"]
    await scheduling.clock.advance(1)
    assert [(await task).action for task in tasks] == ["failed", "executed"]


async def test_a_command_whose_precondition_is_gone_is_not_executed(scheduling: Scheduling) -> None:
    scheduling.mechanism.objection = "the application is gone"
    task = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("a")))
    await scheduling.clock.advance(1)
    result = await task
    assert (result.action, result.reason) == ("stale", "recorder: the application is gone")
    assert scheduling.mechanism.applied == []


async def test_others_leave_an_asset_alone_while_it_cools_down(scheduling: Scheduling) -> None:
    async def submit(*, core: bool) -> str:
        task = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("a", core=core)))
        await scheduling.clock.advance(0.01)
        return (await task).action

    assert await submit(core=False) == "executed"
    await scheduling.clock.advance(1)
    assert await submit(core=False) == "cool-down"
    assert await submit(core=True) == "executed"
    await scheduling.clock.advance(11)
    assert await submit(core=False) == "executed"


async def test_a_plan_is_written_down_before_it_is_executed(scheduling: Scheduling) -> None:
    scheduling.mechanism.seconds = 5
    task = asyncio.create_task(scheduling.scheduler.submit(scheduling.plan("a")))
    await scheduling.clock.advance(1)
    (found,) = scheduling.knowledge.interrupted()
    assert (found["asset"], found["policy"]) == ("a", "p1")
    await scheduling.clock.advance(10)
    await task
    assert scheduling.knowledge.interrupted() == []


async def test_a_plan_for_an_unknown_mechanism_is_refused(scheduling: Scheduling) -> None:
    result = await scheduling.scheduler.submit(Plan("1", "a", "p", True, {"warp": {"assets": ["a"]}}, 0.0))
    assert (result.action, result.reason) == ("refused", "this agent has no mechanism warp")


async def test_never_two_plans_on_one_asset_whatever_comes() -> None:
    """The mechanism of the bench asserts it; random plans by eight workers try to break it."""
    randomness = random.Random(7)
    made = Scheduling(workers=8, cool_down=0.0)
    made.mechanism.seconds = 0.3
    runner = asyncio.create_task(made.scheduler.run())
    tasks = []
    for _ in range(300):
        assets = randomness.sample("abcdefgh", randomness.randint(1, 3))
        tasks.append(asyncio.create_task(made.scheduler.submit(made.plan(*assets, core=randomness.random() < 0.5))))
        await made.clock.advance(randomness.random() * 0.2)
    await made.clock.advance(100)
    actions = [(await task).action for task in tasks]
    assert set(actions) == {"executed", "superseded"}
    assert actions.count("executed") == len(made.mechanism.applied)
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)


async def test_a_core_policy_on_the_same_asset_wins_and_the_other_looks_again(bench: MakeBench) -> None:
    def plan_of(name: str) -> Any:
        return always({"recorder": {"assets": ["a/x"], "by": name}})

    done: set[str] = set()

    def once(name: str) -> Any:
        async def analyze(_context: dict[str, Any], _asset: str) -> bool:
            seen.append(name)
            return not any(item.get("by") == name for item in world.mechanism.applied)

        return analyze

    seen: list[str] = []
    world = await bench(
        policy("user", once("user"), plan_of("user"), configuration={"analyze_interval": "30s"}),
        policy("core", once("core"), plan_of("core"), core=True),
    )
    world.mechanism.seconds = 0.5
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(60)
    assert [item["by"] for item in world.mechanism.applied] == ["core", "user"]
    assert not done
    actions = [item["outcome"] for item in world.of("user")]
    assert actions[0] in {"superseded", "cool-down"}
    assert "executed" in actions
