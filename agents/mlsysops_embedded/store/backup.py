"""Copies of a store: taken while it runs, put back while it does not."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from mlsysops_embedded.store.log import StoreLock

__all__ = ["backup", "restore"]

_LOG: Final = logging.getLogger("embedded.store")
#: Put between the newest revision that is known and the first one after a restore.
_REVISION_GAP: Final = 1_000_000
#: More revisions than a control plane writes in a second, by an order of magnitude. A restored store goes on at so many
#: a second since 1970, which is beyond all that a lost store can have given out: it went on so itself, or began at zero.
_REVISIONS_PER_SECOND: Final = 100_000


def backup(store: Path, target: Path) -> None:
    """Copies a store to a file that must not exist yet; the control plane may run meanwhile.

    Raises:
        OSError: The store is missing, or the file exists or cannot be written.
    """
    if not store.exists():
        raise FileNotFoundError(f"{store}: no such store")
    if target.exists():
        raise FileExistsError(f"{target} exists already")
    partial = target.with_name(f".{target.name}.partial")
    try:
        _make_private(partial)
        with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.replace(target)
    except sqlite3.Error as exc:
        raise OSError(f"{store}: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    """An empty file that nobody else may read, before anything is in it."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _newest(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute(
            "SELECT max(coalesce((SELECT max(rv) FROM revisions), 0), coalesce((SELECT value FROM meta WHERE key='compacted'), 0))"
        ).fetchone()
    return int(row[0])


def _newest_of_replaced(store: Path) -> int:
    """The newest revision of the store that is to be replaced; 0 where it is absent, empty or damaged."""
    if not store.exists() or not store.stat().st_size:
        return 0
    try:
        return _newest(store)
    except sqlite3.Error as exc:
        _LOG.warning("%s: damaged (%s); the copy takes its place", store, exc)
        return 0


def restore(store: Path, source: Path) -> None:
    """Puts a copy in the place of a store; watches from before are told that their history is gone.

    Raises:
        OSError: The copy is missing or damaged, or the control plane runs.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file")
    store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with StoreLock(store):
        fresh = store.with_name(f".{store.name}.restore")
        try:
            _make_private(fresh)
            with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
                if old.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                    raise OSError(f"{source}: damaged")
                old.backup(new)
            begun = int(time.time()) * _REVISIONS_PER_SECOND
            following = max(begun, max(_newest(fresh), _newest_of_replaced(store)) + _REVISION_GAP)
            with closing(sqlite3.connect(fresh)) as new, new:
                # Superseded versions first: without its tombstone an older version would be alive again.
                new.execute(
                    "DELETE FROM revisions WHERE EXISTS (SELECT 1 FROM revisions n WHERE n.rv > revisions.rv "
                    "AND n.bucket=revisions.bucket AND n.namespace=revisions.namespace AND n.name=revisions.name)"
                )
                new.execute("DELETE FROM revisions WHERE deleted=1")
                new.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (following,))
        except sqlite3.Error as exc:
            raise OSError(f"{source}: no copy of a store, or a damaged one ({exc})") from exc
        else:
            for suffix in ("-wal", "-shm"):
                store.with_name(store.name + suffix).unlink(missing_ok=True)
            fresh.replace(store)
        finally:
            fresh.unlink(missing_ok=True)
