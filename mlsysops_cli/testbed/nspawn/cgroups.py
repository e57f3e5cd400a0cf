"""A control group for each host, in whichever of the two versions this machine has, or both.

Without one of their own, systemd-nspawn would put all hosts into one group, and each host's systemd would take the
others' processes for its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["enter", "processes", "remove", "roots"]

_ROOT = Path("/sys/fs/cgroup")
_HIERARCHIES = ("systemd", "unified", "memory", "cpu", "pids")


def roots() -> list[Path]:
    """Return the roots of the hierarchies in which hosts get groups."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [_ROOT / name for name in _HIERARCHIES if (_ROOT / name).is_dir()]


def enter(group: str, name: str, *, memory: int, cpu: float) -> None:
    """Move this process into a group of its own, below a common one, with limits.

    Args:
        group: The common group.
        name: The host's group.
        memory: Bytes.
        cpu: Cores.
    """
    for root in roots():
        place = root / group / name
        place.mkdir(parents=True, exist_ok=True)
        if root == _ROOT:
            for parent in (root, root / group):
                with contextlib.suppress(
                    OSError
                ):  # a machine that delegates fewer controllers: the limits are left out
                    (parent / "cgroup.subtree_control").write_text("+memory +cpu +pids", encoding="ascii")
        for file, value in (
            ("memory.limit_in_bytes", str(memory)),
            ("cpu.cfs_quota_us", str(int(cpu * 100_000))),
            ("memory.max", str(memory)),
            ("cpu.max", f"{int(cpu * 100_000)} 100000"),
        ):
            if (place / file).exists():
                (place / file).write_text(value, encoding="ascii")
        (place / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def processes(group: str, name: str) -> set[int]:
    """Return the process ids in a host's group and the groups below it."""
    found: set[int] = set()
    for root in roots()[:1]:
        place = root / group / name
        for file in place.rglob("cgroup.procs") if place.is_dir() else []:
            with contextlib.suppress(OSError):  # the group went meanwhile
                found.update(int(line) for line in file.read_text(encoding="ascii").split())
    return found


def remove(group: str, name: str = "") -> None:
    """Remove a host's group, or the common one, with the groups below it; groups that hold processes stay."""
    for root in roots():
        place = root / group / name if name else root / group
        if not place.is_dir():
            continue
        for directory, _, _ in os.walk(place, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
