"""The record of what settings were before a mechanism changed them: on disk before the change, so that nothing can be forgotten.

One JSON file a mechanism, replaced as a whole (write, fsync, rename, fsync of the directory): a process that is killed leaves
either the old record or the new one. Settings of a kernel do not outlive it, so entries of another boot count for nothing,
unless they say that they last.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsysops_core.errors import MlsError

from .knob import read_text

__all__ = ["Entry", "Ledger", "boot_of"]

_log = logging.getLogger(__name__)

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one knob that was turned.

    Attributes:
        key: The knob.
        previous: Its value before the first change.
        ours: The values that were written or about to be, the newest last.
        asset: What it belongs to.
        policy: Who asked for the newest value.
        time: When, in seconds since the Unix epoch.
        lasting: Whether the setting outlives a reboot.
        pending: Whether it is not known that the newest value was written (of remembered knobs alone).
    """

    key: str
    previous: str
    ours: tuple[str, ...]
    asset: str
    policy: str
    time: float
    lasting: bool = False
    pending: bool = False


def boot_of(root: Path) -> str:
    """Return what tells one boot of a host from another; empty where it does not say."""
    return read_text(root / "proc/sys/kernel/random/boot_id") or ""


class Ledger:
    """The entries of one mechanism.

    Args:
        path: The file; its directory is made when there is something to write.
        boot: The boot that is running, as `boot_of` returns it.
    """

    def __init__(self, path: Path, *, boot: str = "") -> None:
        self._path = path
        self._boot = boot
        self._entries: dict[str, Entry] | None = None

    def entries(self) -> Mapping[str, Entry]:
        """Return the entries by key, the longest known first."""
        if self._entries is None:
            self._entries = self._load()
        return self._entries

    def record(self, entries: Iterable[Entry], *, forget: Iterable[str] = ()) -> None:
        """Put entries in (or in the place of those of the same key) and others out; on disk when it returns.

        Raises:
            MlsError: The file cannot be written; nothing may be changed then.
        """
        updated = dict(self.entries())
        for key in forget:
            updated.pop(key, None)
        updated.update({entry.key: entry for entry in entries})
        if updated != self._entries:
            self._save(updated)
            self._entries = updated

    def _load(self) -> dict[str, Entry]:
        try:
            document = json.loads(self._path.read_bytes())
            found = {str(item["key"]): _entry(item) for item in document["entries"]}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as exc:
            raise MlsError(f"{self._path}: previous settings cannot be read: {exc.strerror or exc}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            # Replaced as a whole, it cannot be torn: somebody else wrote there. Kept for people to look at.
            _log.error("%s is no record of settings, it is put aside: %s", self._path, exc)
            self._path.rename(self._path.with_suffix(".broken"))
            return {}
        if document.get("boot") != self._boot:
            return {key: entry for key, entry in found.items() if entry.lasting}
        return found

    def _save(self, entries: Mapping[str, Entry]) -> None:
        document = {"version": _VERSION, "boot": self._boot, "entries": [_item(entry) for entry in entries.values()]}
        temporary = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as exc:
            raise MlsError(f"{self._path}: previous settings cannot be recorded: {exc.strerror or exc}") from exc


def _item(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "previous": entry.previous,
        "ours": list(entry.ours),
        "asset": entry.asset,
        "policy": entry.policy,
        "time": entry.time,
        "lasting": entry.lasting,
        **({"pending": True} if entry.pending else {}),
    }


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(
        key=str(item["key"]),
        previous=str(item["previous"]),
        ours=tuple(map(str, item["ours"])),
        asset=str(item["asset"]),
        policy=str(item["policy"]),
        time=float(item["time"]),
        lasting=bool(item.get("lasting")),
        pending=bool(item.get("pending")),
    )
