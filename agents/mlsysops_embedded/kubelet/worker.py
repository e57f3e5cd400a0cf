"""Brings one pod to what its spec asks for, and keeps it there; woken by changes, never polling."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import now, parse_time
from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.kubelet import probes, status
from mlsysops_embedded.kubelet.container import Container
from mlsysops_embedded.kubelet.environment import ContainerConfigError
from mlsysops_embedded.kubelet.health import Health
from mlsysops_embedded.kubelet.program import Place, prepare
from mlsysops_embedded.kubelet.resizing import Resizing
from mlsysops_embedded.kubelet.stopping import Stopping
from mlsysops_embedded.kubelet.subject import Subject
from mlsysops_embedded.kubelet.volumes import make_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.resources import PodResources
    from mlsysops_embedded.kubelet.shared import Shared

__all__ = ["PodWorker"]

_log = logging.getLogger(__name__)
#: Volumes whose contents may change while their pod runs.
_REFRESHED = ("configMap", "secret", "projected")
#: The most that a postStart hook may take: nothing else happens to its pod meanwhile.
_HOOK_TIMEOUT = 120.0
_EXPIRED = "Pod was active on the node longer than the specified deadline"


class PodWorker(Subject):
    """Owns a pod's directory and its containers.

    Args:
        shared: What all workers of a kubelet share.
        pod: The pod as last seen.
        directory: Its directory.
        address: Its podIP.
        resources: Gives the ConfigMaps, Secrets, tokens and services it refers to.
    """

    def __init__(self, shared: Shared, pod: Object, directory: Path, address: str, resources: PodResources) -> None:
        super().__init__(shared, pod, directory, address)
        self.resources = resources
        self.stopped = False
        self.finished = asyncio.Event()
        self.start_time = (pod.get("status") or {}).get("startTime") or now()
        self.status: Object = {}
        self.expired = False
        self._refresh_at = time.monotonic() + shared.refresh_interval
        self._wake = asyncio.Event()
        self._failures = 0
        self._stopping = Stopping(self)
        self._health = Health(self, self._stopping, self._wake.set)
        spec = pod["spec"]
        self.containers = [
            Container(c, directory / "containers" / c["name"], self._wake.set, init=init)
            for init, listed in ((True, spec.get("initContainers") or ()), (False, spec["containers"]))
            for c in listed
        ]
        self.resizing = Resizing(self, self._stopping, directory / "allocation.json")

    def update(self, pod: Object | None) -> None:
        """Take over a newer version; None where the API has the pod no more."""
        if pod is None:
            self.gone = True
        else:
            self.pod = pod
        self._wake.set()

    def reconsider(self) -> None:
        """Look again whether a resize that had no room has some."""
        if self.resizing.pending is not None:
            self._wake.set()

    async def run(self) -> None:
        """Work until the pod is stopped and the API has forgotten it; cancelling leaves its programs running."""
        try:
            self.resizing.load()
            for container in self.containers:
                if container.load():
                    self._adopted(container)
            while True:
                self._wake.clear()
                if self.deleting:
                    await self._terminate()
                    if self.gone:
                        await asyncio.to_thread(self._remove)
                        self.finished.set()
                        return
                    delay = None
                else:
                    delay = await self._guarded_sync()
                self.publish()
                try:
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for container in self.containers:
                container.stop_probes()
                if container.handle is not None:
                    container.handle.release()
            self._stopping.cancel()

    def _adopted(self, container: Container) -> None:
        handle = container.handle
        _log.info("%s: adopted container %s, pid %d", self.name, container.name, handle.pid if handle else 0)
        self._health.watch(container, adopted=True)

    async def _guarded_sync(self) -> float | None:
        try:
            delay = await self._sync()
        except ContainerConfigError as exc:
            self._waiting("CreateContainerConfigError", str(exc))
            self.event("Warning", "Failed", f"Error: {exc}")
        except (ApiError, OSError) as exc:
            _log.warning("%s: %s; trying again", self.name, exc)
            self._waiting("CreateContainerError", str(exc))
        except Exception:  # noqa: BLE001 - one pod's fault must not stop the kubelet
            _log.exception("%s: cannot be brought up", self.name)
        else:
            self._failures = 0
            return delay
        self._failures += 1
        return backoff(self._failures, base=1.0, ceiling=30.0)

    def _waiting(self, reason: str, message: str) -> None:
        for container in self.containers:
            if not container.running and (container.last is None or container.waiting[0]):
                container.waiting = (reason, message)

    async def _sync(self) -> float | None:
        """One step towards the wish; seconds until the next is due, None where only a change makes one."""
        for container in self.containers:
            if container.collect():
                self._ended(container)
        if (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return None
        left = self._time_left()
        if left is not None and left <= 0:
            self._expire()
            return None
        policy = self.pod["spec"].get("restartPolicy") or "Always"
        restarting = any(c.resizing for c in self.containers)
        if not restarting and status.phase(policy, self.containers, terminated=False) in ("Succeeded", "Failed"):
            self.shared.on_room()
            return None
        delays: list[float] = [] if left is None else [left]
        await self.resizing.step(delays)
        await self._refresh_volumes(delays)
        for container in (c for c in self.containers if c.init):
            if container.sidecar:
                await self._ensure(container, "Always", delays)
                if not container.started:
                    return min(delays, default=None)
            elif container.running or container.last is None or container.last.exit_code != 0:
                await self._ensure(container, "Never" if policy == "Never" else "OnFailure", delays)
                if not status.initialized([container]):
                    return min(delays, default=None)
                self._wake.set()
        for container in (c for c in self.containers if not c.init):
            await self._ensure(container, policy, delays)
        return min(delays, default=None)

    def _time_left(self) -> float | None:
        """Seconds until ``activeDeadlineSeconds`` are over; None where there is no such limit."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        if limit is None:
            return None
        return parse_time(self.start_time).timestamp() + float(limit) - time.time()

    def _expire(self) -> None:
        """The pod has had its time: everything stops, and the pod has failed (``active_deadline.go``)."""
        if not self.expired:
            self.expired = True
            self.event("Normal", "DeadlineExceeded", _EXPIRED)
        for container in self.containers:
            self._stopping.kill(container, f"Stopping container {container.name}")
            container.waiting = ("", "")

    async def _refresh_volumes(self, delays: list[float]) -> None:
        """Bring mounted ConfigMaps, Secrets and tokens up to date while their pod runs, as often as a kubelet does."""
        spec = self.pod["spec"]
        if not any(key in volume for volume in spec.get("volumes") or () for key in _REFRESHED):
            return
        left = self._refresh_at - time.monotonic()
        if left <= 0:
            left = self.shared.refresh_interval
            self._refresh_at = time.monotonic() + left
            if any(c.running and c.name not in self.simulated for c in self.containers):
                await self.resources.refresh(self.pod)
                addresses = {"podIP": self.address, "hostIP": self.shared.address}
                pod = {**self.pod, "status": addresses}
                data = self.resources.binary, self.resources.tokens
                try:
                    await asyncio.to_thread(make_volumes, pod, self.directory / "volumes", *data)
                except ContainerConfigError as exc:  # what runs keeps what it has
                    self.event("Warning", "FailedMount", str(exc))
        delays.append(left)

    async def _ensure(self, container: Container, policy: str, delays: list[float]) -> None:
        """Start a container where it should run and does not; its back-off may put that off."""
        if container.running:
            return
        ended = container.last
        done = (
            ended is not None
            and not container.resizing
            and (policy == "Never" or (policy == "OnFailure" and ended.exit_code == 0))
        )
        if done:
            container.waiting = ("", "")
            return
        left = container.restart_at - time.monotonic()
        if ended is not None and left > 0:
            seconds = round(container.restart_at - container.ended_at)
            text = (
                f"back-off {seconds}s restarting failed container={container.name} pod={self.pod['metadata']['name']}"
            )
            container.waiting = ("CrashLoopBackOff", text)
            delays.append(left)
            return
        if not await self._start(container):
            self._ended(container)
            delays.append(max(0.0, container.restart_at - time.monotonic()))

    async def _start(self, container: Container) -> bool:
        """Start the next attempt; False where it has ended already."""
        program = self.shared.runtime.program(container.spec.get("image", ""))
        spec = None
        if program is not None:
            await self.resources.refresh(self.pod)
            place = Place(self.directory, self.address, self.shared, self.identity(container))
            spec = await asyncio.to_thread(prepare, self.pod, container, program, place, self.resources)
        await container.start(spec)
        self.resizing.started(container)
        if self.resizing.progress is not None:
            self._wake.set()
        container.waiting = ("", "")
        self.event("Normal", "Started", f"Started container {container.name}")
        if (
            container.running
            and spec is not None
            and (hook := (container.spec.get("lifecycle") or {}).get("postStart"))
        ):
            await self._post_start(container, hook)
        if container.running and not container.stopping:
            self._health.watch(container)
        return container.running

    async def _post_start(self, container: Container, hook: Object) -> None:
        """Run the hook before the container counts as started; without it the container is killed."""
        success, message = await probes.act(hook, self.target(container), _HOOK_TIMEOUT)
        if not success:
            self.event("Warning", "FailedPostStartHook", f"PostStartHook failed: {message}")
            self._stopping.kill(container, "FailedPostStartHook")

    def _ended(self, container: Container) -> None:
        ended = container.last
        if ended is None:
            return
        container.ended_at = time.monotonic()
        # A restart for other resources is nobody's failure.
        delay = 0.0 if container.resizing else container.backoff.after_exit(container.ran())
        container.restart_at = container.ended_at + delay
        note = (
            self.directory
            / "rootfs"
            / container.name
            / str(container.spec.get("terminationMessagePath") or "/dev/termination-log").lstrip("/")
        )
        try:
            container.message = note.read_bytes()[:4096].decode("utf-8", "replace")
        except OSError:
            container.message = ""
        _log.info("%s: container %s ended with %d", self.name, container.name, ended.exit_code)
        if container.restart_at > container.ended_at and not self.deleting:
            text = f"Back-off restarting failed container {container.name} in pod {self.pod['metadata']['name']}"
            self.event("Warning", "BackOff", text)

    async def _terminate(self) -> None:
        """Stop everything, say so, and release the API object."""
        if not self.stopped:
            running = [c for c in self.containers if c.running]
            for container in running:
                self._stopping.kill(container, f"Stopping container {container.name}")
            self.publish()
            while True:
                self._wake.clear()
                for container in self.containers:
                    if container.collect():
                        self._ended(container)
                if not any(c.running for c in self.containers):
                    break
                if self.gone or self.grace() <= 0:
                    await self._stopping.force()
                else:
                    await self._wake.wait()
            self.stopped = True
            for container in self.containers:
                if container.attempt >= 0:
                    container.waiting = ("", "")
            await asyncio.to_thread(self.shared.cgroups.remove, self.uid)
            self.shared.on_room()
        self.publish()
        if not self.gone:
            self.shared.statuses.add((self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]))

    def _remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def publish(self) -> None:
        """Work out the status and queue it where the API's differs."""
        known = self.pod.get("status") or {}
        result = status.pod_status(
            self.pod,
            self.containers,
            addresses=(self.shared.address, self.address),
            started=self.start_time,
            terminated=self.stopped,
            simulated=self.simulated,
            resize={"PodResizePending": self.resizing.pending, "PodResizeInProgress": self.resizing.progress},
        )
        if self.expired:
            result |= {"phase": "Failed", "reason": "DeadlineExceeded", "message": _EXPIRED}
        self.status = result
        if any(known.get(field) != value for field, value in result.items()):
            metadata = self.pod["metadata"]
            self.shared.statuses.add((metadata["namespace"], metadata["name"]))
