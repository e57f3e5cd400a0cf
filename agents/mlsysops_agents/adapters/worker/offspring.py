"""Processes that a plug-in has started and that left its process group: found by the mark that they inherit in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from pathlib import Path

__all__ = ["VARIABLE", "end_offspring", "new_mark"]

#: Variable of the environment that holds the mark.
VARIABLE = "MLSYSOPS_WORKER"
_PROCESSES = Path("/proc")
#: One that forks while it is looked for is found by the next look.
_LOOKS = 3


def new_mark() -> str:
    """Return a mark that no other worker has."""
    return uuid.uuid4().hex


def end_offspring(mark: str) -> int:
    """Kill every process with a mark; returns how many there were. Linux only, elsewhere there are none to be found."""
    wanted = f"{VARIABLE}={mark}".encode()
    ended = 0
    for _ in range(_LOOKS):
        found = [number for number in _numbers() if _has(number, wanted)]
        for number in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        ended += len(found)
        if not found:
            break
    return ended


def _numbers() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(path.name) for path in _PROCESSES.iterdir() if path.name.isdigit()]
    return []


def _has(number: int, wanted: bytes) -> bool:
    try:
        return wanted in (_PROCESSES / str(number) / "environ").read_bytes().split(b"\0")
    except OSError:  # it is gone, or somebody else's
        return False
