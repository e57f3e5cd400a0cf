"""The garbage collector: objects go when all their owners are gone, or first when their owner asks for it.

Source: Kubernetes ``pkg/controller/garbagecollector``: background, foreground (finalizer ``foregroundDeletion``) and
orphan (finalizer ``orphan``), owners told apart by uid.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, process
from mlsysops_embedded.client.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
)
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Informer, Object, Resource
    from mlsysops_embedded.controllers.context import Context

__all__ = ["run"]

_log = logging.getLogger(__name__)
_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"
#: What of an object decides whether it is to be collected.
_RELEVANT = ("uid", "ownerReferences", "finalizers", "deletionTimestamp")
#: Never owned and never owning; following them would cost memory for nothing.
_IGNORED = {EVENTS}

#: A vertex of the ownership graph: which resource, which namespace, which name.
_Vertex = tuple["Resource", str, str]


def _metadata_only(obj: Object) -> Object:
    kept = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
    return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": metadata}


class _Collector:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.queue: WorkQueue[_Vertex] = WorkQueue()
        self.informers: dict[Resource, Informer] = {}
        self.by_uid: dict[str, _Vertex] = {}
        self.dependents: dict[str, set[_Vertex]] = {}
        self.kinds: dict[tuple[str, str], Resource] = {}
        self.rediscover = asyncio.Event()
        self.definitions = context.informers.informer(CUSTOM_RESOURCE_DEFINITIONS)
        self.definitions.add_handler(lambda _new, _old: self.rediscover.set())

    async def follow_all(self) -> None:
        """Keep an informer on every listable resource; definitions that come and go wake it."""
        while True:
            self.rediscover.clear()
            try:
                found = {r for r in await self.client.discover() if r not in _IGNORED}
            except ApiError as exc:
                _log.warning("discovery failed: %s; trying again", exc)
                await asyncio.sleep(2.0)
                continue
            for resource in sorted(found - self.informers.keys(), key=lambda r: (r.group, r.plural)):
                self.kinds[resource.group, resource.kind] = resource
                informer = self.context.informers.informer(resource, transform=_metadata_only)
                self.informers[resource] = informer
                informer.add_handler(functools.partial(self._changed, resource))
            for resource in self.informers.keys() - found:
                self._forget(resource)
            # A definition is served a moment after it is written, which nothing announces: what is not followed would
            # never be collected.
            missing = self._defined() - {(resource.group, resource.plural) for resource in found}
            try:
                async with asyncio.timeout(1.0 if missing else None):
                    await self.rediscover.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0.2)

    def _defined(self) -> set[tuple[str, str]]:
        """Group and plural of every definition that is to be served."""
        specs = [d["spec"] for d in self.definitions.items() if not d["metadata"].get("deletionTimestamp")]
        return {(s["group"], s["names"]["plural"]) for s in specs if any(v.get("served") for v in s["versions"])}

    def _forget(self, resource: Resource) -> None:
        informer = self.informers.pop(resource)
        if self.kinds.get((resource.group, resource.kind)) == resource:  # it may be followed in another version now
            del self.kinds[resource.group, resource.kind]
        for obj in informer.items():
            self._changed(resource, None, obj)
        self.context.informers.stop(resource)

    def _changed(self, resource: Resource, new: Object | None, old: Object | None) -> None:
        for obj, present in ((old, False), (new, True)):
            if obj is None:
                continue
            metadata = obj["metadata"]
            vertex = (resource, metadata.get("namespace") or "", metadata["name"])
            for reference in metadata.get("ownerReferences") or ():
                dependents = self.dependents.setdefault(reference["uid"], set())
                (dependents.add if present else dependents.discard)(vertex)
                if not dependents:
                    del self.dependents[reference["uid"]]
                if not present and (owner := self.by_uid.get(reference["uid"])):
                    self.queue.add(owner)  # perhaps the last one that foreground deletion waits for
            if present:
                self.by_uid[metadata["uid"]] = vertex
                deleting = metadata.get("deletionTimestamp") and {_FOREGROUND, _ORPHAN} & set(
                    metadata.get("finalizers") or ()
                )
                # Most changes are none of its business: an owner's end is told by the owner.
                changed = old is None or any(old["metadata"].get(f) != metadata.get(f) for f in _RELEVANT)
                if changed and (metadata.get("ownerReferences") or deleting):
                    self.queue.add(vertex)
            elif new is None or new["metadata"]["uid"] != metadata["uid"]:
                self.by_uid.pop(metadata["uid"], None)
                for dependent in self.dependents.get(metadata["uid"], ()):
                    self.queue.add(dependent)

    def _stored(self, vertex: _Vertex) -> Object | None:
        informer = self.informers.get(vertex[0])
        return informer.get(vertex[2], vertex[1]) if informer else None

    async def reconcile(self, vertex: _Vertex) -> None:
        obj = self._stored(vertex)
        if obj is None:
            return
        metadata = obj["metadata"]
        finalizers = set(metadata.get("finalizers") or ())
        if metadata.get("deletionTimestamp"):
            if _ORPHAN in finalizers:
                await self._orphan_dependents(vertex, metadata["uid"])
            elif _FOREGROUND in finalizers:
                await self._delete_dependents(vertex, metadata["uid"])
            return
        references = metadata.get("ownerReferences") or []
        if references:
            await self._collect(vertex, obj, references)

    async def _owner(self, reference: Object, namespace: str) -> Object | None:
        """The live owner, or None where it is surely gone; raises where that is not known yet."""
        vertex = self.by_uid.get(reference["uid"])
        if vertex is not None and (stored := self._stored(vertex)) is not None:
            return stored
        group = reference["apiVersion"].rpartition("/")[0]
        resource = self.kinds.get((group, reference["kind"]))
        if resource is None:
            # The kind is not served: as in Kubernetes, that is no proof that the owner is gone.
            raise ApiError.not_found(reference["kind"], reference["name"], group)
        try:
            live = await self.client.get(resource, reference["name"], namespace if resource.namespaced else None)
        except ApiError as exc:
            if exc.code == 404:
                return None
            raise
        return live if live["metadata"]["uid"] == reference["uid"] else None

    async def _collect(self, vertex: _Vertex, obj: Object, references: list[Object]) -> None:
        resource, namespace, name = vertex
        solid: list[Object] = []
        waiting: list[Object] = []
        dangling: list[str] = []
        for reference in references:
            owner = await self._owner(reference, namespace)
            if owner is None:
                dangling.append(reference["uid"])
            elif owner["metadata"].get("deletionTimestamp") and _FOREGROUND in (
                owner["metadata"].get("finalizers") or ()
            ):
                waiting.append(reference)
            else:
                solid.append(reference)
        if solid:
            if dangling or waiting:
                await self._patch_references(vertex, obj, [r for r in references if r in solid])
            return
        policy = "Background"
        if (waiting and self.dependents.get(obj["metadata"]["uid"])) or _FOREGROUND in (
            obj["metadata"].get("finalizers") or ()
        ):
            policy = "Foreground"
        elif _ORPHAN in (obj["metadata"].get("finalizers") or ()):
            policy = "Orphan"
        try:
            # The version, too: whoever gave it another owner meanwhile must not lose it.
            await self.client.delete(
                resource,
                name,
                namespace or None,
                uid=obj["metadata"]["uid"],
                resource_version=obj["metadata"].get("resourceVersion"),
                propagation_policy=policy,
            )
        except ApiError as exc:
            if exc.code != 404:
                raise
        _log.debug("collected %s %s/%s", resource.plural, namespace, name)

    async def _patch_references(self, vertex: _Vertex, obj: Object, references: list[Object]) -> None:
        resource, namespace, name = vertex
        metadata = {
            "uid": obj["metadata"]["uid"],
            "resourceVersion": obj["metadata"].get("resourceVersion"),
            "ownerReferences": references or None,
        }
        await self.client.patch(resource, name, {"metadata": metadata}, namespace or None, patch_type="merge")

    async def _orphan_dependents(self, vertex: _Vertex, uid: str) -> None:
        for dependent in list(self.dependents.get(uid, ())):
            obj = self._stored(dependent)
            if obj is None:
                continue
            kept = [r for r in obj["metadata"].get("ownerReferences") or () if r["uid"] != uid]
            try:
                await self._patch_references(dependent, obj, kept)
            except ApiError as exc:
                if exc.code != 404:
                    raise
        await self._remove_finalizer(vertex, _ORPHAN)

    async def _delete_dependents(self, vertex: _Vertex, uid: str) -> None:
        blocking = False
        for dependent in list(self.dependents.get(uid, ())):
            obj = self._stored(dependent)
            if obj is None:
                continue
            self.queue.add(dependent)
            blocking = blocking or any(
                r["uid"] == uid and r.get("blockOwnerDeletion") for r in obj["metadata"].get("ownerReferences") or ()
            )
        if not blocking:
            await self._remove_finalizer(vertex, _FOREGROUND)

    async def _remove_finalizer(self, vertex: _Vertex, finalizer: str) -> None:
        resource, namespace, name = vertex
        try:
            live = await self.client.get(resource, name, namespace or None)
            metadata = live["metadata"]
            left = [f for f in metadata.get("finalizers") or () if f != finalizer]
            precise = {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": left or None,
            }
            await self.client.patch(resource, name, {"metadata": precise}, namespace or None, patch_type="merge")
        except ApiError as exc:
            if exc.code != 404:
                raise


async def run(context: Context) -> None:
    """Collect garbage for ever."""
    collector = _Collector(context)
    async with asyncio.TaskGroup() as group:
        group.create_task(collector.follow_all())
        group.create_task(process(collector.queue, collector.reconcile, _log, workers=context.settings.workers))
