"""An agent is alive as long as its Lease changes, whatever clock it has, and whatever becomes of the reader's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from mlsysops_agents.adapters.health import VERSION
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.adapters.leases import LeaseWatch
from mlsysops_agents.adapters.liveness import Liveness
from mlsysops_agents.loop import VirtualClock

HOUR = 3600.0
SKEWS = (-24 * HOUR, -60.0, 0.0, 60.0, 24 * HOUR)


class WrongClock(VirtualClock):
    """A clock whose date can be set; what passes since the start of the machine stays as it is."""

    set_by = 0.0

    def time(self) -> float:
        return super().time() + self.set_by


def lease(clock: WrongClock, skew: float = 0.0, *, name: str = "mlsysops-node-w1", seconds: int = 40) -> dict[str, Any]:
    """A Lease as its holder, whose clock is that much ahead, renews it now."""
    renewed = datetime.fromtimestamp(VirtualClock.time(clock) + skew, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "1@w1", "renewTime": renewed, "leaseDurationSeconds": seconds}
    return {"metadata": {"name": name, "uid": "u"}, "spec": spec}


def ready(liveness: Liveness, *leases: dict[str, Any]) -> list[bool]:
    return [agent["ready"] for agent in liveness.agents(leases)]


@pytest.mark.parametrize("skew", SKEWS)
async def test_an_agent_is_alive_as_long_as_its_lease_changes_whatever_its_clock_says(skew: float) -> None:
    clock = WrongClock()
    liveness = Liveness(clock)
    liveness.see(lease(clock, skew))
    for _ in range(10):
        await clock.advance(10)
        held = lease(clock, skew)
        assert ready(liveness, held) == [True]
    await clock.advance(39)
    assert ready(liveness, held) == [True]
    await clock.advance(2)
    assert ready(liveness, held) == [False]
    assert ready(liveness, lease(clock, skew)) == [True]


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
@pytest.mark.parametrize("whose", ["holder", "reader"])
async def test_clocks_that_are_set_change_nothing(jump: float, whose: str) -> None:
    clock = WrongClock()
    liveness, skew = Liveness(clock), 0.0
    for step in range(20):
        if step == 10 and whose == "holder":
            skew = jump
        elif step == 10:
            clock.set_by = jump
        held = lease(clock, skew)
        assert ready(liveness, held) == [True]
        await clock.advance(10)
    await clock.advance(31)
    assert ready(liveness, held) == [False]


async def test_what_a_reader_that_has_just_started_makes_of_a_lease() -> None:
    clock = WrongClock()
    recent, ahead, old, wrong = lease(clock), lease(clock, 60), lease(clock, -HOUR), lease(clock, HOUR)
    await clock.advance(35)
    for held, expected in ((recent, True), (ahead, True), (old, False), (wrong, False)):
        assert ready(Liveness(clock), held) == [expected]
    liveness = Liveness(clock)
    assert ready(liveness, recent) == [True]
    await clock.advance(39)  # it has its whole duration from when it was seen first
    assert ready(liveness, recent) == [True]
    await clock.advance(2)
    assert ready(liveness, recent) == [False]
    assert ready(liveness, {"metadata": {"name": "mlsysops-node-w2"}, "spec": {}}) == [False]
    assert ready(liveness, {"metadata": {"name": "mlsysops-node-w3"}, "spec": {"renewTime": "yesterday"}}) == [False]


async def test_what_is_told_of_agents() -> None:
    clock = WrongClock()
    liveness = Liveness(clock)
    held = [
        lease(clock, HOUR, name="mlsysops-node-w1"),
        lease(clock, name="mlsysops-cluster-my-cluster"),
        lease(clock, name="kube-scheduler"),
    ]
    held[0]["metadata"]["annotations"] = {VERSION: "1.2.3"}
    told = liveness.agents(held)
    assert [(item["tier"], item["name"], item["version"]) for item in told] == [
        ("cluster", "my-cluster", ""),
        ("node", "w1", "1.2.3"),
    ]
    await clock.advance(10)
    seen = liveness.agents([lease(clock, HOUR)])[0]["lastSeen"]
    assert datetime.fromisoformat(seen).timestamp() == clock.time()  # by the reader's clock
    liveness.forget(held[0])
    assert ready(liveness, held[0]) == [False]


class Leases:
    """A watch over Leases, and how often it had others look."""

    def __init__(self) -> None:
        self.clock = WrongClock()
        self.held: dict[str, dict[str, Any]] = {}
        self.told: list[list[bool]] = []
        self.watch = LeaseWatch(self.clock, self.held.values, self.look)

    def look(self) -> None:
        told = [agent["ready"] for agent in self.watch.agents()]
        if self.told[-1:] != [told]:
            self.told.append(told)

    def renew(self, name: str, skew: float = 0.0, *, seconds: int = 40) -> None:
        before, made = self.held.get(name), lease(self.clock, skew, name=f"mlsysops-node-{name}", seconds=seconds)
        self.held[name] = made
        self.watch.poke(Change(ChangeKind.MODIFIED if before else ChangeKind.ADDED, name, made, before))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.watch.run())
        await self.clock.settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_silence_is_told_when_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    leases = Leases()
    async with leases.watching():
        leases.renew("a", 24 * HOUR)
        leases.renew("b", -24 * HOUR)
        for _ in range(8):
            await leases.clock.advance(10)
            leases.renew("a", 24 * HOUR)
            leases.renew("b", -24 * HOUR)
        assert leases.told[-1] == [True, True]
        told = len(leases.told)
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                await leases.clock.advance(10)
                leases.renew("b", -24 * HOUR)
        assert leases.told[told:] == [[False, True]]
        assert "nobody renewed in time: mlsysops-node-a" in caplog.text
        assert "mlsysops-node-b" not in caplog.text
        leases.renew("a", 24 * HOUR)
        assert leases.told[-1] == [True, True]


async def test_a_shorter_lease_that_comes_later_runs_out_in_its_time() -> None:
    leases = Leases()
    async with leases.watching():
        leases.renew("a", seconds=400)
        await leases.clock.advance(10)
        leases.renew("b", seconds=20)
        await leases.clock.advance(21)
        assert leases.told[-1] == [True, False]
        gone = leases.held.pop("b")
        leases.watch.poke(Change(ChangeKind.DELETED, "b", gone, gone))
        assert leases.told[-1] == [True]
