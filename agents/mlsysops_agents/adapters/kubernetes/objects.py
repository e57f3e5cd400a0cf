"""Kubernetes objects as a tier and its plug-ins see them: caches to read, verbs to write (`contracts.Objects`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.errors import MlsError, NotFound

from .client import KubernetesClient, Object
from .events import EventRecorder
from .informer import Change, Informer
from .permissions import Permissions
from .resources import WELL_KNOWN, Resource

__all__ = ["KubernetesObjects"]


class KubernetesObjects:
    """One control plane as an agent uses it. Enter it with ``async with``: its caches live that long.

    A fault of ours in a cache's task ends the block it was entered with, so that the agent is restarted rather than
    goes on half blind.

    Args:
        client: The connection; closed by whoever made it.
        agent: Who acts; names the reporter of Events and the namespace of namespaced objects.
    """

    def __init__(self, client: KubernetesClient, agent: AgentIdentity) -> None:
        self.client = client
        self._namespace = agent.namespace
        self._recorder = EventRecorder(
            client, component=f"mlsysops-{agent.tier}-agent", instance=agent.name, namespace=agent.framework_namespace
        )
        self._informers: dict[tuple[Resource, str | None, str, str], Informer] = {}
        self._by_kind: dict[str, Informer] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(*exc_info)

    # -- caches --------------------------------------------------------------------------------------------------

    def follow(
        self,
        kind: str,
        handler: Callable[[Change], None] | None = None,
        *,
        namespace: str | None = None,
        name: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer:
        """Keep objects of a kind in a cache, and call ``handler`` on each change (an ADDED for each that is there).

        The first selection of a kind is the one that `get` and `items` read. Following the same selection again
        shares its cache.

        Args:
            kind: One of `resources.WELL_KNOWN`.
            handler: Called synchronously; must not block.
            namespace: The agent's own where None; ``"*"`` for all.
            name: Only the object of that name (least privilege: RBAC may allow no more).
            label_selector: As in the API.
            field_selector: As in the API.
        """
        resource = _resource(kind)
        where = None if namespace == "*" or not resource.namespaced else namespace or self._namespace
        field_selector = f"metadata.name={name}" if name else field_selector
        key = (resource, where, label_selector, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(
                self.client, resource, namespace=where, label_selector=label_selector, field_selector=field_selector
            )
            self._informers[key] = informer
            self._by_kind.setdefault(kind, informer)
            self._running.append(self._tasks.create_task(informer.run(), name=f"informer-{resource.plural}"))
        if handler is not None:
            informer.subscribe(handler)
        return informer

    @property
    def permissions(self) -> Permissions:
        """What the API refused, and does still."""
        return self.client.permissions

    async def wait_synced(self) -> None:
        """Return when every cache has its first list; waits for ever while the API is away."""
        for informer in tuple(self._informers.values()):
            await informer.wait_synced()

    def get(self, kind: str, name: str) -> Object | None:
        """One cached object, or None; the kind must be followed."""
        return self._cache(kind).get(name, self._namespace)

    def items(self, kind: str) -> Sequence[Object]:
        """All cached objects of a kind; the kind must be followed."""
        return self._cache(kind).items()

    def labelled(self, kind: str, label: str, value: str) -> Sequence[Object]:
        """Cached objects of a kind that have a label; the kind must be followed."""
        return self._cache(kind).labelled(label, value)

    def changes(self, kind: str, mark: int) -> tuple[int, frozenset[str] | None]:
        """The mark for the next look, and what changed since this one; None where all of the kind is to be looked at."""
        return self._cache(kind).changes(mark)

    def _cache(self, kind: str) -> Informer:
        try:
            return self._by_kind[kind]
        except KeyError:
            raise MlsError(f"objects of kind {kind} are not followed by this agent") from None

    # -- writing -------------------------------------------------------------------------------------------------

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        """Server-side apply (``apiVersion``, ``kind`` and ``metadata.name`` given), taking over the fields named."""
        resource = _resource(str(obj["kind"]))
        namespace = (obj["metadata"].get("namespace") or self._namespace) if resource.namespaced else None
        return await self.client.apply(resource, obj, namespace, field_manager=field_manager)

    async def resize(self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str) -> Object:
        """Change CPU and memory of a pod's containers while they run."""
        containers = [{"name": name, "resources": dict(wanted)} for name, wanted in resources.items()]
        return await self.client.patch(
            _resource("Pod"),
            pod,
            {"spec": {"containers": containers}},
            self._namespace,
            patch_type="strategic",
            subresource="resize",
            field_manager=field_manager,
        )

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        """Set (or with None remove) annotations of an object in the agent's namespace."""
        resource = _resource(kind)
        patch = {"metadata": {"annotations": dict(annotations)}}
        namespace = self._namespace if resource.namespaced else None
        return await self.client.patch(resource, name, patch, namespace, field_manager=field_manager)

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        """Delete in the background (only the object with that uid, where given); False where it was not there."""
        resource = _resource(kind)
        namespace = self._namespace if resource.namespaced else None
        try:
            await self.client.delete(resource, name, namespace, propagation_policy="Background", uid=uid)
        except NotFound:
            return False
        return True

    async def event(
        self, regarding: Mapping[str, Any], *, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event on an object; equal ones are counted up, and a failure is logged, never raised."""
        await self._recorder.record(regarding, kind=kind, reason=reason, message=message)


def _resource(kind: str) -> Resource:
    try:
        return WELL_KNOWN[kind]
    except KeyError:
        raise MlsError(f"kind {kind} is not known to the agents") from None
