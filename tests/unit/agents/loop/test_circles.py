"""Circles of effects, short and long, fast and slow, and across a restart of the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
from mlsysops_agents.loop import Plan, PlanScheduler, SchedulerSettings, SqliteKnowledge, VirtualClock
from mlsysops_agents.loop.oscillation import Oscillations

from .conftest import Recorder

DAY = 86_400.0


class Asset:
    """Policies that insist: what is held is tried again until it may be."""

    def __init__(self) -> None:
        self.swings = Oscillations(900, 300, 3600)
        self.now = 0.0
        self.moves = 0
        self.pauses: list[float] = []

    def go(self, effects: Iterator[str], every: float) -> None:
        for effect in effects:
            _, pause = self.swings.objection("x", effect, f"wants {effect}", self.now)
            while pause:
                self.pauses.append(pause)
                self.now += pause
                _, pause = self.swings.objection("x", effect, f"wants {effect}", self.now)
            self.swings.note("x", effect, f"wants {effect}", self.now)
            self.moves += 1
            self.now += every


@pytest.mark.parametrize("circle", ["AB", "ABC", "ABCD", "ABCDE", "ABCDEF", "ABAC"])
def test_a_circle_of_any_short_length_is_held_after_two_rounds(circle: str) -> None:
    asset = Asset()
    asset.go(islice(cycle(circle), 2 * len(circle) - 1), 20)
    assert asset.pauses == []
    asset.go(islice(cycle(circle), 2 * len(circle) - 1, 2 * len(circle)), 20)
    assert asset.pauses[0] == 300


@pytest.mark.parametrize("every", [20, 310, 900, 1200])
def test_the_window_grows_with_the_rounds_so_slow_circles_are_held_too(every: float) -> None:
    asset = Asset()
    asset.go(islice(cycle("AB"), 400), every)
    assert len(asset.pauses) >= 3
    assert max(asset.pauses) >= 600


def test_moves_become_rare_where_policies_go_on_for_ever() -> None:
    asset = Asset()
    asset.go(islice(cycle("ABC"), 400), 20)
    assert asset.now > 400 * 20 * 5  # most of the time the asset was left alone
    assert max(asset.pauses) == 3600


@pytest.mark.parametrize(
    "effects",
    [
        [f"n{number}" for number in range(200)],  # never the same again
        ["A"] * 200,  # always the same
        ["A", "B", "C", "D", "B", "A", "D", "C", "A"],  # no circle
    ],
)
def test_what_is_no_circle_is_not_held(effects: list[str]) -> None:
    asset = Asset()
    asset.go(iter(effects), 20)
    assert asset.pauses == []


def test_day_and_night_are_no_swing() -> None:
    asset = Asset()
    asset.go(islice(cycle("AB"), 400), DAY / 2)
    assert asset.pauses == []


def test_while_it_is_held_no_member_of_the_circle_is_let_in_but_something_new_is() -> None:
    swings = Oscillations(900, 300, 3600)
    for index, effect in enumerate("ABCAB"):
        swings.note("x", effect, "p", index * 10.0)
    assert swings.objection("x", "C", "p", 50.0)[1] == 300
    assert swings.objection("x", "A", "p", 60.0)[1] == 290
    assert swings.objection("x", "B", "p", 60.0)[1] == 0  # it is there already
    assert swings.objection("x", "D", "p", 60.0)[1] == 0


async def test_what_was_held_is_held_after_a_restart_and_for_longer_the_next_time(tmp_path: Path) -> None:
    async def run(clock: VirtualClock, store: SqliteKnowledge, effects: str) -> list[str]:
        scheduler = PlanScheduler({"r": Recorder(clock)}, clock, store, SchedulerSettings(cool_down=0))  # type: ignore[dict-item]
        runner = asyncio.create_task(scheduler.run())
        actions = []
        for number, effect in enumerate(effects):
            plan = Plan(str(number), "x", "p", False, {"r": {"assets": ["x"], "to": effect}}, clock.monotonic())
            task = asyncio.create_task(scheduler.submit(plan))
            await clock.advance(1)
            actions.append((await task).action)
        told.append([item["asset"] for item in scheduler.oscillations()])
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
        return actions

    told: list[list[str]] = []
    path = tmp_path / "k.sqlite"
    first = SqliteKnowledge(path)
    assert await run(VirtualClock(), first, "ABAB") == ["executed"] * 3 + ["held"]
    first.close()

    second = SqliteKnowledge(path)
    assert await run(VirtualClock(1_700_000_100.0), second, "BC") == ["held", "executed"]
    assert told[-1] == ["x"]
    second.close()

    third = SqliteKnowledge(path)
    assert await run(VirtualClock(1_700_000_400.0), third, "B") == ["held"]  # the first hold is over, a second begins
    assert third.holds()["x"]["hold"] == 600
    third.close()

    late = SqliteKnowledge(path)
    assert await run(VirtualClock(1_700_000_000.0 + DAY), late, "B") == ["executed"]
    assert late.holds() == {}
    late.close()
