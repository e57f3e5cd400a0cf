"""Looks for secrets while a slice is deployed: in arguments and environments of processes, and in what lies in a run's own directory.

The processes of the hosts run on this machine, so theirs are seen, too.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

#: An argument that hands a secret over, whatever the secret.
HANDED_OVER = re.compile(rb"\0--?(?:token|password|bearer-token|client-key-data)(?:=|\0)[^\0]")


class Watch(threading.Thread):
    """Looks until it is told to stop.

    Args:
        secrets: Returns what is looked for; it is asked again each time, because some secrets are made meanwhile.
        directory: The slices'.
        private: Look into private files of runs, too; else only into those that others may read.
    """

    def __init__(self, secrets: Callable[[], Iterable[str]], directory: Path, *, private: bool = False) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.handed_over: set[str] = set()
        self.looks = 0
        self._secrets = secrets
        self._known: list[bytes] = []
        self._directory = directory
        self._private = private
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.1):
            self.looks += 1
            self._known = [secret.encode() for secret in self._secrets()]
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    said = self._look(process / "cmdline", "arguments")
                    if HANDED_OVER.search(said):
                        self.handed_over.add(said.replace(b"\0", b" ").decode("utf-8", "replace"))
                    self._look(process / "environ", "environment")
            if self.looks % 10 == 0:
                for path in self._directory.glob("*/run/**/*"):
                    self._look_into(path)

    def _look_into(self, path: Path) -> None:
        try:
            wanted = path.is_file() and (self._private or path.stat().st_mode & 0o077)
        except OSError:  # gone meanwhile
            return
        if wanted:
            self._look(path, f"run: {path.name}")

    def _look(self, path: Path, where: str) -> bytes:
        try:
            data = path.read_bytes()
        except OSError:  # gone meanwhile
            return b""
        self.found |= {f"{where}: {data[:200]!r}" for secret in self._known if secret in data}
        return data

    def stop(self) -> None:
        self._done.set()
        self.join()
