"""Processes, told apart for ever. Standard library only."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Identity", "identity"]

#: Process id and start time (clock ticks since boot), which together are never used again.
Identity = tuple[int, str]


def identity(pid: int) -> Identity | None:
    """Return what names a process for ever; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (pid, fields[19])
