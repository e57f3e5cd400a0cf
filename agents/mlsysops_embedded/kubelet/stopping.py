"""Ends containers: their hook first, then a signal, then force when the grace is over."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.kubelet import probes

if TYPE_CHECKING:
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.subject import Subject

__all__ = ["Stopping"]


class Stopping:
    """The ends of one pod's containers.

    Args:
        subject: The pod.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def kill(self, container: Container, why: str) -> None:
        """Begin to end a container, unless that has begun."""
        if container.stopping or not container.running:
            return
        container.stopping = True
        container.stop_probes()
        self._subject.event("Normal", "Killing", why)
        self._tasks[container.name] = asyncio.create_task(self._stop(container, self._subject.grace()))

    async def _stop(self, container: Container, grace: float) -> None:
        hook = ((container.spec.get("lifecycle") or {}).get("preStop")) or None
        if hook and grace > 0 and container.name not in self._subject.simulated:
            begin = time.monotonic()
            success, message = await probes.act(hook, self._subject.target(container), grace)
            if not success:
                self._subject.event("Warning", "FailedPreStopHook", f"PreStopHook failed: {message}")
            # As the kubelet: whatever the hook took, the program gets two seconds at least.
            grace = max(2.0, grace - (time.monotonic() - begin))
        if container.handle is not None:
            await container.handle.stop(grace)

    async def force(self) -> None:
        """The grace is over, or the API object is gone already and nobody waits for it."""
        handles = [c.handle for c in self._subject.containers if c.handle is not None]
        await asyncio.gather(*(handle.stop(1.0) for handle in handles))

    def cancel(self) -> None:
        """Leave what runs as it is."""
        for task in self._tasks.values():
            task.cancel()
