"""Brings one pod to what its spec asks for, and keeps it there; woken by changes, never polling."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import condition, now, parse_time
from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.kubelet import probes, status
from mlsysops_embedded.kubelet.container import Container
from mlsysops_embedded.kubelet.environment import ContainerConfigError
from mlsysops_embedded.kubelet.program import Place, prepare
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


class PodWorker:
    """Owns a pod's directory and its containers.

    Args:
        shared: What all workers of a kubelet share.
        pod: The pod as last seen.
        directory: Its directory.
        address: Its podIP.
        resources: Gives the ConfigMaps, Secrets, tokens and services it refers to.
    """

    def __init__(self, shared: Shared, pod: Object, directory: Path, address: str, resources: PodResources) -> None:
        self.shared = shared
        self.pod = pod
        self.directory = directory
        self.address = address
        self.resources = resources
        self.uid: str = pod["metadata"]["uid"]
        self.gone = False
        self.stopped = False
        self.finished = asyncio.Event()
        self.start_time = (pod.get("status") or {}).get("startTime") or now()
        self.status: Object = {}
        self.expired = False
        self._refresh_at = time.monotonic() + shared.refresh_interval
        self._wake = asyncio.Event()
        self._failures = 0
        self._killers: dict[str, asyncio.Task[None]] = {}
        spec = pod["spec"]
        self.containers = [
            Container(c, directory / "containers" / c["name"], self._wake.set, init=init)
            for init, listed in ((True, spec.get("initContainers") or ()), (False, spec["containers"]))
            for c in listed
        ]

    @property
    def simulated(self) -> list[str]:
        """Names of the containers that have no program."""
        return [c.name for c in self.containers if self.shared.runtime.program(c.spec.get("image", "")) is None]

    def update(self, pod: Object | None) -> None:
        """Take over a newer version; None where the API has the pod no more."""
        if pod is None:
            self.gone = True
        else:
            self.pod = pod
        self._wake.set()

    @property
    def _deleting(self) -> bool:
        return self.gone or bool(self.pod["metadata"].get("deletionTimestamp"))

    async def run(self) -> None:
        """Work until the pod is stopped and the API has forgotten it; cancelling leaves its programs running."""
        try:
            for container in self.containers:
                if container.load():
                    self._adopted(container)
            while True:
                self._wake.clear()
                if self._deleting:
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
            for task in self._killers.values():
                task.cancel()

    def _adopted(self, container: Container) -> None:
        handle = container.handle
        _log.info("%s: adopted container %s, pid %d", self._name, container.name, handle.pid if handle else 0)
        self._watch(container, adopted=True)

    @property
    def _name(self) -> str:
        metadata = self.pod["metadata"]
        return f"{metadata['namespace']}/{metadata['name']}"

    async def _guarded_sync(self) -> float | None:
        try:
            delay = await self._sync()
        except ContainerConfigError as exc:
            self._waiting("CreateContainerConfigError", str(exc))
            self.shared.events.event(self.pod, "Warning", "Failed", f"Error: {exc}")
        except (ApiError, OSError) as exc:
            _log.warning("%s: %s; trying again", self._name, exc)
            self._waiting("CreateContainerError", str(exc))
        except Exception:  # noqa: BLE001 - one pod's fault must not stop the kubelet
            _log.exception("%s: cannot be brought up", self._name)
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
        if status.phase(policy, self.containers, terminated=False) in ("Succeeded", "Failed"):
            return None
        delays: list[float] = [] if left is None else [left]
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
            self.shared.events.event(self.pod, "Normal", "DeadlineExceeded", _EXPIRED)
        for container in self.containers:
            self._kill(container, f"Stopping container {container.name}")
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
                    self.shared.events.event(self.pod, "Warning", "FailedMount", str(exc))
        delays.append(left)

    async def _ensure(self, container: Container, policy: str, delays: list[float]) -> None:
        """Start a container where it should run and does not; its back-off may put that off."""
        if container.running:
            return
        ended = container.last
        done = ended is not None and (policy == "Never" or (policy == "OnFailure" and ended.exit_code == 0))
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
            place = Place(self.directory, self.address, self.shared)
            spec = await asyncio.to_thread(prepare, self.pod, container, program, place, self.resources)
        await container.start(spec)
        container.waiting = ("", "")
        self.shared.events.event(self.pod, "Normal", "Started", f"Started container {container.name}")
        if (
            container.running
            and spec is not None
            and (hook := (container.spec.get("lifecycle") or {}).get("postStart"))
        ):
            await self._post_start(container, hook)
        if container.running and not container.stopping:
            self._watch(container)
        return container.running

    async def _post_start(self, container: Container, hook: Object) -> None:
        """Run the hook before the container counts as started; without it the container is killed."""
        success, message = await probes.act(hook, self._target(container), _HOOK_TIMEOUT)
        if not success:
            self.shared.events.event(self.pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {message}")
            self._kill(container, "FailedPostStartHook")

    def _ended(self, container: Container) -> None:
        ended = container.last
        if ended is None:
            return
        container.ended_at = time.monotonic()
        container.restart_at = container.ended_at + container.backoff.after_exit(container.ran())
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
        _log.info("%s: container %s ended with %d", self._name, container.name, ended.exit_code)
        if container.restart_at > container.ended_at and not self._deleting:
            text = f"Back-off restarting failed container {container.name} in pod {self.pod['metadata']['name']}"
            self.shared.events.event(self.pod, "Warning", "BackOff", text)

    def _watch(self, container: Container, *, adopted: bool = False) -> None:
        """Start the probes of a container that has just begun to run."""
        spec = container.spec
        container.started = spec.get("startupProbe") is None or adopted
        # An adopted container was ready a moment ago; saying otherwise would take it out of its services.
        known = condition((self.pod.get("status") or {}).get("conditions"), "Ready") if adopted else None
        container.probes_ready = spec.get("readinessProbe") is None or bool(known and known["status"] == "True")
        if container.name in self.simulated:
            container.started = container.probes_ready = True
            return
        if not container.started:
            self._probe(container, "startupProbe")
        else:
            self._probe(container, "livenessProbe")
            self._probe(container, "readinessProbe")

    def _target(self, container: Container) -> probes.Target:
        ports = {p["name"]: int(p["containerPort"]) for p in container.spec.get("ports") or () if p.get("name")}
        environment = container.environment()
        rootfs = self.directory / "rootfs" / container.name
        return probes.Target(self.address, ports, environment, str(rootfs))

    def _probe(self, container: Container, kind: str) -> None:
        probe = container.spec.get(kind)
        if probe is None:
            return

        def report(result: bool, message: str) -> None:
            self._verdict(container, kind, result=result, message=message)

        container.probes.append(asyncio.create_task(probes.watch(probe, self._target(container), report)))

    def _verdict(self, container: Container, kind: str, *, result: bool, message: str) -> None:
        if not result:
            name = kind.removesuffix("Probe").capitalize()
            self.shared.events.event(self.pod, "Warning", "Unhealthy", f"{name} probe failed: {message}")
        if kind == "readinessProbe":
            container.probes_ready = result
        elif kind == "startupProbe" and result and not container.started:
            container.started = True
            container.stop_probes()
            self._probe(container, "livenessProbe")
            self._probe(container, "readinessProbe")
        elif not result:
            self._kill(
                container, f"Container {container.name} failed {kind.removesuffix('Probe')} probe, will be restarted"
            )
        self._wake.set()

    def _grace(self) -> float:
        given = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if given is None:
            given = self.pod["spec"].get("terminationGracePeriodSeconds")
        grace = 30.0 if given is None else float(given)
        if self.gone:
            grace = min(grace, 2.0)
        if stamp := self.pod["metadata"].get("deletionTimestamp"):
            # deletionTimestamp is when the grace ends.
            grace = min(grace, max(0.0, parse_time(stamp).timestamp() - time.time()) + 1.0)
        return grace

    def _kill(self, container: Container, why: str) -> None:
        if container.stopping or not container.running:
            return
        container.stopping = True
        container.stop_probes()
        self.shared.events.event(self.pod, "Normal", "Killing", why)
        self._killers[container.name] = asyncio.create_task(self._stop(container, self._grace()))

    async def _stop(self, container: Container, grace: float) -> None:
        hook = ((container.spec.get("lifecycle") or {}).get("preStop")) or None
        if hook and grace > 0 and container.name not in self.simulated:
            begin = time.monotonic()
            success, message = await probes.act(hook, self._target(container), grace)
            if not success:
                self.shared.events.event(self.pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {message}")
            # As the kubelet: whatever the hook took, the program gets two seconds at least.
            grace = max(2.0, grace - (time.monotonic() - begin))
        if container.handle is not None:
            await container.handle.stop(grace)

    async def _terminate(self) -> None:
        """Stop everything, say so, and release the API object."""
        if not self.stopped:
            running = [c for c in self.containers if c.running]
            for container in running:
                self._kill(container, f"Stopping container {container.name}")
            self.publish()
            while True:
                self._wake.clear()
                for container in self.containers:
                    if container.collect():
                        self._ended(container)
                if not any(c.running for c in self.containers):
                    break
                if self.gone or self._grace() <= 0:
                    await self._force()
                else:
                    await self._wake.wait()
            self.stopped = True
            for container in self.containers:
                if container.attempt >= 0:
                    container.waiting = ("", "")
            await asyncio.to_thread(self.shared.cgroups.remove, self.uid)
        self.publish()
        if not self.gone:
            self.shared.statuses.add((self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]))

    async def _force(self) -> None:
        """The grace is over, or the API object is gone already and nobody waits for it."""
        handles = [c.handle for c in self.containers if c.handle is not None]
        await asyncio.gather(*(handle.stop(1.0) for handle in handles))

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
        )
        if self.expired:
            result |= {"phase": "Failed", "reason": "DeadlineExceeded", "message": _EXPIRED}
        self.status = result
        if any(known.get(field) != value for field, value in result.items()):
            metadata = self.pod["metadata"]
            self.shared.statuses.add((metadata["namespace"], metadata["name"]))
