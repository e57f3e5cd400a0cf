"""Keeps the windows of telemetry across restarts of an agent: what came since the last time goes into a SQLite file, in batches.

The file is one of its own beside the knowledge store, written by a thread: a batch may take as long as the disk likes, and neither
the loop nor the plans that must be written down first wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from .points import Kind, Point, SeriesKey
from .store import Series, TelemetryStore

__all__ = ["Windows", "kept_windows"]

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, metric TEXT NOT NULL, resource TEXT NOT NULL, attributes TEXT NOT NULL,
    kind TEXT NOT NULL, unit TEXT NOT NULL, start REAL NOT NULL, UNIQUE (metric, resource, attributes));
CREATE TABLE IF NOT EXISTS stretch (
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, until REAL NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (series, until)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stretch_until ON stretch (until);
"""
_INTERVAL_SECONDS = 30.0
#: Series, and points, that are dealt with before others may run.
_SERIES_AT_ONCE = 50
_POINTS_AT_ONCE = 500
_MAX_BYTES = 64 * 1024 * 1024

Pairs: TypeAlias = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """New values of one series, oldest first."""

    key: SeriesKey
    kind: Kind
    unit: str
    start: float
    pairs: Pairs


class Windows:
    """The file of windows.

    Args:
        path: The file.
        store: Where values come from, and go at the start.
        max_age: Seconds after which values are dropped.
        max_bytes: Bytes of values in all; beyond that the oldest are dropped.
        now: Seconds since the Unix epoch.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        store: TelemetryStore,
        *,
        max_age: float = 1800.0,
        max_bytes: int = _MAX_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._max_age = max_age
        self._max_bytes = max_bytes
        self._now = now
        self._kept: dict[SeriesKey, float] = {}
        self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    async def restore(self) -> int:
        """Give the store back what an earlier process kept; returns how many values that were."""
        # What lies in the future is of a time when the clock was wrong: it would be taken for the newest there is.
        now = self._now()
        points = [point for point in await asyncio.to_thread(self._read) if point.time <= now]
        for first in range(0, len(points), _POINTS_AT_ONCE):
            self._store.ingest(points[first : first + _POINTS_AT_ONCE])
            await asyncio.sleep(0)
        self._kept = {point.key: point.time for point in points}  # the newest of each comes last
        return len(points)

    async def run(self, interval: float = _INTERVAL_SECONDS) -> None:
        """Keep what is new, every ``interval`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.flush()

    async def flush(self) -> None:
        """Keep what is new; a file that does not take it is logged, and gets it the next time."""
        new: list[_Stretch] = []
        for number, series in enumerate(self._store.all_series()):
            if number % _SERIES_AT_ONCE == _SERIES_AT_ONCE - 1:
                await asyncio.sleep(0)
            stretch = self._new_of(series)
            if stretch is not None:
                new.append(stretch)
        try:
            await asyncio.to_thread(self._write, new)
        except sqlite3.Error as exc:
            _log.error("telemetry windows are not kept: %s", exc)
            return
        self._kept.update((stretch.key, stretch.pairs[-1][0]) for stretch in new)
        oldest = self._now() - self._max_age
        for key in [key for key, until in self._kept.items() if until < oldest]:
            del self._kept[key]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _new_of(self, series: Series) -> _Stretch | None:
        kept = self._kept.get(series.key, float("-inf"))
        last = series.ring.last()[0]
        if last == kept:
            return None
        if last < kept:  # the clock was put back, and the series begun anew
            kept = float("-inf")
        pairs = [pair for pair in series.ring.since(kept) if pair[0] > kept]
        return _Stretch(series.key, series.kind, series.unit, series.start, pairs)

    # -- in a thread ---------------------------------------------------------------------------------------------

    def _write(self, new: list[_Stretch]) -> None:
        with self._transaction():
            for stretch in new:
                (number,) = self._db.execute(
                    "INSERT INTO series (metric, resource, attributes, kind, unit, start) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET kind = excluded.kind, unit = excluded.unit, start = excluded.start"
                    " RETURNING id",
                    (
                        stretch.key.metric,
                        json.dumps(stretch.key.resource),
                        json.dumps(stretch.key.attributes),
                        stretch.kind.value,
                        stretch.unit,
                        stretch.start,
                    ),
                ).fetchone()
                body = array("d", [value for pair in stretch.pairs for value in pair]).tobytes()
                self._db.execute(
                    "INSERT OR REPLACE INTO stretch VALUES (?, ?, ?)", (number, stretch.pairs[-1][0], body)
                )
            self._db.execute("DELETE FROM stretch WHERE until < ?", (self._now() - self._max_age,))
            self._drop_beyond()
            self._db.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM stretch)")

    def _drop_beyond(self) -> None:
        (total,) = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM stretch").fetchone()
        if total > self._max_bytes:
            self._db.execute(
                "DELETE FROM stretch WHERE until <= (SELECT until FROM (SELECT until, sum(length(body)) OVER"
                " (ORDER BY until DESC) AS total FROM stretch) WHERE total > ? ORDER BY until DESC LIMIT 1)",
                (self._max_bytes * 9 // 10,),
            )

    def _read(self) -> list[Point]:
        points: list[Point] = []
        rows = self._db.execute(
            "SELECT metric, resource, attributes, kind, unit, start, body FROM stretch JOIN series ON id = series ORDER BY until"
        )
        for metric, resource, attributes, kind, unit, start, body in rows:
            key = SeriesKey(metric, _pairs(resource), _pairs(attributes))
            values = array("d", body)
            points.extend(
                Point(key, value, when, Kind(kind), unit, start)
                for when, value in zip(values[::2], values[1::2], strict=True)
            )
        points.sort(key=lambda point: point.time)
        return points

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


@contextlib.asynccontextmanager
async def kept_windows(path: Path, store: TelemetryStore) -> AsyncIterator[None]:
    """Give a store its windows back, and keep them while inside; without the file it goes on without.

    Args:
        path: The file.
        store: The store.
    """
    try:
        windows = await asyncio.to_thread(Windows, path, store)
    except (sqlite3.Error, OSError) as exc:
        _log.error("%s: telemetry windows are not kept: %s", path, exc)
        yield
        return
    task: asyncio.Task[None] | None = None
    try:
        try:
            _log.debug("%d values of telemetry are back", await windows.restore())
        except (sqlite3.Error, ValueError) as exc:
            _log.error("%s: telemetry windows cannot be read: %s", path, exc)
        task = asyncio.get_running_loop().create_task(windows.run(), name="windows")
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await windows.flush()
        windows.close()


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in json.loads(text))
