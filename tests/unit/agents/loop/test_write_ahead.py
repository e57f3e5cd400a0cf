"""No plan is executed that is not written down first, and none that was executed goes untold, whatever becomes of the process."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.loop import SqliteKnowledge
from mlsysops_agents.loop.database import Database, NotWritten
from mlsysops_core.contracts import Scope

from .conftest import MakeBench, always, policy

COMMAND = {"assets": ["a/x"]}


class Time:
    """Turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    other = sqlite3.connect(tmp_path / "k.sqlite", isolation_level=None)
    yield other
    other.close()


def acting(seen: list[str] | None = None) -> Any:
    async def analyze(context: dict[str, Any], _asset: str) -> bool:
        context["n"] = context.get("n", 0) + 1
        return bool(context["n"] < 50)

    return policy("p", analyze, always({"recorder": COMMAND}), core=True)


async def test_a_plan_that_cannot_be_written_down_is_not_executed_and_tried_again_later(
    bench: MakeBench, tmp_path: Path, lock: sqlite3.Connection
) -> None:
    machine = Time()
    store = SqliteKnowledge(tmp_path / "k.sqlite", monotonic=machine)
    world = await bench(acting(), knowledge=store)
    lock.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(20)
    assert time.monotonic() - began < 2.0  # nobody waited for the lock
    assert world.mechanism.applied == []
    tried = [item for item in world.decisions if item["outcome"] == "refused"]
    assert 3 <= len(tried) <= 6  # after 1, 2, 4, 8 seconds
    assert "cannot be written down first: knowledge store: database is locked" in tried[0]["scheduler"]

    lock.execute("ROLLBACK")
    machine.now = 1000.0
    await world.clock.advance(60)
    assert world.mechanism.applied
    assert (
        store.decisions("a", limit=1000)[-1]["id"] == world.decisions[0]["id"]
    )  # what could not be kept then is kept now


async def test_a_plan_is_not_executed_where_the_disk_is_full(bench: MakeBench, tmp_path: Path) -> None:
    store = SqliteKnowledge(tmp_path / "k.sqlite")
    store._db._connection.execute("PRAGMA max_page_count=1")
    world = await bench(policy("p", always(True), always({"recorder": {"assets": ["x" * 30_000]}})), knowledge=store)
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    assert world.mechanism.applied == []
    assert "full" in world.decisions[0]["scheduler"]


def _killed_after_finish(path: str) -> None:
    """Execute one plan, and die between the end of its execution and the record of its decision."""
    import asyncio

    from mlsysops_agents.loop import Plan, PlanScheduler, VirtualClock

    from .conftest import Recorder

    class Killed(SqliteKnowledge):
        def finish(self, plan_id: str, outcome: str) -> None:
            super().finish(plan_id, outcome)
            os._exit(9)

    async def main() -> None:
        clock = VirtualClock()
        scheduler = PlanScheduler({"recorder": Recorder(clock)}, clock, Killed(path))
        runner = asyncio.create_task(scheduler.run())
        await scheduler.submit(Plan("plan-7", "a", "p", True, {"recorder": COMMAND}, 0.0, "3"))
        runner.cancel()

    asyncio.run(main())


async def test_what_was_executed_is_told_after_a_kill_before_its_decision(bench: MakeBench, tmp_path: Path) -> None:
    path = tmp_path / "k.sqlite"
    process = multiprocessing.get_context("fork").Process(target=_in_thread, args=(str(path),))
    process.start()
    process.join(20)
    assert process.exitcode == 9

    store = SqliteKnowledge(path)
    world = await bench(knowledge=store)
    (told,) = store.decisions("a")
    assert (told["id"], told["policy"], told["policyVersion"]) == ("plan-7", "p", "3")
    assert (told["outcome"], told["plan"]) == ("executed", {"recorder": COMMAND})
    assert told["scheduler"].startswith("executed: the agent was ended before")
    assert world.decisions == [told]
    assert world.mechanism.applied == []
    assert SqliteKnowledge(path).interrupted() == []  # and only once


def _in_thread(path: str) -> None:
    """Run outside of the event loop that the fork has copied."""
    import threading

    thread = threading.Thread(target=_killed_after_finish, args=(path,))
    thread.start()
    thread.join()


async def test_a_decision_takes_the_note_of_its_plan_with_it(bench: MakeBench, tmp_path: Path) -> None:
    store = SqliteKnowledge(tmp_path / "k.sqlite")
    world = await bench(policy("p", always(True), always({"recorder": COMMAND})), knowledge=store)
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    assert world.mechanism.applied
    assert _rows(store) == []


async def test_a_plan_whose_policy_went_while_it_was_executed_is_told(bench: MakeBench, tmp_path: Path) -> None:
    store = SqliteKnowledge(tmp_path / "k.sqlite")
    world = await bench(policy("p", always(True), always({"recorder": COMMAND})), knowledge=store)
    world.mechanism.seconds = 5
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    world.engine.remove_policy("p")
    await world.clock.advance(10)
    (told,) = world.decisions
    assert (told["outcome"], told["policy"]) == ("executed", "p")
    assert _rows(store) == []


def _rows(store: SqliteKnowledge) -> Sequence[Any]:
    return store._db.read("SELECT * FROM plan")


def test_what_may_be_written_later_is_written_later_in_order(tmp_path: Path, lock: sqlite3.Connection) -> None:
    machine = Time()
    file = Database(tmp_path / "k.sqlite", "CREATE TABLE t (n INTEGER PRIMARY KEY)", monotonic=machine)
    lock.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    for number in range(200):
        file.write(("INSERT INTO t VALUES (?)", (number,)))
    assert time.monotonic() - began < 1.0  # the file is tried once, then left alone
    with pytest.raises(NotWritten, match=r"database is locked \(tried again in 1 s\)"):
        file.write_now(("INSERT INTO t VALUES (-1)", ()))
    lock.execute("ROLLBACK")
    machine.now = 2.0
    file.write(("INSERT INTO t VALUES (0)", ()))  # there already: its own fault, and in nobody's way
    file.write(("INSERT INTO t VALUES (200)", ()))
    assert [row[0] for row in file.read("SELECT n FROM t ORDER BY rowid")] == list(range(201))
    file.close()
