"""The revision log on disk: one SQLite file, one writer thread, many requests per fsync.

The model is etcd's (https://etcd.io/docs/v3.5/learning/data_model/): every write is a new revision of a key, the
newest revision of a key is its present state, and compaction up to revision C drops what C superseded. So one insert
is one write, and present state and watch history can never disagree.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LogError", "Revision", "RevisionLog", "StoreLock"]

_LOG: Final = logging.getLogger("embedded.store")
_BATCH: Final = 256
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS revisions (
  rv INTEGER PRIMARY KEY, bucket TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  deleted INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class StoreLock:
    """Held by the one process that may use a store; a kill of that process frees it.

    Args:
        path: The store's file.

    Raises:
        OSError: Another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._file.close()
            raise OSError(f"{path}: in use by another process") from exc

    def close(self) -> None:
        """Frees the store."""
        self._file.close()

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LogError(Exception):
    """The log could not be written, e.g. because the disk is full; nothing of the batch was stored."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of one object: what is written and what is read back at start."""

    rv: int
    bucket: str
    namespace: str
    name: str
    deleted: bool
    value: bytes


@dataclass(slots=True)
class _Write:
    revision: Revision
    done: asyncio.Future[None]
    apply: Callable[[], None]


@dataclass(slots=True)
class _Compact:
    upto: int
    dead: Sequence[int]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=2000")
        connection.execute("PRAGMA cache_size=-4096")
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _unusable(path: Path, error: sqlite3.Error) -> OSError:
    """What is wrong with a store, and the way out where it is damaged rather than, say, not to be opened."""
    if isinstance(error, sqlite3.OperationalError):
        return OSError(f"{path}: {error}")
    return OSError(f"{path}: damaged ({error}); put a backup in its place with the command `restore`")


class RevisionLog:
    """Appends revisions durably.

    Args:
        path: The SQLite file; made where absent.
    """

    def __init__(self, path: Path) -> None:
        self._lock = StoreLock(path)
        try:
            self._connection = _connect(path)
        except sqlite3.Error as exc:
            self._lock.close()
            raise _unusable(path, exc) from exc
        self._path = path
        self._queue: queue.SimpleQueue[_Write | _Compact | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owed: list[_Compact] = []  # compactions of batches that failed
        self._closing = False

    def load(self) -> tuple[int, Iterator[Revision]]:
        """Reads everything kept: the compacted revision, and all revisions in order.

        Raises:
            OSError: The file is damaged; also while the revisions are gone through.
        """
        try:
            row = self._connection.execute("SELECT value FROM meta WHERE key='compacted'").fetchone()
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc
        return (row[0] if row else 0), self._revisions()

    def _revisions(self) -> Iterator[Revision]:
        query = "SELECT rv, bucket, namespace, name, deleted, value FROM revisions ORDER BY rv"
        try:
            for rv, bucket, namespace, name, deleted, value in self._connection.execute(query):
                yield Revision(rv, bucket, namespace, name, bool(deleted), value)
        except sqlite3.Error as exc:
            raise _unusable(self._path, exc) from exc

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the writer thread; commits are announced on the loop."""
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def append(self, revision: Revision, apply: Callable[[], None]) -> asyncio.Future[None]:
        """Queues a revision; `apply` runs on the loop, in revision order, right after its commit.

        Returns:
            A future that is done after `apply`, or fails with `LogError`.
        """
        if self._loop is None:
            raise RuntimeError("the log has not been started")
        done: asyncio.Future[None] = self._loop.create_future()
        if self._closing:  # nobody would ever answer
            done.set_exception(LogError("storage: closed"))
            return done
        self._queue.put(_Write(revision, done, apply))
        return done

    def compact(self, upto: int, dead: Sequence[int]) -> None:
        """Queues the removal of the revisions `dead`, all of them superseded at revision `upto`."""
        self._queue.put(_Compact(upto, dead))

    def close(self) -> None:
        """Writes what is queued and closes the file."""
        self._closing = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._connection.close()
        self._lock.close()

    def _run(self) -> None:
        running = True
        while running:
            items = [self._queue.get()]
            while len(items) < _BATCH:
                try:
                    items.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            if None in items:
                running = False
            self._commit([item for item in items if item is not None])

    def _commit(self, items: list[_Write | _Compact]) -> None:
        writes = [item for item in items if isinstance(item, _Write)]
        # In order and without a gap: where a later compaction takes the tombstone of an object, and an earlier one, which
        # should have taken its last version, is lost, the object would be alive again after a restart.
        compactions = self._owed + [item for item in items if isinstance(item, _Compact)]
        error: LogError | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (r.rv, r.bucket, r.namespace, r.name, int(r.deleted), r.value)
                    for r in (write.revision for write in writes)
                ],
            )
            for item in compactions:
                self._connection.executemany("DELETE FROM revisions WHERE rv=?", [(rv,) for rv in item.dead])
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (item.upto,))
            self._connection.execute("COMMIT")
            self._owed = []
        except sqlite3.Error as exc:
            _LOG.error("cannot write %d revisions: %s", len(writes), exc)
            error = LogError(f"storage: {exc}")
            self._owed = compactions
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._announce, writes, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    @staticmethod
    def _announce(writes: list[_Write], error: LogError | None) -> None:
        for write in writes:
            if error is None:
                write.apply()
            if not write.done.done():
                if error is None:
                    write.done.set_result(None)
                else:
                    write.done.set_exception(error)
