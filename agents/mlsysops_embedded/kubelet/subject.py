"""The pod that a worker looks after, as its parts see it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import parse_time
from mlsysops_embedded.kubelet import probes
from mlsysops_embedded.kubelet.identity import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.identity import Identity
    from mlsysops_embedded.kubelet.shared import Shared

__all__ = ["Subject"]


class Subject:
    """A pod on this node.

    Args:
        shared: What all workers of a kubelet share.
        pod: The pod as last seen.
        directory: Its directory.
        address: Its podIP.
    """

    def __init__(self, shared: Shared, pod: Object, directory: Path, address: str) -> None:
        self.shared = shared
        self.pod = pod
        self.directory = directory
        self.address = address
        self.uid: str = pod["metadata"]["uid"]
        self.gone = False
        self.containers: list[Container] = []

    @property
    def name(self) -> str:
        """Namespace and name."""
        metadata = self.pod["metadata"]
        return f"{metadata['namespace']}/{metadata['name']}"

    @property
    def deleting(self) -> bool:
        """Whether it has to end."""
        return self.gone or bool(self.pod["metadata"].get("deletionTimestamp"))

    @property
    def simulated(self) -> list[str]:
        """Names of the containers that have no program."""
        return [c.name for c in self.containers if self.shared.runtime.program(c.spec.get("image", "")) is None]

    def event(self, kind: str, reason: str, message: str) -> None:
        """Tell what happened to it."""
        self.shared.events.event(self.pod, kind, reason, message)

    def identity(self, container: Container) -> Identity | None:
        """Who a container runs as where that is not the kubelet's user; raises ContainerConfigError where it must not."""
        entry = self.shared.runtime.entry(container.spec.get("image", ""))
        if entry is None or entry.ignore_user:
            return None
        return identity_of(self.pod, container.spec, os.geteuid())

    def target(self, container: Container) -> probes.Target:
        """Where probes and hooks of a container find it."""
        ports = {p["name"]: int(p["containerPort"]) for p in container.spec.get("ports") or () if p.get("name")}
        rootfs = self.directory / "rootfs" / container.name
        return probes.Target(self.address, ports, container.environment(), str(rootfs), self.identity(container))

    def grace(self) -> float:
        """Seconds that its containers may take to end."""
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
