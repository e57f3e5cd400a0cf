"""Resizes of a pod in place: what its node promises it, what its containers have, and how the one becomes the other.

A change that fits is *allocated* at once and remembered on disk, then it is *actuated*: by the control group of a running
container, or by a restart where the container's policy asks for one.

Source: Kubernetes ``pkg/kubelet/allocation/allocation_manager.go`` and ``kuberuntime_manager.go`` (computePodResizeAction).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client.objects import quantity
from mlsysops_embedded.kubelet.resources import write_private
from mlsysops_embedded.validation.amounts import pod_requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.stopping import Stopping
    from mlsysops_embedded.kubelet.subject import Subject

__all__ = ["Mark", "Resizing"]

_log = logging.getLogger(__name__)
_RESIZABLE = ("cpu", "memory")
#: Seconds until a resize that failed is tried again.
_RETRY = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A condition of a resize.

    Attributes:
        generation: Of the pod that asked for it.
        reason: ``Deferred``, ``Infeasible`` or ``Error``; empty while all is well.
        message: What stands against it.
    """

    generation: int
    reason: str = ""
    message: str = ""


class Resizing:
    """The resizes of one pod.

    Args:
        subject: The pod.
        stopping: Ends containers that have to restart.
        path: File that keeps what was allocated and actuated.
    """

    def __init__(self, subject: Subject, stopping: Stopping, path: Path) -> None:
        self._subject = subject
        self._stopping = stopping
        self._path = path
        self.pending: Mark | None = None
        self.progress: Mark | None = None

    def load(self) -> None:
        """Go on where an earlier kubelet was; a pod that was never resized has what its spec says."""
        for container in self._subject.containers:
            container.actuated = container.spec.get("resources")
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return
        for container in self._subject.containers:
            if container.name in kept["containers"]:
                allocated, container.actuated = kept["containers"][container.name]
                container.spec = {**container.spec, "resources": allocated}
        if kept["progress"] is not None:
            self.progress = Mark(**kept["progress"])

    def _keep(self) -> None:
        containers = {c.name: [c.spec.get("resources"), c.actuated] for c in self._subject.containers}
        progress = dataclasses.asdict(self.progress) if self.progress else None
        write_private(self._path, {"containers": containers, "progress": progress})

    def promised(self) -> dict[str, float]:
        """What the node has promised to the pod, by resource in base units."""
        given = {c.name: c.spec for c in self._subject.containers}
        spec = self._subject.pod["spec"]
        groups = {
            group: [given[c["name"]] for c in spec.get(group) or ()] for group in ("containers", "initContainers")
        }
        return pod_requests({**spec, **groups})

    async def step(self, delays: list[float]) -> None:
        """Allocate what is asked for where that is possible, and actuate what is allocated."""
        self._allocate()
        await self._actuate(delays)

    # ------------------------------------------------------------------ allocation

    def _allocate(self) -> None:
        pod = self._subject.pod
        spec = pod["spec"]
        listed = [*spec["containers"], *(spec.get("initContainers") or ())]
        wanted = {c["name"]: c.get("resources") for c in listed}
        changed = [c for c in self._subject.containers if not _same(c.spec.get("resources"), wanted.get(c.name))]
        if not changed:
            self.pending = None
            return
        generation = int(pod["metadata"].get("generation") or 0)
        if refused := self._refusal(changed, wanted):
            before, self.pending = self.pending, Mark(generation, *refused)
            if before is None or (before.reason, before.generation) != (refused[0], generation):
                self._keep()
                self._tell("Warning", f"Resize{refused[0]}", f"Pod resize {refused[0]}", generation, refused[1])
            return
        for container in changed:
            container.spec = {**container.spec, "resources": wanted[container.name]}
        self.pending, self.progress = None, Mark(generation)
        self._keep()
        self._tell("Normal", "ResizeStarted", "Pod resize started", generation)
        self._subject.shared.on_room()

    def _refusal(self, changed: list[Container], wanted: Mapping[str, Object | None]) -> tuple[str, str] | None:
        """Why a resize cannot be: for good, or for now."""
        for container in changed:
            limits = [
                (resources or {}).get("limits")
                for resources in (container.spec.get("resources"), wanted[container.name])
            ]
            held = container.name in self._subject.simulated or self._held(container)
            if container.running and limits[0] != limits[1] and not held and not _restarts(container, *limits):
                text = f"Container {container.name} is held by no control group: its limits cannot change while it runs"
                return "Infeasible", text
        shared = self._subject.shared
        before, after = self.promised(), pod_requests(self._subject.pod["spec"])
        used = shared.promised(self._subject.uid)
        for resource, scale in (("cpu", 1000), ("memory", 1)):
            capacity = shared.allocatable.get(resource)
            asked = after.get(resource, 0.0)
            if capacity is None or asked <= before.get(resource, 0.0):
                continue
            if asked + used.get(resource, 0.0) > (has := quantity(capacity)):
                amounts = [round(amount * scale) for amount in (asked, used.get(resource, 0.0), has)]
                text = "requested: {}, used: {}, capacity: {}".format(*amounts)
                return "Deferred", f"Node didn't have enough resource: {resource}, {text}"
        return None

    def _held(self, container: Container) -> bool:
        return self._subject.shared.cgroups.holds(self._subject.uid, container.name)

    # ------------------------------------------------------------------ actuation

    async def _actuate(self, delays: list[float]) -> None:
        error = ""
        for container in self._subject.containers:
            allocated = container.spec.get("resources")
            if _same(container.actuated, allocated) or not container.running or container.stopping:
                continue
            if _restarts(container, *(_amounts(r) for r in (container.actuated, allocated))):
                container.resizing = True
                self._stopping.kill(container, f"Container {container.name} resize requires restart")
                continue
            try:
                await asyncio.to_thread(self._apply, container, allocated or {})
            except OSError as exc:
                error = f"container {container.name}: {exc}"
                _log.warning("%s: cannot resize: %s", self._subject.name, error)
                continue
            container.actuated = allocated
            self._keep()
        if self.progress is None:
            return
        generation = self.progress.generation
        if error:
            if self.progress.message != error:
                self.progress = Mark(generation, "Error", error)
                self._keep()
                self._tell("Warning", "ResizeError", "Pod resize error", generation, error)
            delays.append(_RETRY)
        elif all(
            _same(c.actuated, c.spec.get("resources")) or not (c.running or c.resizing)
            for c in self._subject.containers
        ):
            self.progress = None
            self._keep()
            self._tell("Normal", "ResizeCompleted", "Pod resize completed", generation)

    def _apply(self, container: Container, resources: Object) -> None:
        """Change a running container's control group.

        Raises:
            OSError: The kernel refuses, or the new limit is below what is in use: the kernel would kill for it.
        """
        uid, cgroups = self._subject.uid, self._subject.shared.cgroups
        if container.name in self._subject.simulated or not self._held(container):
            return  # only requests change, or there is nothing to hold
        limits = [(r or {}).get("limits", {}).get("memory") for r in (container.actuated, resources)]
        before, after = (quantity(limit) if limit else float("inf") for limit in limits)
        used = cgroups.memory(uid, container.name)
        if after < before and used is not None and used >= after:
            raise OSError(
                f"cannot decrease memory limits: attempting to set memory limit ({after:.0f}) below current usage ({used})"
            )
        cgroups.update(uid, container.name, resources)

    def started(self, container: Container) -> None:
        """A container begins with what is allocated."""
        container.actuated = container.spec.get("resources")
        container.resizing = False
        if self.progress is not None:
            self._keep()

    def _tell(self, kind: str, reason: str, text: str, generation: int, error: str = "") -> None:
        spec = self._subject.pod["spec"]
        summary: dict[str, Any] = {
            group: [{"name": c["name"], "resources": c.get("resources") or {}} for c in spec[group]]
            for group in ("initContainers", "containers")
            if spec.get(group)
        }
        summary |= {"generation": generation, **({"error": error} if error else {})}
        self._subject.event(kind, reason, f"{text}: {json.dumps(summary, separators=(',', ':'))}")


def _amounts(resources: Object | None) -> Object:
    """Requests and limits in one mapping."""
    return {
        f"{kind}.{name}": value
        for kind in ("requests", "limits")
        for name, value in ((resources or {}).get(kind) or {}).items()
    }


def _same(left: Object | None, right: Object | None) -> bool:
    return _amounts(left) == _amounts(right)


def _restarts(container: Container, before: Object | None, after: Object | None) -> bool:
    """Whether the container's policy asks for a restart when these amounts change."""
    before, after = before or {}, after or {}
    changed = {key.rpartition(".")[2] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    policies = {item["resourceName"]: item["restartPolicy"] for item in container.spec.get("resizePolicy") or ()}
    return any(policies.get(resource) == "RestartContainer" for resource in changed & set(_RESIZABLE))
