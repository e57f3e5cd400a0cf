"""What slices changed of a host's own settings, and what it was before: a file that all slices of the host share.

A setting that two slices want stays until neither does. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_files import write_file

__all__ = ["Record", "record"]


class Record:
    """The record of one host: ``{kind: {name: {"before": value, "users": {slice: wanted}}}}``.

    Args:
        content: What the file holds.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def entries(self, kind: str) -> dict[str, Any]:
        """Return what was changed of a kind, by name."""
        found: dict[str, Any] = self.content.get(kind, {})
        return found

    def add(self, kind: str, name: str, before: Any, user: str, wanted: Any) -> None:
        """Take note that a slice wants a setting; what was before is what the first slice found."""
        entry = self.content.setdefault(kind, {}).setdefault(name, {"before": before, "users": {}})
        entry["users"][user] = wanted

    def drop(self, kind: str, name: str, user: str) -> bool:
        """Take note that a slice wants a setting no more; return whether nobody does, and it has to be put back."""
        entry = self.entries(kind).get(name)
        if entry is None or user not in entry["users"]:
            return False
        del entry["users"][user]
        return not entry["users"]

    def forget(self, kind: str, name: str) -> None:
        """Take note that a setting was put back."""
        self.content[kind].pop(name, None)
        if not self.content[kind]:
            del self.content[kind]


@contextmanager
def record(path: Path, *, write: bool) -> Iterator[Record]:
    """Open a host's record, one process at a time; it is written on the way out, and removed when nothing is in it.

    Args:
        path: The file.
        write: Whether it may be; it is only read otherwise.
    """
    if not write:
        yield Record(_read(path))
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    lock = path.with_name("." + path.name + ".lock")
    with lock.open("w", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        kept = Record(_read(path))
        try:
            yield kept
        finally:  # also after a failure: what was changed before it must be put back one day
            if kept.content:
                write_file(path, json.dumps(kept.content, indent=1, sort_keys=True) + "\n")
            else:
                path.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
                with suppress(OSError):  # slices may have their state beside it
                    path.parent.rmdir()


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
