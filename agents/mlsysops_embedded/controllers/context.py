"""What all controllers of one control plane share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client.objects import controller_of, copy, owner_reference, parse_time, selector_matches
from mlsysops_embedded.controllers.disruption import Rates
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from mlsysops_embedded.client import Client, EventRecorder, Informer, InformerFactory, Object, Resource

__all__ = [
    "Context",
    "Settings",
    "candidates",
    "claim",
    "gather_all",
    "index_owners",
    "pod_available",
    "pod_is_active",
    "pod_ready",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """Knobs of the controllers; the defaults are those of kube-controller-manager 1.36.

    Attributes:
        node_grace: Seconds without a renewed Lease until a node's Ready becomes Unknown (``node-monitor-grace-period``: 40 s up to
            Kubernetes 1.31). A control plane of a slice takes the duration of Leases instead, so that one setting says both.
        eviction_seconds: How long pods without a toleration of their own stay on an unreachable or not-ready node.
        eviction_rates: How many nodes may lose their pods in how much time, and when that is braked.
        event_ttl: Seconds that Events are kept.
        root_ca: PEM of the cluster's CA, published in each namespace as ConfigMap ``kube-root-ca.crt``.
        workers: Concurrent reconciliations a controller.
        sign: Makes a ServiceAccount token of claims; no token Secrets are filled where None.
    """

    node_grace: float = 50.0
    eviction_seconds: float = 300.0
    eviction_rates: Rates = field(default_factory=Rates)
    event_ttl: float = 3600.0
    root_ca: str = ""
    workers: int = 4
    sign: Callable[[dict[str, Any]], str] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to each controller's ``run``."""

    client: Client
    informers: InformerFactory
    events: EventRecorder
    settings: Settings


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, Object]], *, limit: int = 16) -> list[Object]:
    """Run all, a few at a time, to the end; then raise the first error, if any."""
    gate = asyncio.Semaphore(limit)

    async def one(coroutine: Coroutine[Any, Any, Object]) -> Object:
        async with gate:
            return await coroutine

    results = await asyncio.gather(*(one(c) for c in coroutines), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def index_owners(informer: Informer) -> None:
    """Index objects by the controller that owns them and, where none does, by namespace."""
    informer.add_index("controller", lambda obj: [o["uid"] for o in [controller_of(obj)] if o])
    informer.add_index("orphan", lambda obj: () if controller_of(obj) else (obj["metadata"]["namespace"],))


def candidates(informer: Informer, owner: Object) -> list[Object]:
    """What an owner has or might adopt, of an informer that is indexed by owners."""
    metadata = owner["metadata"]
    return [*informer.by_index("controller", metadata["uid"]), *informer.by_index("orphan", metadata["namespace"])]


async def claim(
    client: Client, resource: Resource, owner: Object, selector: Object | None, found: Iterable[Object]
) -> list[Object]:
    """The objects that a controller owns, after adopting orphans that match and releasing owned ones that do not."""
    uid = owner["metadata"]["uid"]
    deleting = bool(owner["metadata"].get("deletionTimestamp"))
    claimed = []
    for obj in found:
        metadata = obj["metadata"]
        controller = controller_of(obj)
        fits = selector_matches(selector, metadata.get("labels"))
        if controller is not None:
            if controller["uid"] != uid:
                continue
            if fits or deleting:
                claimed.append(obj)
                continue
            references = [r for r in metadata["ownerReferences"] if r["uid"] != uid]
        elif fits and not deleting and not metadata.get("deletionTimestamp"):
            references = [*(metadata.get("ownerReferences") or ()), owner_reference(owner)]
        else:
            continue
        changed = copy(obj)
        changed["metadata"]["ownerReferences"] = references
        try:
            written = await client.update(resource, changed)
        except ApiError as exc:
            if exc.code == 404:
                continue
            raise
        if fits:
            claimed.append(written)
    return claimed


def pod_is_active(pod: Object) -> bool:
    """Whether a pod counts as a replica: not finished and not being deleted."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def pod_ready(pod: Object) -> Object | None:
    """The pod's Ready condition where it is True."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return condition if condition.get("status") == "True" else None
    return None


def pod_available(pod: Object, min_ready: int, at: float) -> float:
    """Seconds until a pod counts as available: 0 where it does, infinite where it is not ready.

    Args:
        pod: The pod.
        min_ready: ``minReadySeconds`` of its controller.
        at: Now, as a POSIX time.
    """
    ready = pod_ready(pod)
    if ready is None:
        return float("inf")
    if not min_ready or not ready.get("lastTransitionTime"):
        return 0.0
    return max(0.0, parse_time(ready["lastTransitionTime"]).timestamp() + min_ready - at)
