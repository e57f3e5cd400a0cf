"""Whether a host's file systems take what its part of a slice writes.

Standard library only, and no syntax newer than Python 3.8.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_findings import Finding, fault

__all__ = ["check_places"]

#: Share of a file system's inodes, and their least number, that must be free.
_LEAST_INODES = 5000


def check_places(places: list[dict[str, Any]]) -> list[Finding]:
    """Find file systems that are read-only, full, or refuse programs.

    Args:
        places: Each with ``path``, the ``bytes`` that will be written there, ``what`` is kept there, and ``programs``
            where programs are started from it. Those on one file system share its room.
    """
    found: list[Finding] = []
    needed: dict[int, list[tuple[Path, int]]] = {}
    for place in places:
        path = _existing(Path(place["path"]))
        state = os.statvfs(path)
        if state.f_flag & os.ST_RDONLY or not os.access(path, os.W_OK):
            how = "is read-only" if state.f_flag & os.ST_RDONLY else "cannot be written"
            fix = "remount it read-write (and look for disk errors: dmesg)" if "read-only" in how else "run as root"
            found.append(fault("disk", "{} {}, {} goes there".format(path, how, place["what"]), fix))
            continue
        if place.get("programs") and state.f_flag & os.ST_NOEXEC:
            found.append(fault("disk", f"{path} is mounted noexec, programs go there", "remount it with exec"))
        needed.setdefault(path.stat().st_dev, []).append((path, int(place["bytes"])))
    for shares in needed.values():
        found += _room(shares)
    return found


def _room(shares: list[tuple[Path, int]]) -> list[Finding]:
    path, wanted = shares[0][0], sum(amount for _, amount in shares)
    state = os.statvfs(path)
    free = state.f_bavail * state.f_frsize
    if free < wanted:
        found = f"{free // 10**6} MB free in {path}, {wanted // 10**6} MB are needed"
        return [fault("disk", found, f"make room: `du -xh --max-depth=1 {path} | sort -h` shows what takes it")]
    if wanted and state.f_files and state.f_favail < _LEAST_INODES:  # some file systems have no number of inodes
        return [
            fault("disk", f"{state.f_favail} inodes free in {path}", "remove small files, or use another file system")
        ]
    return []


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
