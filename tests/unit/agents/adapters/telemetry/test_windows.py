"""Windows of telemetry outlive the process: what was kept is back, bounded by age and bytes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.telemetry.windows import Windows, kept_windows

RATE = SeriesKey.make("rate", {"service.name": "s"}, {"path": "/"})
TOTAL = SeriesKey.make("total", {"service.name": "s"})


class World:
    """A store, its file, and the time."""

    made: ClassVar[list[World]] = []

    def __init__(self, path: Path, now: float = 10_000.0, **settings: int) -> None:
        self.now = now
        self.store = TelemetryStore(now=lambda: self.now)
        self.windows = Windows(path, self.store, now=lambda: self.now, **settings)
        self.made.append(self)

    def rows(self) -> list[tuple[int, int]]:
        return self.windows._db.execute("SELECT series, length(body) FROM stretch ORDER BY until").fetchall()

    async def at(self, now: float, *points: Point) -> None:
        self.now = now
        self.store.ingest(points)
        await self.windows.flush()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Closes in the end what a test has left open to stand for a kill."""
    yield
    while World.made:
        World.made.pop().windows.close()


async def test_windows_are_back_after_a_kill(tmp_path: Path) -> None:
    before = World(tmp_path / "w.sqlite")
    for second in range(100):
        points = [Point(RATE, float(second), 10_000.0 + second)]
        if second % 10 == 0:
            points.append(Point(TOTAL, 5.0, 10_000.0 + second, Kind.DELTA_COUNTER, "1", 9_000.0))
        before.store.ingest(points)
        before.now = 10_000.0 + second
        if second % 30 == 29:
            await before.windows.flush()
    await before.windows.flush()
    # no close: a killed process closes nothing
    after = World(tmp_path / "w.sqlite", 10_120.0)
    assert await after.windows.restore() == 110
    for metric in ("rate", "total"):
        assert after.store.window(metric, 1800) == before.store.window(metric, 1800)
    assert after.store.latest("rate", service_name="s") == before.store.latest("rate", service_name="s")
    (total,) = [item for item in after.store.all_series() if item.key == TOTAL]
    assert (total.kind, total.unit, total.start) == (Kind.COUNTER, "1", 9_000.0)
    # a change since the last point goes on from what was before
    after.store.ingest([Point(TOTAL, 5.0, 10_121.0, Kind.DELTA_COUNTER)])
    newest = after.store.latest("total")
    assert newest is not None
    assert newest.value == 55.0


async def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    await world.at(10_000, Point(RATE, 1, 9_999), Point(RATE, 2, 10_000))
    await world.at(10_030)
    await world.at(10_060, Point(RATE, 3, 10_060))
    assert world.rows() == [(1, 32), (1, 16)]
    again = World(tmp_path / "w.sqlite", 10_070.0)
    await again.windows.restore()
    await again.windows.flush()
    assert len(again.rows()) == 2


async def test_what_comes_after_the_clock_was_put_back_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    await world.at(20_000, Point(RATE, 1, 20_000))
    await world.at(15_000, Point(RATE, 2, 15_000))
    await world.at(15_030, Point(RATE, 3, 15_030))
    again = World(tmp_path / "w.sqlite", 15_040.0)
    await again.windows.restore()
    again.store.ingest([Point(RATE, 4, 15_040)])
    newest = again.store.latest("rate")
    assert newest is not None
    assert newest.value == 4


async def test_what_is_too_old_goes_and_its_series_with_it(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    await world.at(10_000, Point(RATE, 1, 10_000), Point(TOTAL, 1, 10_000))
    await world.at(11_900, Point(TOTAL, 2, 11_900))
    assert world.windows._db.execute("SELECT metric FROM series").fetchall() == [("total",)]
    assert len(world.rows()) == 1
    assert set(world.windows._kept) == {TOTAL}


async def test_all_values_together_have_so_many_bytes_and_the_newest_stay(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite", max_bytes=1600)
    for number in range(300):
        await world.at(10_000.0 + number, Point(RATE, number, 10_000.0 + number))
        assert sum(size for _, size in world.rows()) <= 1600
    after = World(tmp_path / "w.sqlite", 10_300.0)
    assert await after.windows.restore() >= 80
    newest = after.store.latest("rate")
    assert newest is not None
    assert newest.value == 299


async def test_a_file_that_does_not_take_it_now_gets_it_the_next_time(tmp_path: Path) -> None:
    world = World(tmp_path / "w.sqlite")
    world.windows._db.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(tmp_path / "w.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await world.at(10_000, Point(RATE, 1, 10_000))
    other.execute("ROLLBACK")
    other.close()
    assert world.rows() == []
    await world.at(10_030, Point(RATE, 2, 10_030))
    assert world.rows() == [(1, 32)]


async def test_an_agent_keeps_them_while_it_runs_and_goes_on_without_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, store = tmp_path / "w.sqlite", TelemetryStore()
    async with kept_windows(path, store):
        store.ingest([Point(RATE, 7, time.time() - 10)])
    again = TelemetryStore()
    async with kept_windows(path, again):
        assert [item.value for item in again.window("rate", 100)] == [7]
    path.write_bytes(b"no database at all " * 100)
    async with kept_windows(path, store):
        assert "telemetry windows are not kept" in caplog.text
