"""What policies answer that cannot be written down or told: it ends their own turn, and the next one comes."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from mlsysops_agents.loop import status_entry
from mlsysops_agents.loop.plain import plain
from mlsysops_core.contracts import Scope

from .conftest import MakeBench, always, policy

EVERY_SECOND = {"configuration": {"analyze_interval": "1s"}}


def strictly(value: Any) -> str:
    """Return JSON as RFC 8259 has it: what Python would let through besides is refused."""
    text = json.dumps(value, allow_nan=False)
    json.loads(text)["message"].encode()
    return text


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"assets": ["x"], ("t", "u"): 1}, "cannot be written down"),
        ({"assets": ["x"], "level": float("nan")}, "cannot be written down"),
        ({"assets": ["x"], "text": "x" * 2**20}, "a plan has 1048576 at most"),
    ],
    ids=["keys", "no number", "size"],
)
async def test_a_plan_that_cannot_be_written_down_is_a_fault_of_its_policy(
    bench: MakeBench, command: dict[Any, Any], says: str
) -> None:
    world = await bench(policy("p", always(True), always({"recorder": command}), **EVERY_SECOND))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(10)
    told = world.of("p")
    assert len(told) >= 3  # it was asked again, until its breaker opened
    assert {(item["verdict"], says in item["message"]) for item in told} == {("error", True)}
    assert world.mechanism.applied == []
    assert world.engine.conditions()[0]["reason"] == "CircuitOpen"


async def test_an_interval_beyond_all_numbers_leaves_the_one_declared_first(bench: MakeBench) -> None:
    turns = 0

    async def analyze(context: dict[str, Any], _asset: str) -> bool:
        nonlocal turns
        turns += 1
        context["configuration"] = {"analyze_interval": 10**400, "priority": 10**400}
        return False

    world = await bench(policy("p", analyze, **EVERY_SECOND))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(10)
    assert turns >= 10


async def test_a_turn_that_nobody_can_be_told_of_is_followed_by_another(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def analyze(_context: dict[str, Any], _asset: str) -> bool:
        nonlocal turns
        turns += 1
        return True

    world = await bench(policy("p", analyze, **EVERY_SECOND))

    def broken(_decision: Any) -> None:
        raise ValueError("nobody listens")

    monkeypatch.setattr(world.engine._cycle, "_on_decision", broken)
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(10)
    assert turns >= 3


async def test_what_is_told_of_an_odd_turn_is_json_to_everybody_and_no_longer_than_a_status_may_be(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    # What a test logs goes with its report, which is UTF-8 on the way from one process of pytest to another.
    caplog.set_level(logging.CRITICAL + 1, "mlsysops_agents")

    async def plan(_context: dict[str, Any], _asset: str) -> Any:
        raise ValueError("half a pair \ud800" + "x" * 100_000)

    world = await bench(policy("p", always(True), plan))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    told = world.of("p")[0]
    assert len(strictly(told)) < 10_000
    entry = status_entry({**told, "plan": {"m": {"text": "x" * 200_000}}, "inputs": {"v": ["x" * 200_000]}})
    assert len(strictly({**entry, "message": ""})) < 10_000


async def test_decisions_against_a_plan_and_failed_ones_have_their_inputs(bench: MakeBench) -> None:
    async def fails(_context: dict[str, Any], _asset: str) -> Any:
        raise ValueError("no")

    world = await bench(policy("quiet", always(False)), policy("broken", fails))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    assert {(item["verdict"], item["inputs"]["asset"]) for item in world.decisions} == {
        ("no-change", "a"),
        ("error", "a"),
    }


def test_plain_values_stay_and_others_become_text() -> None:
    value = {"a": [1, 2.5, None, True, "ä😀"]}
    assert plain(value) is not None
    assert plain(value) == value
    odd = {("t",): float("inf"), "s": {3}, "d": "\ud800", "o": object}
    assert json.loads(json.dumps(plain(odd), allow_nan=False)) == {
        "('t',)": "inf",
        "s": [3],
        "d": "?",
        "o": "<class 'object'>",
    }
    nested: list[Any] = []
    nested.append(nested)
    assert "…" in json.dumps(plain(nested), ensure_ascii=False)
