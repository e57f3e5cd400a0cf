"""The knowledge store: durable, bounded, forgetful where it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_agents.loop import SqliteKnowledge
from mlsysops_core.errors import MlsError


def test_what_was_written_is_there_after_the_process_died(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "knowledge.db"
    store = SqliteKnowledge(path)
    store.record({"id": "1", "asset": "a", "verdict": "adapt"})
    store.save_context("p@1", "a", {"n": 1})
    store.begin("7", {"asset": "a", "policy": "p"})
    # no close: a killed process closes nothing
    again = SqliteKnowledge(path)
    assert again.decisions("a") == [{"id": "1", "asset": "a", "verdict": "adapt"}]
    assert again.load_context("p@1", "a") == {"n": 1}
    assert [plan["id"] for plan in again.interrupted()] == ["7"]
    assert again.interrupted() == []
    again.close()
    store.close()


def test_decisions_are_bounded_and_newest_first() -> None:
    store = SqliteKnowledge(":memory:", keep=50)
    for number in range(1000):
        store.record({"id": str(number), "asset": "a" if number % 2 else "b"})
    assert len(store.decisions(limit=10_000)) <= 50 + 100
    assert [item["id"] for item in store.decisions("a", limit=3)] == ["999", "997", "995"]
    store.close()


def test_a_context_that_is_no_json_is_not_kept() -> None:
    store = SqliteKnowledge(":memory:")
    store.save_context("p@1", "a", {"lock": object()})
    assert store.load_context("p@1", "a") is None
    store.close()


def test_a_file_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.db"
    path.mkdir()
    with pytest.raises(MlsError, match="no knowledge store"):
        SqliteKnowledge(path)
