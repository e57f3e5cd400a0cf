"""Answers that are given once: a write repeated with its ``Idempotency-Key`` gets the first answer again.

After draft-ietf-httpapi-idempotency-key-header: the same key with another request is 422, a key whose first request still
runs is 409. Answers are kept in SQLite, so that a restart of the API does not make a retry a second deployment.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from mlsysops_core.errors import Conflict, InvalidInput
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["HEADER", "Idempotency"]

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
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(_SCHEMA)
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
            await asyncio.to_thread(self._save, key, digest, response)
        finally:
            self._running.discard(key)
        return response

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _load(self, key: str) -> tuple[str, Response] | None:
        query = "SELECT digest, status, headers, body FROM answers WHERE key = ? AND at > ?"
        with closing(self._database.execute(query, (key, self._clock() - _KEEP))) as cursor:
            row = cursor.fetchone()
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
