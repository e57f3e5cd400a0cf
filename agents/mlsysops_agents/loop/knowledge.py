"""What an agent knows across restarts: decisions, contexts of policies and plans under way, in one SQLite file.

Bounded in every direction: decisions by number, age and bytes, one decision and one context by its size, contexts in all by
bytes. What goes first is what is oldest.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .database import Database, Statement
from .sizes import bounded

__all__ = ["Bounds", "SqliteKnowledge"]

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decision (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decision_asset ON decision (asset, seq);
CREATE TABLE IF NOT EXISTS context (
    policy TEXT NOT NULL, asset TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (policy, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS context_use (
    policy TEXT NOT NULL, asset TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (policy, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plan (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, outcome TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    asset TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""
_DROP_OLD = """
DELETE FROM decision WHERE seq IN (SELECT seq FROM decision ORDER BY seq LIMIT ?)
    AND CASE WHEN json_valid(body) THEN json_extract(body, '$.time') ELSE '' END < ?
"""
_DROP_BEYOND = """
DELETE FROM decision WHERE seq <= (
    SELECT seq FROM (SELECT seq, sum(length(body)) OVER (ORDER BY seq DESC) AS total FROM decision)
    WHERE total > ? ORDER BY seq DESC LIMIT 1)
"""
#: Of decisions that are too old, only the first so many are looked for while the loop runs; the rest the next time.
_OLD_AT_ONCE = 1000
#: How exactly it is known when a context was used last.
_USE_SECONDS = 86_400.0
#: Decisions are trimmed once in so many, not at each one.
_TRIM_EVERY = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept.

    Attributes:
        decisions: Decisions.
        age: Seconds after which a decision is dropped, and a context that no policy used.
        body: Characters of one decision.
        context: Characters of one context; one that is larger is not kept.
        bytes: Characters of all decisions, and as many of all contexts.
    """

    decisions: int = 5000
    age: float = 30 * 86_400.0
    body: int = 64 * 1024
    context: int = 1024 * 1024
    bytes: int = 64 * 1024 * 1024


class SqliteKnowledge:
    """A `KnowledgeStore` in a file.

    Args:
        path: The file; ``:memory:`` for one that dies with the process.
        keep: How many decisions are kept, where not as many as `Bounds` says.
        bounds: How much is kept.
        now: Seconds since the Unix epoch.
        monotonic: Tells how long a file that failed is left alone, in seconds.

    Raises:
        MlsError: The file cannot be opened as a store.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        keep: int | None = None,
        bounds: Bounds | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds or Bounds()
        self._keep = self._bounds.decisions if keep is None else keep
        self._now = now
        self._db = Database(path, _SCHEMA, monotonic=monotonic)
        self._since_trim = 0
        #: Plans written down and not recorded yet, and those of an earlier process that were returned.
        self._under_way: set[str] = set()
        self._returned: set[str] = set()
        self._decision_bytes = self._total("decision")
        self._context_bytes = self._total("context")
        self._trim()
        self._drop_old(-1)

    # -- decisions ---------------------------------------------------------------------------------------------

    def record(self, decision: Mapping[str, Any]) -> None:
        """Keep a decision; the plan of the same id is thereby told of, and its note goes."""
        body = bounded(decision, self._bounds.body)
        number = str(decision["id"])
        statements: list[Statement] = [
            ("INSERT INTO decision (id, asset, body) VALUES (?, ?, ?)", (number, str(decision.get("asset", "")), body))
        ]
        if number in self._under_way:
            self._under_way.discard(number)
            statements.append(("DELETE FROM plan WHERE id = ?", (number,)))
        self._db.write(*statements)
        self._decision_bytes += len(body)
        self._since_trim += 1
        if self._since_trim >= _TRIM_EVERY or self._decision_bytes > self._bounds.bytes:
            self._trim()

    def decisions(self, asset: str | None = None, *, limit: int = 20) -> Sequence[dict[str, Any]]:
        """Return the newest decisions first."""
        if asset is None:
            rows = self._db.read("SELECT body FROM decision ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            rows = self._db.read("SELECT body FROM decision WHERE asset = ? ORDER BY seq DESC LIMIT ?", (asset, limit))
        return [json.loads(body) for (body,) in rows]

    # -- contexts ----------------------------------------------------------------------------------------------

    def save_context(self, policy: str, asset: str, context: Mapping[str, Any]) -> None:
        """Keep a policy's context for an asset; one that is no JSON, or too large, is not kept."""
        try:
            body = json.dumps(context)
        except (TypeError, ValueError) as exc:
            _log.debug("context of %s for %s is not kept: %s", policy, asset, exc)
            return
        key = (policy, asset)
        too_large = len(body) > self._bounds.context
        if self._context_bytes + len(body) > self._bounds.bytes:
            self._context_bytes = self._total("context")  # what was replaced and dropped has been counted until now
        if too_large or self._context_bytes + len(body) > self._bounds.bytes:
            # Half a context would be worse than none, and so would one from before.
            reason = f"it has {len(body)} characters" if too_large else "contexts have all the room they may have"
            _log.warning("context of %s for %s is not kept: %s", policy, asset, reason)
            self._db.write(("DELETE FROM context WHERE policy = ? AND asset = ?", key))
            return
        self._context_bytes += len(body)
        self._db.write(("INSERT OR REPLACE INTO context (policy, asset, body) VALUES (?, ?, ?)", (*key, body)))

    def load_context(self, policy: str, asset: str) -> dict[str, Any] | None:
        """Return the context kept last, or None."""
        rows = self._db.read("SELECT body FROM context WHERE policy = ? AND asset = ?", (policy, asset))
        return dict(json.loads(rows[0][0])) if rows else None

    def forget(self, asset: str) -> None:
        """Drop what is known of an asset that is gone; its decisions stay until they age out."""
        self._db.write(
            ("DELETE FROM context WHERE asset = ?", (asset,)),
            ("DELETE FROM context_use WHERE asset = ?", (asset,)),
            ("DELETE FROM held WHERE asset = ?", (asset,)),
        )

    def forget_policy(self, name: str, *, but: str = "") -> None:
        """Drop the contexts of a policy, but not those of its version ``but``."""
        kept = f"{name}@{but}" if but else ""
        self._db.write(
            ("DELETE FROM context WHERE policy >= ? AND policy < ? AND policy != ?", (f"{name}@", f"{name}A", kept))
        )

    def retain(self, assets: Set[str], policies: Set[str]) -> None:
        """Drop contexts of assets that are gone, and of policies that have not been here for long.

        Args:
            assets: All that is looked after.
            policies: Policies that decide now, as ``name@version``; one that is switched off keeps its contexts for a time.
        """
        now = self._now()
        changes: list[Statement] = []
        used: dict[tuple[str, str], float] = {
            (policy, asset): when
            for policy, asset, when in self._db.read("SELECT policy, asset, time FROM context_use")
        }
        for policy, asset in self._db.read("SELECT policy, asset FROM context"):
            key = (policy, asset)
            last = now if policy in policies else used.get(key, now)
            if asset not in assets or last < now - self._bounds.age:
                changes.append(("DELETE FROM context WHERE policy = ? AND asset = ?", key))
                changes.append(("DELETE FROM context_use WHERE policy = ? AND asset = ?", key))
            elif last - used.get(key, 0.0) > _USE_SECONDS:
                changes.append(("INSERT OR REPLACE INTO context_use VALUES (?, ?, ?)", (*key, last)))
        if changes:
            self._db.write(*changes)
        self._drop_old(_OLD_AT_ONCE)

    # -- plans -------------------------------------------------------------------------------------------------

    def begin(self, plan_id: str, plan: Mapping[str, Any]) -> None:
        """Write down that a plan is about to be executed.

        Raises:
            NotWritten: It cannot be written down: the plan must not be executed.
        """
        body = bounded(plan, self._bounds.body)
        self._db.write_now(("INSERT OR REPLACE INTO plan (id, body, outcome) VALUES (?, ?, NULL)", (plan_id, body)))
        self._under_way.add(plan_id)

    def finish(self, plan_id: str, outcome: str) -> None:
        """Write down how a plan ended; the note stays until its decision is recorded."""
        self._db.write(("UPDATE plan SET outcome = ? WHERE id = ?", (outcome, plan_id)))

    def interrupted(self) -> Sequence[dict[str, Any]]:
        """Return plans of which no decision tells, each once; ``outcome`` is None where they were never finished."""
        rows = [row for row in self._db.read("SELECT id, body, outcome FROM plan") if row[0] not in self._returned]
        for plan_id, _, _ in rows:
            self._returned.add(plan_id)
            self._under_way.add(plan_id)
        return [{"id": plan_id, **json.loads(body), "outcome": outcome} for plan_id, body, outcome in rows]

    # -- assets that swing -------------------------------------------------------------------------------------

    def hold(self, asset: str, state: Mapping[str, Any]) -> None:
        """Remember that an asset is left alone because it swings."""
        self._db.write(("INSERT OR REPLACE INTO held (asset, body) VALUES (?, ?)", (asset, json.dumps(state))))

    def holds(self) -> Mapping[str, dict[str, Any]]:
        """Return the assets that were left alone, and what was remembered of each."""
        return {asset: json.loads(body) for asset, body in self._db.read("SELECT asset, body FROM held")}

    def release(self, asset: str) -> None:
        """Forget that an asset was left alone."""
        self._db.write(("DELETE FROM held WHERE asset = ?", (asset,)))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- bounds ------------------------------------------------------------------------------------------------

    def _total(self, table: str) -> int:
        rows = self._db.read(f"SELECT coalesce(sum(length(body)), 0) FROM {table}")  # noqa: S608 -- one of two names
        return int(rows[0][0]) if rows else 0

    def _trim(self) -> None:
        self._since_trim = 0
        self._db.write(("DELETE FROM decision WHERE seq <= (SELECT max(seq) FROM decision) - ?", (self._keep,)))
        if self._decision_bytes <= self._bounds.bytes:
            return
        # What was trimmed has been counted until now; a tenth more than needed goes, so that this is rare.
        self._decision_bytes = self._total("decision")
        if self._decision_bytes > self._bounds.bytes:
            self._db.write((_DROP_BEYOND, (self._bounds.bytes * 9 // 10,)))
            self._decision_bytes = self._total("decision")

    def _drop_old(self, at_once: int) -> None:
        oldest = datetime.fromtimestamp(max(0.0, self._now() - self._bounds.age), UTC).isoformat()
        self._db.write((_DROP_OLD, (at_once, oldest)))
