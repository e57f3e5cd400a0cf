"""Answers that are given once: a write repeated with its ``Idempotency-Key`` gets the first answer again.

After draft-ietf-httpapi-idempotency-key-header: the same key with another request is 422, a key whose first request still
runs is 409. Answers are kept in SQLite, so that a restart of the API does not make a retry a second deployment. A file that is
damaged, or a disk that takes nothing, costs what was remembered and never the API.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from mlsysops_core.errors import Conflict, InvalidInput, Unreachable
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["HEADER", "Idempotency"]

_log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
_KEEP = 24 * 3600.0
_MAX_KEY = 255
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
)
"""


class Idempotency:
    """Remembers the answers of writes for a day.

    Args:
        path: The database; None to remember in memory.
        clock: Seconds since the epoch.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self._database = _open(path)
        self._clock = clock
        self._running: set[str] = set()

    async def once(self, request: Request, body: bytes, run: Callable[[], Awaitable[Response]]) -> Response:
        """Run a write, or return the answer its first run had.

        Args:
            request: Carries the key; without one the write simply runs.
            body: The request's body.
            run: The write. Errors it raises are not remembered: nothing was done.

        Raises:
            InvalidInput: The key was used for another request.
            Conflict: The first request with this key is still running.
        """
        key = request.headers.get(HEADER, "")
        if not key:
            return await run()
        if len(key) > _MAX_KEY:
            raise InvalidInput(f"{HEADER} is longer than {_MAX_KEY} characters", hint="a UUID is a good key")
        text = f"{request.method}\n{request.url.path}\n{request.url.query}\n".encode()
        digest = hashlib.sha256(text + body).hexdigest()
        known = self._load(key)
        if known is not None:
            if known[0] != digest:
                raise InvalidInput(
                    f"{HEADER} {key!r} was used for another request", hint="make a new key for each write"
                )
            return known[1]
        if key in self._running:
            raise Conflict(f"the first request with {HEADER} {key!r} is still running", hint="try again shortly")
        self._running.add(key)
        try:
            response = await run()
            try:
                await asyncio.to_thread(self._save, key, digest, response)
            except sqlite3.Error as exc:
                # It is done: to say anything else would have it done again.
                _log.error("the answer to %s %r is not remembered: %s", HEADER, key, exc)
        finally:
            self._running.discard(key)
        return response

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _load(self, key: str) -> tuple[str, Response] | None:
        query = "SELECT digest, status, headers, body FROM answers WHERE key = ? AND at > ?"
        try:
            with closing(self._database.execute(query, (key, self._clock() - _KEEP))) as cursor:
                row = cursor.fetchone()
        except sqlite3.DatabaseError as exc:
            # Whether it was done is not known: doing it perhaps again is not up to us.
            raise Unreachable(f"answers to {HEADER} cannot be read: {exc}", hint="send it without the header") from exc
        if row is None:
            return None
        digest, status, headers, body = row
        response = Response(body, status_code=status)
        for line in headers.splitlines():
            name, _, value = line.partition(": ")
            response.headers[name] = value
        response.headers["Idempotent-Replayed"] = "true"
        return str(digest), response

    def _save(self, key: str, digest: str, response: Response) -> None:
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        now = self._clock()
        self._database.execute("DELETE FROM answers WHERE at <= ?", (now - _KEEP,))
        values = (key, digest, response.status_code, headers, bytes(response.body), now)
        self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", values)


def _open(path: Path | None) -> sqlite3.Connection:
    """Open a database, putting a damaged one aside; in memory where there is no place for it."""
    if path is None:
        return _connect(":memory:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(str(path))
        except sqlite3.OperationalError:
            raise  # the disk is full, or not ours: nothing is wrong with the file
        except sqlite3.DatabaseError as exc:
            aside = path.with_name(path.name + ".damaged")
            _log.error(
                "%s is damaged (%s): it is put aside as %s, and what it held is forgotten", path, exc, aside.name
            )
            path.replace(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return _connect(str(path))
    except (OSError, sqlite3.Error) as exc:
        _log.error("answers to %s are remembered until this process ends: %s: %s", HEADER, path, exc)
        return _connect(":memory:")


def _connect(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(_SCHEMA)
        _must_be_whole(database)
    except BaseException:
        database.close()
        raise
    return database


def _must_be_whole(database: sqlite3.Connection) -> None:
    with closing(database.execute("PRAGMA quick_check(1)")) as cursor:
        found = cursor.fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
