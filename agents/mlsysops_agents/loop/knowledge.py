"""What an agent knows across restarts: decisions, contexts of policies and plans under way, in one SQLite file."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlsysops_core.errors import MlsError

__all__ = ["SqliteKnowledge"]

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decision (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decision_asset ON decision (asset, seq);
CREATE TABLE IF NOT EXISTS context (
    policy TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (policy, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plan (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, outcome TEXT) WITHOUT ROWID;
"""
#: Decisions are trimmed once in so many, not at each one.
_TRIM_EVERY = 100


class SqliteKnowledge:
    """A `KnowledgeStore` in a file.

    Write-ahead logging with ``synchronous=NORMAL``: a killed process loses nothing, a power cut at most the last moments,
    which level-triggered agents work out again.

    Args:
        path: The file; ``:memory:`` for one that dies with the process.
        keep: How many decisions are kept.

    Raises:
        MlsError: The file cannot be opened as a store.
    """

    def __init__(self, path: Path | str, *, keep: int = 5000) -> None:
        self._keep = keep
        self._since_trim = 0
        try:
            if isinstance(path, Path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
            except sqlite3.Error:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as exc:
            raise MlsError(f"{path}: no knowledge store: {exc}") from exc

    def record(self, decision: Mapping[str, Any]) -> None:
        """Keep a decision."""
        self._write(
            "INSERT INTO decision (id, asset, body) VALUES (?, ?, ?)",
            (str(decision["id"]), str(decision.get("asset", "")), json.dumps(decision, default=str)),
        )
        self._since_trim += 1
        if self._since_trim >= _TRIM_EVERY:
            self._since_trim = 0
            self._write("DELETE FROM decision WHERE seq <= (SELECT max(seq) FROM decision) - ?", (self._keep,))

    def decisions(self, asset: str | None = None, *, limit: int = 20) -> Sequence[dict[str, Any]]:
        """Return the newest decisions first."""
        if asset is None:
            rows = self._db.execute("SELECT body FROM decision ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            rows = self._db.execute(
                "SELECT body FROM decision WHERE asset = ? ORDER BY seq DESC LIMIT ?", (asset, limit)
            )
        return [json.loads(body) for (body,) in rows]

    def save_context(self, policy: str, asset: str, context: Mapping[str, Any]) -> None:
        """Keep a policy's context for an asset; one that is no JSON is not kept."""
        try:
            body = json.dumps(context)
        except (TypeError, ValueError) as exc:
            _log.debug("context of %s for %s is not kept: %s", policy, asset, exc)
            return
        self._write("INSERT OR REPLACE INTO context (policy, asset, body) VALUES (?, ?, ?)", (policy, asset, body))

    def load_context(self, policy: str, asset: str) -> dict[str, Any] | None:
        """Return the context kept last, or None."""
        row = self._db.execute("SELECT body FROM context WHERE policy = ? AND asset = ?", (policy, asset)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def forget(self, asset: str) -> None:
        """Drop the contexts of an asset that is gone."""
        self._write("DELETE FROM context WHERE asset = ?", (asset,))

    def begin(self, plan_id: str, plan: Mapping[str, Any]) -> None:
        """Write down that a plan is about to be executed."""
        self._write(
            "INSERT OR REPLACE INTO plan (id, body, outcome) VALUES (?, ?, NULL)",
            (plan_id, json.dumps(plan, default=str)),
        )

    def finish(self, plan_id: str, outcome: str) -> None:
        """Forget a plan under way; what became of it is in its decision."""
        self._write("DELETE FROM plan WHERE id = ?", (plan_id,))

    def interrupted(self) -> Sequence[dict[str, Any]]:
        """Return plans that were begun but never finished, once."""
        rows = self._db.execute("SELECT id, body FROM plan WHERE outcome IS NULL").fetchall()
        self._write("DELETE FROM plan", ())
        return [{"id": plan_id, **json.loads(body)} for plan_id, body in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _write(self, statement: str, values: Sequence[object]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as exc:
            # A full disk must not stop an agent from looking after its applications; it only forgets.
            _log.error("knowledge store: %s", exc)
