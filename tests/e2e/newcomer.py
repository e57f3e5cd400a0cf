"""A person with an empty home directory who types commands: shared by end-to-end tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], *, timeout: float, every: float = 0.2) -> T:
    """Poll until the condition gives something true.

    Raises:
        AssertionError: It did not within `timeout` seconds; the message carries the last failure.
    """
    deadline = time.monotonic() + timeout
    last = ""
    while True:
        try:
            if value := condition():
                return value
        except (AssertionError, subprocess.CalledProcessError, KeyError, IndexError) as error:
            last = f" (last: {error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}{last}")
        time.sleep(every)


@dataclass(frozen=True)
class Run:
    """What a command did."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Newcomer:
    """Runs commands in a shell whose home is empty and whose PATH starts with this environment's programs.

    Args:
        home: An existing, empty directory.
        repository: Root of the checkout; `inventories/` is reachable in the working directory, as in the README.
    """

    def __init__(self, home: Path, repository: Path) -> None:
        self.home = home
        self.work = home / "work"
        self.work.mkdir()
        (self.work / "inventories").symlink_to(repository / "inventories")
        programs = Path(sys.executable).parent
        self.environment = {
            "HOME": str(home),
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
        }

    def run(self, command: str, *, timeout: float = 180, stdin: str = "", expect: int | None = 0) -> Run:
        """Run a shell command.

        Raises:
            AssertionError: The exit code is not the expected one (None: any will do).
        """
        start = time.perf_counter()
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.work,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        result = Run(done.returncode, done.stdout, done.stderr, time.perf_counter() - start)
        if expect is not None and result.code != expect:
            raise AssertionError(f"$ {command}\nexit code {result.code}, not {expect}\n{result.out}\n{result.err}")
        return result

    def processes(self) -> list[int]:
        """Pids of every process that this person's commands left running: the home is in its environment, arguments or working directory."""
        mark = str(self.home).encode()
        pids = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                about = (
                    (entry / "environ").read_bytes()
                    + (entry / "cmdline").read_bytes()
                    + os.fsencode((entry / "cwd").readlink())
                )
            except OSError:
                continue  # gone meanwhile, or somebody else's
            if mark in about:
                pids.append(int(entry.name))
        return pids
