"""Kubernetes Events about objects, equal ones counted up instead of written again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlsysops_core.errors import MlsError, NotFound

from .resources import EVENTS, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["EventRecorder", "EventWriter"]

_log = logging.getLogger(__name__)

#: Equal events this close together are one event with a count (client-go's correlator: 10 minutes).
_AGGREGATION_SECONDS = 600.0
#: How many different events are remembered (client-go: 4096; an agent looks after far fewer objects).
_REMEMBERED = 512
#: A burst, then one event in this many seconds for each object (client-go's spam filter: 25, 1 every 5 minutes).
_BURST = 25
_REFILL_SECONDS = 300.0
_MESSAGE_CHARACTERS = 1024


class EventWriter(Protocol):
    """The part of a client that a recorder needs."""

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, field_manager: str = ""
    ) -> dict[str, Any]:
        """Create an object."""
        ...

    async def patch(self, resource: Resource, name: str, patch: Any, namespace: str | None = None) -> dict[str, Any]:
        """Merge-patch an object."""
        ...


@dataclass(slots=True)
class _Recorded:
    name: str
    count: int
    last: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """Writes Events (core/v1, "Event" in the Kubernetes API reference).

    Args:
        client: Where Events are written.
        component: ``reportingComponent``, e.g. ``mlsysops-cluster-agent``.
        instance: ``reportingInstance``, e.g. the agent's name.
        namespace: For events on objects without namespace.
        now: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        client: EventWriter,
        *,
        component: str,
        instance: str,
        namespace: str = "default",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._namespace = namespace
        self._now = now
        self._recorded: OrderedDict[str, _Recorded] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def record(
        self,
        regarding: Mapping[str, Any],
        *,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
    ) -> None:
        """Record an event on an object; a failure is logged, never raised: events are best effort.

        Args:
            regarding: The object, with apiVersion, kind and metadata.
            kind: ``Normal`` or ``Warning`` (the Event's ``type``).
            reason: CamelCase word for machines.
            message: For people; cut at 1024 characters as the API demands.
        """
        reference = _reference(regarding)
        message = message[:_MESSAGE_CHARACTERS]
        identity = "\0".join((*reference.values(), kind, reason, message))
        try:
            if not await self._count_up(identity, reference):
                if not self._allowed("\0".join(reference.values())):
                    _log.debug("event %s on %s suppressed: too many", reason, reference["name"])
                    return
                await self._create(identity, reference, kind, reason, message)
        except MlsError as exc:
            _log.warning("event %s on %s %s not recorded: %s", reason, reference["kind"], reference["name"], exc)

    async def _count_up(self, identity: str, reference: Mapping[str, str]) -> bool:
        recorded = self._recorded.get(identity)
        now = self._now()
        if recorded is None or now - recorded.last > _AGGREGATION_SECONDS:
            return False
        recorded.count += 1
        recorded.last = now
        patch = {"count": recorded.count, "lastTimestamp": _timestamp(now)}
        try:
            await self._client.patch(EVENTS, recorded.name, patch, reference.get("namespace") or self._namespace)
        except NotFound:  # Events expire on the server
            del self._recorded[identity]
            return False
        return True

    async def _create(self, identity: str, reference: Mapping[str, str], kind: str, reason: str, message: str) -> None:
        now = self._now()
        namespace = reference.get("namespace") or self._namespace
        # client-go's form `<object>.<number>`, with a number that two agents cannot both come upon.
        seed = f"{identity}\0{self._instance}\0{now!r}".encode()
        name = f"{reference['name'][:200]}.{hashlib.sha256(seed).hexdigest()[:16]}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": dict(reference),
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": _timestamp(now),
            "lastTimestamp": _timestamp(now),
            "source": {"component": self._component, "host": self._instance},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
        await self._client.create(EVENTS, event, namespace)
        self._recorded[identity] = _Recorded(name, 1, now)
        self._recorded.move_to_end(identity)
        while len(self._recorded) > _REMEMBERED:
            self._recorded.popitem(last=False)

    def _allowed(self, subject: str) -> bool:
        now = self._now()
        bucket = self._buckets.setdefault(subject, _Bucket(float(_BURST), now))
        self._buckets.move_to_end(subject)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        bucket.tokens = min(float(_BURST), bucket.tokens + max(0.0, now - bucket.at) / _REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True


def _reference(obj: Mapping[str, Any]) -> dict[str, str]:
    metadata = obj["metadata"]
    found = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
    }
    return {key: str(value) for key, value in found.items() if value}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
