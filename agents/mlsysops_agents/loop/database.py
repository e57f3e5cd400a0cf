"""One SQLite file that is never waited for: a write that cannot be done now is refused, or done later.

Whoever looks after applications must not stand still because somebody else holds the file, or its disk is full. So a write
waits for a lock some hundredths of a second and no longer; after one that failed the file is left alone for a while, longer
each time, and what may be written later waits in memory, bounded.

A disk that is full when an agent starts is waited for in the same way. Nor must anybody stand still because the file is damaged (a disk that lies, a power cut below it): it is put aside for whoever wants
to look at it, and a new one is begun.
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
#: Result codes (sqlite.org/rescode.html) that say that the file itself is damaged, and that a statement does not suit it.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNSUITED = sqlite3.SQLITE_ERROR
#: What a disk without room says, also to whoever only opens a file: its journal needs some.
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_PRIMARY_CODE = 0xFF
#: What a damaged file is called from then on; only the last one is kept.
_ASIDE = ".damaged"
#: SQL and its values.
Statement: TypeAlias = tuple[str, Sequence[object]]
#: How long a write waits for a lock; the event loop stands still meanwhile.
_BUSY_SECONDS = 0.05
#: Whoever starts has time: an older process of the same agent may be on its way out.
_BUSY_AT_START_SECONDS = 5.0
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
        self._path = path
        self._schema = schema
        self._monotonic = monotonic
        self._breaker = Breaker(threshold=1, first_pause=_FIRST_PAUSE_SECONDS, longest_pause=_LONGEST_PAUSE_SECONDS)
        self._backlog: deque[tuple[Statement, ...]] = deque(maxlen=_BACKLOG)
        #: None while it cannot be opened.
        self._connection: sqlite3.Connection | None = None
        try:
            if isinstance(path, Path):
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._open(_BUSY_AT_START_SECONDS)
            except sqlite3.DatabaseError as exc:
                if _is_damage(exc):
                    self._connection = self._begin_anew(exc)
                elif _code(exc) in _NO_ROOM:
                    _log.error("%s cannot be opened yet: %s", path, exc)
                    self._breaker.failed(self._monotonic(), str(exc))
                else:
                    raise
        except (sqlite3.Error, OSError) as exc:
            raise MlsError(f"{path}: no knowledge store: {exc}") from exc

    def _open(self, patience: float = _BUSY_SECONDS) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            connection.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            _check(connection)
            self._make_tables(connection)
            connection.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Make the tables; one that another version made with other columns is begun anew, for no statement would suit it."""
        with contextlib.closing(sqlite3.connect(":memory:")) as wanted:
            wanted.executescript(self._schema)
            for table, columns in _tables(wanted).items():
                present = _tables(connection).get(table)
                if present is not None and present != columns:
                    _log.warning("%s: table %s is of another version and is begun anew", self._path, table)
                    connection.execute(f"DROP TABLE {table}")
        connection.executescript(self._schema)

    def _begin_anew(self, why: Exception) -> sqlite3.Connection:
        """Put the damaged file aside, and open a new one in its place."""
        if isinstance(self._path, Path):
            aside = self._path.with_name(self._path.name + _ASIDE)
            _log.error("%s: %s; it is kept as %s, and what it held is begun anew", self._path, why, aside.name)
            self._path.replace(aside)
            for journal in ("-wal", "-shm"):
                self._path.with_name(self._path.name + journal).unlink(missing_ok=True)
        return self._open()

    def _mend(self, error: sqlite3.Error) -> bool:
        """Begin anew where an error says that the file is damaged; returns whether a statement is worth another try."""
        if not _is_damage(error):
            return False
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
            self._connection = self._begin_anew(error)
        except (sqlite3.Error, OSError) as exc:
            _log.error("%s: no knowledge store: %s", self._path, exc)
            return False
        return True

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def read(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; none where the file cannot be read, which is logged."""
        if self._connection is None and self._breaker.open_until > self._monotonic():
            return []
        try:
            return self._opened().execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            _log.error("knowledge store: %s", exc)
            self._mend(exc)
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
            self._write_all(statements)
        except sqlite3.Error as exc:
            if _is_own_fault(exc):
                raise NotWritten(f"knowledge store: {exc}") from exc
            self._breaker.failed(self._monotonic(), str(exc))
            _log.error("knowledge store: %s", exc)
            raise NotWritten(f"knowledge store: {exc}") from exc
        if self._breaker.reason:
            self._breaker.succeeded()

    def _write_all(self, statements: tuple[Statement, ...]) -> None:
        try:
            while self._backlog:
                try:
                    self._transact(self._backlog[0])
                except sqlite3.Error as exc:
                    if not _is_own_fault(exc):
                        raise
                    _log.error("knowledge store: %s", exc)
                self._backlog.popleft()
            self._transact(statements)
        except sqlite3.DatabaseError as exc:
            if not self._mend(exc):
                raise
            self._transact(statements)

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
        if self._connection is not None:
            self._connection.close()

    def _transact(self, statements: Sequence[Statement]) -> None:
        connection = self._opened()
        if len(statements) == 1:
            connection.execute(*statements[0])
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(*statement)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _check(connection: sqlite3.Connection) -> None:
    """Look for damage, since SQLite itself tells of it only when it comes across it.

    Raises:
        sqlite3.DatabaseError: There is some.
    """
    fault = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if fault != "ok":
        error = sqlite3.DatabaseError(fault.splitlines()[-1])
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in _DAMAGED


def _is_own_fault(error: sqlite3.Error) -> bool:
    """Say whether a statement is wrong, not the file: it will be no better later."""
    return isinstance(error, _ITS_OWN_FAULT) or _code(error) == _UNSUITED


def _code(error: sqlite3.Error) -> int:
    # Errors that the module raises by itself have none.
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the columns of every table."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {
        str(name): [str(row[1]) for row in connection.execute(f"PRAGMA table_info({name})")]
        for (name,) in names.fetchall()
    }
