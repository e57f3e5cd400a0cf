"""Plans that break half way are taken back; assets that policies change to and fro are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlsysops_agents.loop import Plan, PlanResult, PlanScheduler, SchedulerSettings, SqliteKnowledge, VirtualClock
from mlsysops_agents.loop.oscillation import Oscillations
from mlsysops_core.contracts import Outcome
from mlsysops_core.errors import Refused
from mlsysops_core.knobs import acting_policy


@dataclass
class Knob:
    """A mechanism of one value that can (or cannot) take back what it did."""

    name: str
    undoes: bool = True
    value: int = 0
    breaks: str = ""
    half: bool = False
    actors: list[str] = field(default_factory=list)

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        self.actors.append(acting_policy.get())
        undo = {"set": self.value} if self.undoes else None
        if self.breaks and command["set"] != self.value and not command.get("force"):
            if self.half:
                self.value = command["set"]
                return Outcome(ok=False, message=self.breaks, undo={**(undo or {}), "force": True})
            raise Refused(self.breaks)
        self.value = command["set"]
        return Outcome(ok=True, undo=undo)

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({self.name})

    def check(self, command: Mapping[str, Any]) -> str:
        return ""

    def get_state(self) -> dict[str, Any]:
        return {}

    get_status = get_options = get_state


class Setting:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.knobs = {name: Knob(name) for name in ("a", "b", "c")}
        settings = SchedulerSettings(workers=1, cool_down=0)
        self.scheduler = PlanScheduler(self.knobs, self.clock, SqliteKnowledge(":memory:"), settings)
        self.number = 0

    async def run(self, policy: str, *, core: bool = False, **values: int) -> PlanResult:
        self.number += 1
        commands = {name: {"set": value} for name, value in values.items()}
        plan = Plan(str(self.number), "x", policy, core, commands, self.clock.monotonic())
        task = asyncio.create_task(self.scheduler.submit(plan))
        await self.clock.advance(1)
        return await task


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting()
    task = asyncio.create_task(made.scheduler.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_done_of_a_broken_plan_is_taken_back_the_last_first(setting: Setting) -> None:
    setting.knobs["c"].breaks = "the third one broke"
    result = await setting.run("p", a=1, b=2, c=3)
    assert result.action == "rolled-back"
    assert result.reason == "c: the third one broke (after a, b); b taken back; a taken back"
    assert [knob.value for knob in setting.knobs.values()] == [0, 0, 0]
    assert set(setting.knobs["a"].actors) == {"p"}


async def test_the_half_of_the_step_that_broke_is_taken_back_too(setting: Setting) -> None:
    setting.knobs["b"].breaks, setting.knobs["b"].half = "half done", True
    result = await setting.run("p", a=1, b=2)
    assert result.action == "rolled-back"
    assert [setting.knobs[name].value for name in "ab"] == [0, 0]


async def test_what_cannot_be_taken_back_is_said(setting: Setting) -> None:
    setting.knobs["a"].undoes = False
    setting.knobs["b"].breaks = "no"
    result = await setting.run("p", a=1, b=2)
    assert (result.action, result.reason) == ("failed", "b: no (after a); a cannot take back what it did")
    assert setting.knobs["a"].value == 1


async def test_two_policies_that_undo_each_other_are_held_and_told(setting: Setting) -> None:
    for policy, value in (("up", 1), ("down", 2), ("up", 1)):
        assert (await setting.run(policy, a=value)).action == "executed"
    assert setting.scheduler.oscillations() == []
    result = await setting.run("down", a=2)
    assert result.action == "held"
    assert "oscillation: a was changed to and fro 3 times" in result.reason
    assert "by down, up" in result.reason
    (told,) = setting.scheduler.oscillations()
    assert (told["asset"], told["reason"]) == ("a", "Oscillation")
    assert (await setting.run("down", a=3)).action == "executed"  # something new is no swing
    assert (await setting.run("down", b=2)).action == "executed"  # and other assets are free


async def test_core_policies_go_on_but_it_is_told(setting: Setting) -> None:
    for index in range(4):
        assert (await setting.run("core", core=True, a=index % 2)).action == "executed"
    assert setting.scheduler.oscillations()


async def test_a_held_asset_is_free_after_its_hold_and_held_longer_the_next_time() -> None:
    swings = Oscillations(window=100, hold=10, longest=1000)
    for index in range(3):
        swings.note("a", "AB"[index % 2], "p", float(index))
    message, pause = swings.objection("a", "B", "p", 3.0)
    assert message
    assert pause == 10
    assert swings.objection("a", "C", "p", 4.0) == ("", 0.0)
    assert swings.objection("a", "B", "p", 4.0)[1] == 9
    assert swings.conditions(12.0)
    assert not swings.conditions(13.5)
    assert swings.objection("a", "B", "p", 14.0)[1] == 20
    assert swings.objection("a", "B", "p", 200.0) == ("", 0.0)  # what was long ago does not count
