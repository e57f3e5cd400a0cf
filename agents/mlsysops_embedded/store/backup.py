"""Copies of a store: taken while it runs, put back while it does not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from mlsysops_embedded.store.log import StoreLock

__all__ = ["backup", "restore"]

#: Put between the newest revision ever given out and the first one after a restore, so that none comes twice.
_REVISION_GAP: Final = 1_000_000


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
        with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
        partial.chmod(0o600)
        partial.replace(target)
    except sqlite3.Error as exc:
        raise OSError(f"{store}: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)


def _newest(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute(
            "SELECT max(coalesce((SELECT max(rv) FROM revisions), 0), coalesce((SELECT value FROM meta WHERE key='compacted'), 0))"
        ).fetchone()
    return int(row[0])


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
            with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
                if old.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                    raise OSError(f"{source}: damaged")
                old.backup(new)
            following = max(_newest(store), _newest(fresh)) + _REVISION_GAP
            with closing(sqlite3.connect(fresh)) as new, new:
                # Superseded versions first: without its tombstone an older version would be alive again.
                new.execute(
                    "DELETE FROM revisions WHERE EXISTS (SELECT 1 FROM revisions n WHERE n.rv > revisions.rv "
                    "AND n.bucket=revisions.bucket AND n.namespace=revisions.namespace AND n.name=revisions.name)"
                )
                new.execute("DELETE FROM revisions WHERE deleted=1")
                new.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (following,))
        except sqlite3.Error as exc:
            raise OSError(f"{source}: {exc}") from exc
        else:
            for suffix in ("-wal", "-shm"):
                store.with_name(store.name + suffix).unlink(missing_ok=True)
            fresh.chmod(0o600)
            fresh.replace(store)
        finally:
            fresh.unlink(missing_ok=True)
