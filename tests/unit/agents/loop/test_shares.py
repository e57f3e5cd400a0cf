"""A policy that hangs has a few slots and then a pause; the others do not notice."""

from __future__ import annotations

import asyncio
from typing import Any

from mlsysops_agents.loop import EngineSettings, Trigger
from mlsysops_core.contracts import Scope

from .conftest import MakeBench, always, policy

ASSETS = 200


async def hang(_context: dict[str, Any], _asset: str) -> bool:
    await asyncio.Event().wait()
    return True


async def test_a_policy_that_hangs_on_every_asset_does_not_starve_another(bench: MakeBench) -> None:
    seen: dict[str, float] = {}

    async def good(_context: dict[str, Any], asset: str) -> bool:
        seen[asset] = world.clock.monotonic()
        return False

    world = await bench(policy("hang", hang), policy("good", good))
    for number in range(ASSETS):
        world.engine.add_asset(f"a{number}", Scope.APPLICATION)
    for _ in range(ASSETS):
        await world.clock.settle()
    assert len(seen) == ASSETS
    assert set(seen.values()) == {0.0}  # the first round needed no time at all
    await world.clock.advance(45)
    seen.clear()
    began = world.clock.monotonic()
    for number in range(ASSETS):
        world.engine.notify(f"a{number}", Trigger("change"))
    for _ in range(ASSETS):
        await world.clock.settle()
    assert len(seen) == ASSETS
    assert set(seen.values()) == {began}


async def test_a_policy_late_on_several_assets_pauses_as_a_whole_and_it_is_told(bench: MakeBench) -> None:
    hanging = True
    calls: list[str] = []

    async def analyze(context: dict[str, Any], asset: str) -> bool:
        calls.append(asset)
        return await hang(context, asset) if hanging else False

    world = await bench(policy("p", analyze))
    for number in range(ASSETS):
        world.engine.add_asset(f"a{number}", Scope.APPLICATION)
    await world.clock.advance(25)
    (told,) = world.engine.conditions()
    assert (told["policy"], told["asset"], told["reason"]) == ("p", "all", "CircuitOpen")
    assert "was late on 4 assets in a row" in told["message"]
    assert len(calls) <= 8  # those under way when it opened, and no other
    hanging = False
    await world.clock.advance(60)
    for _ in range(ASSETS):
        await world.clock.settle()
    assert world.engine.conditions() == []
    assert set(calls) == {f"a{number}" for number in range(ASSETS)}  # no trigger was lost


async def test_another_version_of_a_paused_policy_is_asked_at_once(bench: MakeBench) -> None:
    world = await bench(policy("p", hang))
    for number in range(10):
        world.engine.add_asset(f"a{number}", Scope.APPLICATION)
    await world.clock.advance(25)
    assert world.engine.conditions()
    seen: list[str] = []

    async def mended(_context: dict[str, Any], asset: str) -> bool:
        seen.append(asset)
        return False

    world.engine.set_policy(policy("p", mended))
    await world.clock.settle()
    await world.clock.settle()
    assert len(seen) == 10
    assert world.engine.conditions() == []


async def test_a_policy_late_on_some_assets_goes_on_with_the_others(bench: MakeBench) -> None:
    async def analyze(context: dict[str, Any], asset: str) -> bool:
        return await hang(context, asset) if asset == "bad" else False

    world = await bench(policy("p", analyze), settings=EngineSettings(late_assets=2))
    for name in ("bad", "x", "y"):
        world.engine.add_asset(name, Scope.APPLICATION)
    for _ in range(10):
        await world.clock.advance(10)
        world.engine.notify("x", Trigger("change"))
    assert [item["asset"] for item in world.engine.conditions()] == ["bad"]


async def test_core_policies_run_however_many_others_hang(bench: MakeBench) -> None:
    seen: list[float] = []

    async def core(_context: dict[str, Any], _asset: str) -> bool:
        seen.append(world.clock.monotonic())
        return False

    hanging = [policy(f"hang{number}", hang) for number in range(EngineSettings().concurrency)]
    world = await bench(*hanging, policy("core", core, core=True))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.settle()
    world.engine.notify("a", Trigger("change"))
    await world.clock.advance(1)
    assert len(seen) == 2
    assert max(seen) <= 1.0  # those that hang are given up after ten seconds


async def test_core_plans_are_executed_however_long_others_take(bench: MakeBench) -> None:
    async def commanded(_context: dict[str, Any], asset: str) -> dict[str, Any]:
        return {"recorder": {"assets": [asset]}}

    async def commanded_by_core(_context: dict[str, Any], asset: str) -> dict[str, Any]:
        return {"recorder": {"assets": [f"core of {asset}"]}}

    users = [policy(f"user{number}", always(True), commanded) for number in range(2)]
    world = await bench(*users, policy("core", always(True), commanded_by_core, core=True, scope="node"))
    world.mechanism.seconds = 50.0
    for number in range(8):
        world.engine.add_asset(f"a{number}", Scope.APPLICATION)
    await world.clock.settle()
    world.engine.add_asset("n", Scope.NODE)
    await world.clock.advance(1)
    assert len(world.mechanism.active) == 5
    assert "core of n" in world.mechanism.active
