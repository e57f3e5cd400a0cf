"""Removes what has had its time: old Events, and the objects of a definition that is being deleted."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import Resource, WorkQueue, key_of, process
from mlsysops_embedded.client.objects import parse_time
from mlsysops_embedded.client.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object
    from mlsysops_embedded.controllers.context import Context

__all__ = ["run"]

_log = logging.getLogger(__name__)
_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def _last_seen(event: Object) -> Object:
    """All that expiry needs of an event."""
    series = event.get("series") or {}
    # It lives as long after it was written last, whatever time it is about.
    stamps = (series.get("lastObservedTime"), event.get("lastTimestamp"), event["metadata"].get("creationTimestamp"))
    stamp = max((s for s in stamps if s), default=None)
    metadata = {k: event["metadata"].get(k) for k in ("name", "namespace", "uid", "resourceVersion")}
    return {"kind": "Event", "metadata": metadata, "seen": stamp}


class _Controller:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.ttl = context.settings.event_ttl
        self.old: WorkQueue[tuple[str, str]] = WorkQueue()
        self.definitions: WorkQueue[str] = WorkQueue()
        self.events = context.informers.informer(EVENTS, transform=_last_seen)
        self.crds = context.informers.informer(CUSTOM_RESOURCE_DEFINITIONS)
        self.events.add_handler(lambda new, old: self.old.add(key_of(new)) if new else None)
        self.crds.add_handler(lambda new, old: self.definitions.add(new["metadata"]["name"]) if new else None)

    async def expire(self, key: tuple[str, str]) -> None:
        event = self.events.get(key[1], key[0])
        if event is None:
            return
        left = (parse_time(event["seen"]).timestamp() if event["seen"] else 0.0) + self.ttl - time.time()
        if left > 0:
            self.old.add_after(key, left)
            return
        try:
            await self.client.delete(EVENTS, key[1], key[0], uid=event["metadata"]["uid"])
        except ApiError as exc:
            if exc.code != 404:
                raise

    async def finish(self, name: str) -> None:
        definition = self.crds.get(name)
        if definition is None or not definition["metadata"].get("deletionTimestamp"):
            return
        finalizers = definition["metadata"].get("finalizers") or []
        if _FINALIZER not in finalizers:
            return
        spec = definition["spec"]
        version = next(v["name"] for v in spec["versions"] if v.get("served"))
        names = spec["names"]
        resource = Resource(spec["group"], version, names["plural"], spec["scope"] == "Namespaced", names["kind"])
        if await self._delete_instances(resource):
            self.definitions.add_after(name, 1.0)
            return
        patch = {
            "metadata": {
                "resourceVersion": definition["metadata"]["resourceVersion"],
                "finalizers": [f for f in finalizers if f != _FINALIZER] or None,
            }
        }
        await self.client.patch(CUSTOM_RESOURCE_DEFINITIONS, name, patch, patch_type="merge")

    async def _delete_instances(self, resource: Resource) -> bool:
        """Ask for the deletion of every object of a kind; whether any is left."""
        try:
            items = (await self.client.list(resource)).get("items") or []
            for obj in items:
                if not obj["metadata"].get("deletionTimestamp"):
                    namespace, name = key_of(obj)
                    await self.client.delete(resource, name, namespace or None, uid=obj["metadata"]["uid"])
        except ApiError as exc:
            if exc.code == 404:  # not served any more
                return False
            raise
        return any(obj["metadata"].get("finalizers") for obj in items)


async def run(context: Context) -> None:
    """Expire Events and finish the deletion of definitions for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.events, controller.crds)
    async with asyncio.TaskGroup() as group:
        group.create_task(process(controller.old, controller.expire, _log))
        group.create_task(process(controller.definitions, controller.finish, _log))
