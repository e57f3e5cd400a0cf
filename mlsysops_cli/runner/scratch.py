"""Directories for the time of one run, and those of runs that were killed, which the next one removes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["make_scratch"]


def make_scratch(parent: Path, name: str) -> Path:
    """Make a private directory ``<name>-<our process id>-…``, after removing those of processes that are no more.

    Args:
        parent: Where.
        name: What its name begins with.
    """
    for left in parent.glob(f"{name}-*-*"):
        owner = left.name.split("-")[1]
        if owner.isdecimal() and not Path("/proc", owner).exists() and left.stat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=parent))  # mkdtemp makes it 0700
