"""One SQLite file that is never waited for: a write that cannot be done now is refused, or done later.

Whoever looks after applications must not stand still because somebody else holds the file, or its disk is full. So a write
waits for a lock some hundredths of a second and no longer; after one that failed the file is left alone for a while, longer
each time, and what may be written later waits in memory, bounded.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mlsysops_core.errors import MlsError

from .breaker import Breaker

__all__ = ["Database", "NotWritten", "Statement"]

_log = logging.getLogger(__name__)

#: What is wrong with a statement itself, and stays so.
_ITS_OWN_FAULT = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
#: SQL and its values.
Statement: TypeAlias = tuple[str, Sequence[object]]
#: How long a write waits for a lock; the event loop stands still meanwhile.
_BUSY_SECONDS = 0.05
#: Writes that wait in memory; beyond that the oldest are lost.
_BACKLOG = 500
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class NotWritten(MlsError):
    """The file takes nothing now; the message says why, in one line."""


class Database:
    """A file and what is still to be written to it.

    Write-ahead logging with ``synchronous=NORMAL``: a killed process loses nothing, a power cut at most the last moments,
    which level-triggered agents work out again.

    Args:
        path: The file; ``:memory:`` for one that dies with the process.
        schema: SQL that makes its tables where they are not there yet.
        monotonic: Tells the time, in seconds.

    Raises:
        MlsError: The file cannot be opened.
    """

    def __init__(self, path: Path | str, schema: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._breaker = Breaker(threshold=1, first_pause=_FIRST_PAUSE_SECONDS, longest_pause=_LONGEST_PAUSE_SECONDS)
        self._backlog: deque[tuple[Statement, ...]] = deque(maxlen=_BACKLOG)
        try:
            if isinstance(path, Path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            try:
                # Whoever starts has time: an older process of the same agent may be on its way out.
                self._connection.execute("PRAGMA busy_timeout=5000")
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.executescript(schema)
                self._connection.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
            except sqlite3.Error:
                self._connection.close()
                raise
        except (sqlite3.Error, OSError) as exc:
            raise MlsError(f"{path}: no knowledge store: {exc}") from exc

    def read(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; none where the file cannot be read, which is logged."""
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            _log.error("knowledge store: %s", exc)
            return []

    def write_now(self, *statements: Statement) -> None:
        """Write all of the statements or none.

        Raises:
            NotWritten: It cannot be done now.
        """
        left = self._breaker.open_until - self._monotonic()
        if left > 0:
            raise NotWritten(f"knowledge store: {self._breaker.reason} (tried again in {left:.0f} s)")
        try:
            while self._backlog:
                with contextlib.suppress(*_ITS_OWN_FAULT):
                    self._transact(self._backlog[0])
                self._backlog.popleft()
            self._transact(statements)
        except _ITS_OWN_FAULT as exc:
            raise NotWritten(f"knowledge store: {exc}") from exc
        except sqlite3.Error as exc:
            self._breaker.failed(self._monotonic(), str(exc))
            _log.error("knowledge store: %s", exc)
            raise NotWritten(f"knowledge store: {exc}") from exc
        if self._breaker.reason:
            self._breaker.succeeded()

    def write(self, *statements: Statement) -> None:
        """Write all of the statements or none, later where it cannot be done now."""
        try:
            self.write_now(*statements)
        except NotWritten:
            self._backlog.append(statements)

    def close(self) -> None:
        """Close the file; what still waits is written if it can be."""
        if self._backlog:
            self._breaker.succeeded()
            self.write()
        self._connection.close()

    def _transact(self, statements: Sequence[Statement]) -> None:
        if len(statements) == 1:
            self._connection.execute(*statements[0])
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                self._connection.execute(*statement)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
