"""Records Events, counting repeats in one object as client-go's correlator does."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import now
from mlsysops_embedded.client.resources import EVENTS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client.protocol import Client, Object

__all__ = ["EventRecorder"]

_log = logging.getLogger(__name__)
_REMEMBERED = 4096
_QUEUED = 1000
#: Events a second in the long run, and at once: the kubelet's eventRecordQPS, with room for a rollout.
_RATE, _BURST = 25.0, 500.0


class EventRecorder:
    """Events are best effort: dropped where the API is away, or where they come in floods.

    Args:
        client: API to write to.
        component: The reporting component, e.g. ``default-scheduler``.
        host: Node name, for kubelets.
    """

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._seen: OrderedDict[tuple[str, ...], Object] = OrderedDict()
        self._allowance, self._filled = _BURST, time.monotonic()
        self._queue: asyncio.Queue[tuple[tuple[str, ...], Object]] = asyncio.Queue(_QUEUED)

    def event(self, obj: Object, kind: str, reason: str, message: str) -> None:
        """Queue an event about an object (with apiVersion and kind); kind is ``Normal`` or ``Warning``."""
        metadata = obj["metadata"]
        at = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (at - self._filled) * _RATE)
        self._filled = at
        if self._allowance < 1 or self._queue.full():
            _log.debug("too many events, dropping %s of %s", reason, metadata["name"])
            return
        self._allowance -= 1
        namespace = metadata.get("namespace") or "default"
        reference = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if metadata.get("namespace"):
            reference["namespace"] = namespace
        key = (reference["uid"] or metadata["name"], kind, reason, message)
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name'][:200]}.{random.getrandbits(64):016x}", "namespace": namespace},
            "involvedObject": reference,
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }
        self._queue.put_nowait((key, event))

    async def run(self) -> None:
        """Write queued events for ever."""
        while True:
            key, event = await self._queue.get()
            try:
                await self._write(key, event)
            except ApiError as exc:
                _log.debug("event %s dropped: %s", event["reason"], exc)

    async def _write(self, key: tuple[str, ...], event: Object) -> None:
        namespace = event["metadata"]["namespace"]
        if known := self._seen.get(key):
            count = known["count"] + 1
            try:
                patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
                await self._client.patch(EVENTS, known["metadata"]["name"], patch, namespace, patch_type="merge")
            except ApiError as exc:
                if exc.code != 404:  # expired meanwhile: write it anew below
                    raise
            else:
                known["count"] = count
                self._seen.move_to_end(key)
                return
        await self._client.create(EVENTS, event, namespace)
        self._seen[key] = event
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
