"""A copy of a store that runs: whoever has its files open stands still while it is copied.

What is copied is what the disk would hold after a power cut at that moment, which every store of this kind recovers from:
etcd and SQLite replay their write-ahead logs. Nothing of the store's own tools is needed, neither for the copy nor for
putting it back. Standard library only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["frozen", "users"]

#: Seconds until a process that was told to stand still does.
_PATIENCE = 5.0


@contextmanager
def frozen(directory: Path) -> Iterator[list[int]]:
    """Hold every process that has a file below a directory open; they go on afterwards, whatever happened.

    Args:
        directory: Of the store.

    Raises:
        OSError: A process does not stand still.
    """
    held: set[int] = set()
    try:
        while newcomers := users(directory) - held:
            for pid in newcomers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                held.add(pid)
                _wait(pid)
        yield sorted(held)
    finally:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def users(directory: Path) -> set[int]:
    """Return the processes that have a file below a directory open, in whatever namespace they are."""
    files = {(about.st_dev, about.st_ino) for path in directory.rglob("*") if (about := _stat(path))}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile
            opened = (_stat(descriptor) for descriptor in (entry / "fd").iterdir())
            if any(one and (one.st_dev, one.st_ino) in files for one in opened):
                found.add(int(entry.name))
    return found


def _stat(path: Path) -> os.stat_result | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about if path.is_file() else None


def _wait(pid: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            state = (
                Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
            )
        except OSError:
            return
        if state in "TtZX":
            return
        if time.monotonic() > deadline:
            raise OSError(f"process {pid} does not stand still")
        time.sleep(0.005)
