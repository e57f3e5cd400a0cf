"""The knowledge store in every direction that it could grow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.loop import SqliteKnowledge
from mlsysops_agents.loop.knowledge import Bounds
from mlsysops_core.contracts import Scope

from .conftest import MakeBench, policy

DAY = 86_400.0


def decision(number: int, time: str = "2026-01-02T00:00:00.000Z", **more: Any) -> dict[str, Any]:
    return {"id": str(number), "asset": "a", "time": time, **more}


def contexts(store: SqliteKnowledge) -> set[tuple[str, str]]:
    return set(store._db.read("SELECT policy, asset FROM context"))


def test_what_is_too_long_of_a_decision_is_cut_and_says_so() -> None:
    store = SqliteKnowledge(":memory:", bounds=Bounds(body=10_000))
    store.record(decision(1, plan={"x": "y" * 1_000_000}, message="m" * 50_000, rejected=[{"filter": "f"}]))
    (kept,) = store.decisions("a")
    assert len(json.dumps(kept)) < 10_000
    assert kept["cut"] == ["plan", "message"]
    assert kept["plan"] == {"cut": "1000009 characters left out"}
    assert kept["message"].startswith("mmmm")
    assert "50002 characters left out" in kept["message"]
    assert kept["rejected"] == [{"filter": "f"}]
    store.record(decision(2, message="short"))
    assert "cut" not in store.decisions("a")[0]


def test_all_decisions_together_have_so_many_bytes_and_the_newest_stay(tmp_path: Path) -> None:
    bounds = Bounds(bytes=100_000)
    store = SqliteKnowledge(tmp_path / "k.sqlite", bounds=bounds)
    for number in range(1000):
        store.record(decision(number, message="m" * 1000))
        assert store._total("decision") <= bounds.bytes
    assert store.decisions(limit=1)[0]["id"] == "999"
    assert len(store.decisions(limit=1000)) > 60
    store.close()


def test_decisions_are_dropped_by_age(tmp_path: Path) -> None:
    path = tmp_path / "k.sqlite"
    bounds = Bounds(age=10 * DAY)
    store = SqliteKnowledge(path, bounds=bounds, now=lambda: 1767225600.0)  # 2026-01-01
    for day in (1, 5, 20):
        store.record(decision(day, time=f"2026-01-{day:02}T00:00:00.000Z"))
    store.close()
    later = SqliteKnowledge(path, bounds=bounds, now=lambda: 1767225600.0 + 12 * DAY)  # the 13th
    assert [item["id"] for item in later.decisions()] == ["20", "5"]
    later._now = lambda: 1767225600.0 + 16 * DAY
    later.retain(set(), set())
    assert [item["id"] for item in later.decisions()] == ["20"]
    later.close()


def test_a_context_that_is_too_large_is_not_kept_and_neither_is_the_one_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SqliteKnowledge(":memory:", bounds=Bounds(context=1000, bytes=5000))
    store.save_context("p@1", "a", {"n": 1})
    store.save_context("p@1", "a", {"n": "x" * 2000})
    assert store.load_context("p@1", "a") is None
    assert "it has 2009 characters" in caplog.text
    for _ in range(100):
        store.save_context("p@1", "b", {"n": "x" * 900})  # again and again the same one: that is no growth
    assert store.load_context("p@1", "b") is not None
    for number in range(20):
        store.save_context("p@1", str(number), {"n": "x" * 900})
    assert store._total("context") <= 5000
    assert "all the room" in caplog.text


async def test_contexts_of_other_versions_and_of_removed_policies_go(bench: MakeBench) -> None:
    async def analyze(context: dict[str, Any], _asset: str) -> bool:
        context["n"] = context.get("n", 0) + 1
        return False

    made = policy("p", analyze)
    world = await bench(made, policy("pp", analyze))
    for name in ("a", "b"):
        world.engine.add_asset(name, Scope.APPLICATION)
    for version in range(2, 6):
        await world.clock.advance(1)
        world.engine.set_policy(replace(made, version=str(version)))
    await world.clock.advance(1)
    of_p = {item for item in contexts(world.knowledge) if item[0].startswith("p@5")}
    assert of_p == {("p@5", "a"), ("p@5", "b")}
    assert not {item for item in contexts(world.knowledge) if item[0] in ("p@1", "p@2", "p@3", "p@4")}
    assert ("pp@1", "a") in contexts(world.knowledge)
    world.engine.remove_policy("p", handed_over="mode is heuristic")
    assert ("p@5", "a") in contexts(world.knowledge)  # it may come back
    world.engine.set_policy(replace(made, version="5"))
    await world.clock.advance(1)
    assert world.knowledge.load_context("p@5", "a") == {"n": 2}
    world.engine.remove_policy("p", keep=True)
    assert ("p@5", "a") in contexts(world.knowledge)
    world.engine.set_policy(replace(made, version="5"))
    world.engine.remove_policy("p")
    assert not {item for item in contexts(world.knowledge) if item[0] == "p@5"}


async def test_assets_that_went_while_the_agent_was_down_are_forgotten(bench: MakeBench) -> None:
    async def analyze(context: dict[str, Any], _asset: str) -> bool:
        context["n"] = 1
        return False

    store = SqliteKnowledge(":memory:")
    for asset in ("here", "gone"):
        store.save_context("p@1", asset, {"n": 0})
        store.save_context("off@1", asset, {"n": 0})
    world = await bench(policy("p", analyze), knowledge=store)
    world.engine.add_asset("here", Scope.APPLICATION)
    await world.clock.advance(500)
    assert store.load_context("p@1", "gone") is not None  # the agent may not have seen all of its assets yet
    await world.clock.advance(200)
    assert contexts(store) == {("p@1", "here"), ("off@1", "here")}


def test_contexts_of_policies_that_do_not_come_back_go_by_age() -> None:
    time = [1_000_000_000.0]
    store = SqliteKnowledge(":memory:", bounds=Bounds(age=30 * DAY), now=lambda: time[0])
    store.save_context("on@1", "a", {"n": 0})
    store.save_context("off@1", "a", {"n": 0})
    for _ in range(29):
        store.retain({"a"}, {"on@1"})
        time[0] += DAY
    assert contexts(store) == {("on@1", "a"), ("off@1", "a")}
    for _ in range(3):
        store.retain({"a"}, {"on@1"})
        time[0] += DAY
    assert contexts(store) == {("on@1", "a")}
