"""Policies come, change and go while the loop runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mlsysops_agents.loop import SqliteKnowledge, Trigger
from mlsysops_core.contracts import Scope
from mlsysops_core.plugins import LoadedPolicy

from .conftest import MakeBench, always, policy


async def counting(context: dict[str, Any], _asset: str) -> bool:
    context["count"] = context.get("count", 0) + 1
    return False


async def test_a_policy_set_later_looks_at_every_asset_of_its_scope(bench: MakeBench) -> None:
    world = await bench()
    for name in ("a", "b"):
        world.engine.add_asset(name, Scope.APPLICATION)
    world.engine.add_asset("n", Scope.NODE)
    await world.clock.advance(1)
    seen: list[str] = []

    async def analyze(_context: dict[str, Any], asset: str) -> bool:
        seen.append(asset)
        return False

    world.engine.set_policy(policy("late", analyze))
    await world.clock.advance(1)
    assert sorted(seen) == ["a", "b"]
    world.engine.remove_policy("late")
    world.engine.notify("a", Trigger("request"))
    await world.clock.advance(1)
    assert len(seen) == 2
    assert world.engine.policies == {}


async def test_a_new_version_starts_anew_and_the_same_version_goes_on(bench: MakeBench) -> None:
    made = policy("p", counting, configuration={"analyze_interval": "1h"})
    world = await bench(made)
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    configured = LoadedPolicy("p", made.policy, made.declaration, made.context, "1", "test", configuration={"limit": 5})
    world.engine.set_policy(configured)
    await world.clock.advance(1)
    context = world.knowledge.load_context("p@1", "a")
    assert context == {"configuration": {"analyze_interval": "1h", "limit": 5}, "count": 2}
    world.engine.set_policy(LoadedPolicy("p", made.policy, made.declaration, made.context, "2", "test"))
    await world.clock.advance(1)
    assert world.knowledge.load_context("p@2", "a") == {"configuration": {"analyze_interval": "1h"}, "count": 1}


async def test_a_running_turn_of_a_replaced_policy_is_ended(bench: MakeBench) -> None:
    world = await bench()

    async def for_ever(_context: dict[str, Any], _asset: str) -> bool:
        await asyncio.Event().wait()
        return True

    world.engine.set_policy(policy("p", for_ever))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    world.engine.set_policy(policy("p", always(False)))
    await world.clock.advance(1)
    assert [item["verdict"] for item in world.of("p")] == ["no-change"]


async def test_the_last_effect_of_a_policy_is_handed_over(bench: MakeBench) -> None:
    learned = policy("learned", always(True), always({"recorder": {"assets": ["a/x"]}}), machine_learning_usage=True)
    world = await bench(learned, policy("rules", always(False)))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(0.05)
    executed = next(item for item in world.of("learned") if item["outcome"] == "executed")
    world.engine.remove_policy("learned", handed_over="mode is heuristic")
    await world.clock.advance(1)
    (told,) = [item for item in world.decisions if item["verdict"] == "handed-over"]
    assert told["plan"] == executed["plan"]
    assert told["outcome"] == "kept"
    assert executed["id"] in told["message"]
    context = world.engine.conditions()
    assert context == []
    assert world.knowledge.decisions("a")[0]["verdict"] == "handed-over"


async def test_an_interrupted_plan_is_told_and_never_executed_again(bench: MakeBench, tmp_path: Path) -> None:
    store = SqliteKnowledge(tmp_path / "k.sqlite")
    store.begin("plan-1", {"asset": "a", "policy": "p", "commands": {"recorder": {"assets": ["a/x"]}}})
    world = await bench(policy("p", always(False)), knowledge=store)
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    assert world.mechanism.applied == []
    (told,) = [item for item in world.decisions if item["outcome"] == "interrupted"]
    assert (told["id"], told["plan"]) == ("plan-1", {"recorder": {"assets": ["a/x"]}})
    assert store.interrupted() == []
