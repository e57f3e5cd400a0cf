"""Watches the containers of a pod by their probes, and acts on the verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import condition
from mlsysops_embedded.kubelet import probes

if TYPE_CHECKING:
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.stopping import Stopping
    from mlsysops_embedded.kubelet.subject import Subject

__all__ = ["Health"]


class Health:
    """The probes of one pod.

    Args:
        subject: The pod.
        stopping: Ends containers that are not alive.
        wake: Called after each verdict.
    """

    def __init__(self, subject: Subject, stopping: Stopping, wake: Callable[[], None]) -> None:
        self._subject = subject
        self._stopping = stopping
        self._wake = wake

    def watch(self, container: Container, *, adopted: bool = False) -> None:
        """Start the probes of a container that has just begun to run."""
        spec = container.spec
        container.started = spec.get("startupProbe") is None or adopted
        # An adopted container was ready a moment ago; saying otherwise would take it out of its services.
        status = self._subject.pod.get("status") or {}
        known = condition(status.get("conditions"), "Ready") if adopted else None
        container.probes_ready = spec.get("readinessProbe") is None or bool(known and known["status"] == "True")
        if container.name in self._subject.simulated:
            container.started = container.probes_ready = True
            return
        if not container.started:
            self._probe(container, "startupProbe")
        else:
            self._probe(container, "livenessProbe")
            self._probe(container, "readinessProbe")

    def _probe(self, container: Container, kind: str) -> None:
        probe = container.spec.get(kind)
        if probe is None:
            return

        def report(result: bool, message: str) -> None:
            self._verdict(container, kind, result=result, message=message)

        watching = probes.watch(probe, self._subject.target(container), report)
        container.probes.append(asyncio.create_task(watching))

    def _verdict(self, container: Container, kind: str, *, result: bool, message: str) -> None:
        name = kind.removesuffix("Probe")
        if not result:
            self._subject.event("Warning", "Unhealthy", f"{name.capitalize()} probe failed: {message}")
        if kind == "readinessProbe":
            container.probes_ready = result
        elif kind == "startupProbe" and result and not container.started:
            container.started = True
            container.stop_probes()
            self._probe(container, "livenessProbe")
            self._probe(container, "readinessProbe")
        elif not result:
            self._stopping.kill(container, f"Container {container.name} failed {name} probe, will be restarted")
        self._wake()
