"""What must not grow with time, however much comes and goes."""

from __future__ import annotations

import random

from mlsysops_agents.loop import Trigger, VirtualClock
from mlsysops_agents.loop.timers import Timers
from mlsysops_core.contracts import Scope

from .conftest import MakeBench, always, policy


async def test_the_heap_of_timers_does_not_grow_with_those_that_are_replaced_or_cancelled(bench: MakeBench) -> None:
    world = await bench(policy("p", always(False), configuration={"analyze_interval": "1h"}))
    world.engine.add_asset("a", Scope.APPLICATION)
    for _ in range(500):
        world.engine.notify("a", Trigger("change", "x"))
        await world.clock.advance(0.2)
    timers = world.engine._timers
    assert len(timers) == 1
    assert len(timers._heap) <= 2 + 64


def test_every_timer_is_due_once_at_its_time_whatever_is_tidied() -> None:
    randomness = random.Random(3)
    clock = VirtualClock()
    fired: list[object] = []
    timers = Timers(clock, fired.append)
    expected: dict[int, float] = {}
    for _ in range(20_000):
        key = randomness.randrange(200)
        if randomness.random() < 0.3:
            timers.cancel(key)
            expected.pop(key, None)
        else:
            expected[key] = float(randomness.randrange(1000))
            timers.set(key, expected[key])
        assert len(timers._heap) <= 2 * len(timers) + 64
    assert len(timers) == len(expected)
    clock._now = 1000.0
    timers._fire()
    assert sorted(map(str, fired)) == sorted(map(str, expected))
    assert [expected[key] for key in fired] == sorted(expected.values())  # type: ignore[index]


async def test_nothing_is_left_of_assets_that_came_and_went(bench: MakeBench) -> None:
    world = await bench(policy("p", always(False), telemetry={"metrics": ["load"]}))
    for number in range(50):
        world.engine.add_asset(f"x{number}", Scope.APPLICATION)
        await world.clock.advance(0.01)
        world.engine.remove_asset(f"x{number}")
    assert world.engine._cycle._quiet == set()
    assert dict(world.engine._by_metric) == {}
    assert dict(world.engine._by_asset) == {}
    assert len(world.engine._timers) == 0
