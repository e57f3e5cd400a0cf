"""Compaction on a disk that does not take everything."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlsysops_embedded.store.log import LogError, Revision, RevisionLog


async def test_what_was_deleted_stays_so_though_a_compaction_failed(tmp_path: Path) -> None:
    """The versions of an object go one by one: a lost compaction must not leave one that the next no longer covers."""
    path = tmp_path / "s"
    log = RevisionLog(path)
    log._connection.execute("PRAGMA busy_timeout=0")
    log.start(asyncio.get_running_loop())

    async def write(rv: int, name: str, *, deleted: bool = False) -> None:
        await log.append(Revision(rv, "b", "n", name, deleted, b"{}"), lambda: None)

    await write(1, "gone")
    await write(2, "gone")
    await write(3, "gone", deleted=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log.compact(2, [1])
        with pytest.raises(LogError):  # what is written after the compaction fails no sooner than that
            await write(4, "other")
        other.execute("ROLLBACK")
    log.compact(3, [2, 3])
    await write(5, "other")
    log.close()
    again = RevisionLog(path)
    compacted, revisions = again.load()
    assert (compacted, [revision.rv for revision in revisions]) == (3, [5])
    again.close()
