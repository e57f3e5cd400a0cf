"""One container of a pod: its attempts on disk, its program or its pretence, its probes and its back-off."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client.objects import format_time, now, parse_time
from mlsysops_embedded.kubelet import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.process import Ended, Running

__all__ = ["Container", "CrashBackoff", "Simulated"]


@dataclass(slots=True)
class CrashBackoff:
    """Delays between restarts: none, 10 s, doubling to 300 s; forgotten after 10 minutes of running (as the kubelet's)."""

    base: float = 10.0
    ceiling: float = 300.0
    reset: float = 600.0
    _delay: float = 0.0

    def after_exit(self, ran: float) -> float:
        """Seconds to wait before the next start, given the seconds that the last one ran."""
        if ran >= self.reset:
            self._delay = 0.0
        current = self._delay
        self._delay = min(self.ceiling, current * 2) if current else self.base
        return current


class Simulated:
    """A container that runs in name only."""

    def __init__(self, started_at: str) -> None:
        self.started_at = started_at
        self.pid = 0
        self._finished_at = ""
        self._callbacks: list[Callable[[], None]] = []

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call when it is stopped."""
        self._callbacks.append(callback)

    def release(self) -> None:
        """Nothing to release."""

    @property
    def ended(self) -> Ended | None:
        """How it ended, or None while it "runs"."""
        return process.Ended(0, 0, self.started_at, self._finished_at) if self._finished_at else None

    def end(self) -> None:
        """End it with code 0."""
        self._finished_at = now()
        for callback in self._callbacks:
            callback()

    async def stop(self, grace: float) -> None:
        """End it; there is nothing to wait for."""
        del grace
        if not self._finished_at:
            self.end()


class Container:
    """A container's history and present.

    Args:
        spec: The container as the pod has it.
        init: Whether it is an init container.
        directory: Where its attempts are kept, one numbered directory each.
        wake: Called when something about it changed.
    """

    def __init__(self, spec: Object, directory: Path, wake: Callable[[], None], *, init: bool) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.init = init
        self.directory = directory
        self._wake = wake
        self.attempt = -1
        self.handle: Running | Simulated | None = None
        self.last: Ended | None = None
        self.previous: Ended | None = None
        self.waiting: tuple[str, str] = ("ContainerCreating", "")
        self.message = ""
        self.backoff = CrashBackoff()
        self.restart_at = self.ended_at = 0.0
        self.enforced_by = "none"
        self.probes_ready = False
        self.started = False
        self.stopping = False
        #: Resources that it has; those in its spec are what it is promised (see `resizing`).
        self.actuated: Object | None = None
        #: It is stopped to begin again with other resources.
        self.resizing = False
        self.probes: list[asyncio.Task[None]] = []

    @property
    def sidecar(self) -> bool:
        """An init container that goes on running beside the others."""
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        """Whether its program runs."""
        return self.handle is not None

    @property
    def ready(self) -> bool:
        """Whether it runs and its readiness probe (if any) is content."""
        return self.running and self.started and self.probes_ready and not self.stopping

    @property
    def attempt_dir(self) -> Path:
        """Directory of the present attempt."""
        return self.directory / str(self.attempt)

    def log_path(self, attempt: int | None = None) -> Path:
        """CRI log of an attempt (the present one where None)."""
        return self.directory / f"{self.attempt if attempt is None else attempt}.log"

    def environment(self) -> dict[str, str]:
        """The environment its program was started with; empty where it is simulated."""
        try:
            return dict(json.loads((self.attempt_dir / "spec.json").read_text())["env"])
        except (OSError, ValueError, KeyError):
            return {}

    def load(self) -> bool:
        """Find what an earlier kubelet left; True where a running program was adopted."""
        attempts = sorted(int(p.name) for p in self.directory.glob("*") if p.name.isdigit() and p.is_dir())
        if not attempts:
            return False
        self.attempt = attempts[-1]
        if len(attempts) > 1:
            found = _find(self.directory / str(attempts[-2]))
            self.previous = found if isinstance(found, process.Ended) else None
        current = _find(self.attempt_dir)
        if isinstance(current, process.Ended):
            self.last = current
            self.waiting = ("", "")
            return False
        if current is None:
            return False
        self._take(current)
        return True

    def _take(self, handle: Running | Simulated) -> None:
        self.handle = handle
        self.stopping = False
        self.waiting = ("", "")
        self.message = ""
        handle.on_end(self._on_end)

    def _on_end(self) -> None:
        self._wake()

    async def start(self, spec: dict[str, Any] | None) -> None:
        """Begin the next attempt.

        Args:
            spec: For the shim; None simulates.
        """
        if self.last is not None:
            self.previous = self.last
        self.attempt += 1
        for old in range(self.attempt - 1):
            await asyncio.to_thread(self._discard, old)
        if spec is None:
            handle: Running | Simulated | Ended = Simulated(now())
            self.attempt_dir.mkdir(parents=True, mode=0o700)
            (self.attempt_dir / "simulated.json").write_text(json.dumps({"started_at": handle.started_at}))
        else:
            handle = await process.start(self.attempt_dir, spec)
        if isinstance(handle, process.Ended):
            self.last = handle
            return
        self.last = None
        self._take(handle)
        if self.init and isinstance(handle, Simulated) and not self.sidecar:
            handle.end()

    def _discard(self, attempt: int) -> None:
        shutil.rmtree(self.directory / str(attempt), ignore_errors=True)
        for path in self.directory.glob(f"{attempt}.log*"):
            path.unlink(missing_ok=True)

    def collect(self) -> bool:
        """Take note of an end; True where the program just ended."""
        if self.handle is None or (ended := self.handle.ended) is None:
            return False
        self.handle = None
        self.last = ended
        self.started = self.probes_ready = False
        self.stop_probes()
        return True

    def stop_probes(self) -> None:
        """Stop its probes."""
        for task in self.probes:
            task.cancel()
        self.probes.clear()

    def ran(self) -> float:
        """Seconds that the last attempt ran."""
        if self.last is None or not self.last.started_at or not self.last.finished_at:
            return 0.0
        return (parse_time(self.last.finished_at) - parse_time(self.last.started_at)).total_seconds()

    def status(self, image_id: str, container_id: str) -> Object:
        """A core/v1 ContainerStatus."""
        result: Object = {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "imageID": image_id if self.attempt >= 0 else "",
            "ready": (self.last is not None and self.last.exit_code == 0)
            if self.init and not self.sidecar
            else self.ready,
            "restartCount": max(0, self.attempt),
            "started": self.running and self.started,
            "state": self._state(container_id),
            "lastState": {},
            "resources": (self.actuated if self.running else self.spec.get("resources")) or {},
        }
        if requests := (self.spec.get("resources") or {}).get("requests"):
            result["allocatedResources"] = requests
        if self.attempt >= 0:
            result["containerID"] = f"{container_id}/{self.attempt}"
        waiting = "waiting" in result["state"]
        before = self.last if waiting else self.previous
        if before is not None and self.attempt >= (0 if waiting else 1):
            attempt = self.attempt if waiting else self.attempt - 1
            result["lastState"] = {"terminated": self._terminated(before, f"{container_id}/{attempt}")}
        return result

    def _state(self, container_id: str) -> Object:
        if self.handle is not None:
            return {"running": {"startedAt": _seconds(self.handle.started_at)}}
        if self.last is not None and not self.waiting[0]:
            return {"terminated": self._terminated(self.last, f"{container_id}/{self.attempt}")}
        reason, message = self.waiting
        return {"waiting": {"reason": reason or "ContainerCreating", **({"message": message} if message else {})}}

    def _terminated(self, ended: Ended, container_id: str) -> Object:
        current = ended is self.last
        reason = "ContainerStatusUnknown" if ended.lost else "Completed" if ended.exit_code == 0 else "Error"
        if ended.oom_killed and ended.exit_code:
            reason = "OOMKilled"
        message = self.message if current else ""
        if ended.lost:
            message = "The container could not be located when the pod was looked at again"
        return {
            "exitCode": ended.exit_code,
            **({"signal": ended.signal} if ended.signal else {}),
            "reason": reason,
            **({"message": message} if message else {}),
            "startedAt": _seconds(ended.started_at) or None,
            "finishedAt": _seconds(ended.finished_at) or None,
            "containerID": container_id,
        }


def _seconds(stamp: str) -> str:
    return format_time(parse_time(stamp)) if stamp else ""


def _find(directory: Path) -> Running | Simulated | Ended | None:
    marker = directory / "simulated.json"
    if marker.exists():
        return Simulated(str(json.loads(marker.read_text())["started_at"]))
    return process.find(directory)
