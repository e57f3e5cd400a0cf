"""Runs containers as local programs, each below its shim, and finds them again after a restart of the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.kubelet import shim

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ended", "Running", "find", "start"]

_log = logging.getLogger(__name__)
#: Seconds a shim gets to clean up after a kill before it is killed itself.
_SHIM_GRACE = 5.0
_UNKNOWN = 137


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended.

    Attributes:
        exit_code: 128 + signal where a signal ended it.
        signal: Number of that signal, else 0.
        started_at: RFC 3339 time; empty where it is not known.
        finished_at: RFC 3339 time; empty where it is not known.
        oom_killed: The kernel killed part of it for want of memory.
        lost: Nobody saw it end (host reboot, shim killed), so the exit code is a guess.
    """

    exit_code: int
    signal: int
    started_at: str
    finished_at: str
    oom_killed: bool = False
    lost: bool = False


class Running:
    """A container whose shim is alive.

    Args:
        directory: Its directory, with ``state.json``.
        state: What that file holds.
    """

    def __init__(self, directory: Path, state: dict[str, Any]) -> None:
        self.directory = directory
        self.pid = int(state["pid"])
        self.started_at = str(state["started_at"])
        self._pidfd = os.pidfd_open(int(state["shim"]))
        if shim.start_time(int(state["shim"])) != state["shim_start"]:
            os.close(self._pidfd)
            raise ProcessLookupError(f"process {state['shim']} is somebody else")
        self._ended = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []
        asyncio.get_running_loop().add_reader(self._pidfd, self._gone)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call when the container has ended; at once where it has."""
        if self._ended.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def _gone(self) -> None:
        self.release()
        self._ended.set()
        for callback in self._callbacks:
            callback()

    def release(self) -> None:
        """Stop watching; the container goes on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    @property
    def ended(self) -> Ended | None:
        """How it ended, or None while it runs."""
        return _ended(self.directory) if self._ended.is_set() else None

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def _wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self, grace: float) -> None:
        """SIGTERM, wait up to the grace period (seconds), then SIGKILL everything it started."""
        if grace > 0:
            self._signal(signal.SIGTERM)
            if await self._wait(grace):
                return
        self._signal(signal.SIGUSR1)
        if not await self._wait(_SHIM_GRACE):
            _log.warning("shim of %s does not end, killing it", self.directory)
            self._signal(signal.SIGKILL)
            await self._ended.wait()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _ended(directory: Path) -> Ended:
    state, result = _read(directory / "state.json"), _read(directory / "exit.json")
    started = str((state or {}).get("started_at") or "")
    if result is None:
        return Ended(_UNKNOWN, 0, started, "", lost=True)
    oom_killed = bool(result.get("oom_killed"))
    return Ended(int(result["exit_code"]), int(result["signal"]), started, str(result["finished_at"]), oom_killed)


def find(directory: Path) -> Running | Ended | None:
    """The container that was started in a directory: still running, ended, or None where none was started."""
    state = _read(directory / "state.json")
    if state is None:
        return Ended(_UNKNOWN, 0, "", "", lost=True) if (directory / "spec.json").exists() else None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if state["boot_id"] == boot and not (directory / "exit.json").exists():
        try:
            return Running(directory, state)
        except (ProcessLookupError, FileNotFoundError):
            pass
    return _ended(directory)


def _prepare(directory: Path, spec: dict[str, Any]) -> None:
    directory.mkdir(parents=True, mode=0o700)
    descriptor = os.open(directory / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(spec, file)


async def start(directory: Path, spec: dict[str, Any]) -> Running | Ended:
    """Start a container in a fresh directory.

    Args:
        directory: Will hold the files that `shim` describes.
        spec: What goes into ``spec.json``.

    Raises:
        OSError: The shim cannot be started.
    """
    _prepare(directory, spec)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        shim.__file__,
        str(directory),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise OSError(f"shim failed: {errors.decode('utf-8', 'replace').strip()[-500:]}")
    found = find(directory)
    assert found is not None  # noqa: S101 - the shim has written its state
    return found
