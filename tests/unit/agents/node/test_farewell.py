"""A node agent that is told that it is uninstalled puts everything back once, says so, and believes a withdrawal only after a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.node.farewell import Farewell
from mlsysops_core.errors import PartialFailure, Unreachable
from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED


class Lease:
    """Remembers what it is told; fails as often as it is set to."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, str | None]] = []
        self.failures = 0

    async def tell(self, annotations: Mapping[str, str | None]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unreachable("refused")
        self.told.append(dict(annotations))

    @property
    def answers(self) -> list[Any]:
        return [json.loads(item[UNINSTALLED] or "null") for item in self.told]


class Machine:
    """Counts how often settings were put back."""

    def __init__(self) -> None:
        self.times = 0
        self.fault = ""

    async def put_back(self) -> Sequence[str]:
        self.times += 1
        if self.fault:
            raise PartialFailure(self.fault)
        return ["cpu_frequency: put back"]


class Told:
    def __init__(self) -> None:
        self.lease, self.machine = Lease(), Machine()
        self.farewell = Farewell(self.lease, "worker1", patience=0.05)  # type: ignore[arg-type]
        self.task: asyncio.Task[None] | None = None

    def say(self, uid: str, kind: ChangeKind = ChangeKind.ADDED, name: str = UNINSTALL) -> None:
        obj = {"metadata": {"name": name, "uid": uid}}
        self.farewell.on_config_map(Change(kind, f"ns/{name}", obj, None))

    def serve(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.farewell.serve(self.machine.put_back))
        return self.task

    async def answered(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.lease.told) < number:  # noqa: ASYNC110 - a condition of another task
                await asyncio.sleep(0.01)


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    made = Told()
    yield made
    if made.task is not None:
        made.task.cancel()


async def test_nothing_is_put_back_unasked(told: Told) -> None:
    told.say("1", name="mlsysops-settings")
    assert not told.farewell.said
    await told.farewell.serve(told.machine.put_back)
    assert (told.machine.times, told.lease.told) == (0, [])


async def test_every_request_is_answered_once_and_one_that_is_taken_back_ends_it(told: Told) -> None:
    waiting = asyncio.create_task(told.farewell.wait())
    told.say("1")
    await waiting
    serving = told.serve()
    await told.answered(1)
    told.say("1", ChangeKind.MODIFIED)
    told.say("2", ChangeKind.ADDED)  # deleted and made anew while nobody watched
    await told.answered(2)
    assert told.lease.answers == [{"request": "1", "fault": ""}, {"request": "2", "fault": ""}]
    assert told.machine.times == 2
    assert told.farewell.said
    told.say("2", ChangeKind.DELETED)
    async with asyncio.timeout(10):
        await serving
    assert told.lease.told[-1] == {UNINSTALLED: None}


async def test_a_request_that_comes_again_at_once_is_no_withdrawal(told: Told) -> None:
    told.farewell = Farewell(told.lease, "worker1", patience=5.0)  # type: ignore[arg-type]
    told.say("1")
    serving = told.serve()
    await told.answered(1)
    told.say("1", ChangeKind.DELETED)
    await asyncio.sleep(0)
    told.say("2")
    await told.answered(2)
    assert not serving.done()


async def test_a_node_that_leaves_alone_is_told_by_its_name(told: Told) -> None:
    told.say("1", name=f"{UNINSTALL}-worker10")
    assert not told.farewell.said
    told.say("2", name=f"{UNINSTALL}-worker1")
    serving = told.serve()
    await told.answered(1)
    told.say("3")  # and all of them, before the first word is taken back
    await told.answered(2)
    told.say("2", ChangeKind.DELETED, name=f"{UNINSTALL}-worker1")
    assert told.farewell.said
    told.say("3", ChangeKind.DELETED)
    async with asyncio.timeout(10):
        await serving
    assert told.lease.answers == [{"request": "2", "fault": ""}, {"request": "3", "fault": ""}, None]


async def test_what_cannot_be_put_back_is_told_with_its_reason(told: Told) -> None:
    told.machine.fault = "cpu_frequency: governor: Input/output error"
    told.lease.failures = 1
    told.say("1")
    told.serve()
    await told.answered(1)
    assert told.lease.answers == [{"request": "1", "fault": "cpu_frequency: governor: Input/output error"}]
    assert told.machine.times == 1
