"""A knowledge store that is damaged, of another version, or was given what is no JSON: the agent goes on with what can be had."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.loop import SqliteKnowledge
from mlsysops_agents.loop.database import Database, NotWritten

PAGE = 4096


def decision(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "asset": "a", "time": "2026-01-01T00:00:00Z", **more}


def works(store: SqliteKnowledge) -> bool:
    store.begin("p", {"asset": "a", "policy": "p", "commands": {}})
    store.record(decision(1))
    return [item["id"] for item in store.decisions("a", limit=1)] == ["1"]


def overwrite(path: Path) -> None:
    """Damage every page of a file but the first."""
    data = bytearray(path.read_bytes())
    assert len(data) > 4 * PAGE
    for start in range(PAGE, len(data), PAGE):
        data[start : start + 200] = b"\xa5" * 200
    path.write_bytes(data)


def test_a_file_that_is_no_store_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "knowledge.sqlite"
    path.write_bytes(b"no database at all" * 1000)
    assert works(SqliteKnowledge(path))
    assert (tmp_path / "knowledge.sqlite.damaged").read_bytes().startswith(b"no database")
    assert "kept as knowledge.sqlite.damaged" in caplog.text


def test_damage_that_sqlite_would_only_come_across_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.sqlite"
    store = SqliteKnowledge(path)
    for number in range(500):
        store.record(decision(number, plan={"text": "x" * 200}))
    store.close()
    overwrite(path)
    assert works(SqliteKnowledge(path))
    assert (tmp_path / "knowledge.sqlite.damaged").exists()


def test_a_file_that_is_damaged_under_way_costs_what_it_held_and_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.sqlite"
    store = SqliteKnowledge(path)
    for number in range(500):
        store.record(decision(number, plan={"text": "x" * 200}))
    for pragma in ("wal_checkpoint(TRUNCATE)", "cache_size=0", "shrink_memory"):
        store._db.read(f"PRAGMA {pragma}")
    overwrite(path)
    assert works(store)
    assert (tmp_path / "knowledge.sqlite.damaged").exists()


def test_a_table_of_another_version_is_begun_anew_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.sqlite"
    store = SqliteKnowledge(path)
    store.save_context("p@1", "a", {"n": 1})
    store.close()
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("DROP TABLE plan")
        old.execute("CREATE TABLE plan (id TEXT PRIMARY KEY, body TEXT NOT NULL)")  # as before outcomes were kept
    store = SqliteKnowledge(path)
    assert store.load_context("p@1", "a") == {"n": 1}
    assert works(store)


def test_a_disk_that_is_full_when_an_agent_starts_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "knowledge.sqlite"
    SqliteKnowledge(path).save_context("p@1", "a", {"n": 1})
    opened = Database._open

    def full(*_: Any) -> sqlite3.Connection:
        error = sqlite3.OperationalError("disk I/O error")  # as SQLite says when there is no room for its journal
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    now = 0.0
    monkeypatch.setattr(Database, "_open", full)
    store = SqliteKnowledge(path, monotonic=lambda: now)
    with pytest.raises(NotWritten, match=r"disk I/O error \(tried again in 1 s\)"):
        store.begin("p", {})
    assert store.load_context("p@1", "a") is None
    store.record(decision(7))
    monkeypatch.setattr(Database, "_open", opened)
    now = 120.0
    assert store.load_context("p@1", "a") == {"n": 1}
    assert works(store)
    assert [item["id"] for item in store.decisions()] == ["1", "7"]


def test_a_decision_that_is_no_json_to_others_holds_no_plan_up(tmp_path: Path) -> None:
    store = SqliteKnowledge(tmp_path / "knowledge.sqlite")
    store.record(decision(1, inputs={"load": float("nan")}))
    store.retain(frozenset(), frozenset())  # looks into every decision for its age
    assert works(store)
