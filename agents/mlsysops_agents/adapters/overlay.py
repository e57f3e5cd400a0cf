"""Caches that also know what this agent has just written, before the watch brings it back.

Without it an agent that has just deployed a component sees it as not deployed for some milliseconds, and would decide the same
again. What was written is believed until the cache has caught up, and never for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from mlsysops_core.contracts import Object, Objects

__all__ = ["ReadYourWrites"]

#: A watch that has not caught up by then has more to tell than we know.
_BELIEVED_SECONDS = 10.0

_Key = tuple[str, str]


class ReadYourWrites:
    """`Objects` over other `Objects`.

    Args:
        objects: The caches and verbs.
        monotonic: Seconds that never go back.
    """

    def __init__(self, objects: Objects, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._monotonic = monotonic
        self._written: dict[_Key, tuple[float, Object]] = {}
        self._deleted: dict[_Key, tuple[float, str | None]] = {}

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object as it was cached or written last."""
        return self._newest((kind, name), self._objects.get(kind, name))

    def items(self, kind: str) -> Sequence[Object]:
        """Return all objects of a kind likewise."""
        concerned = {name for keys in (self._written, self._deleted) for of, name in keys if of == kind}
        items = self._objects.items(kind)
        if not concerned:
            return items
        found: list[Object] = []
        for cached in items:
            name = str(cached["metadata"]["name"])
            newest: Object | None = cached
            if name in concerned:
                concerned.discard(name)
                newest = self._newest((kind, name), cached)
            if newest is not None:
                found.append(newest)
        for name in sorted(concerned):
            newest = self._newest((kind, name), None)
            if newest is not None:
                found.append(newest)
        return found

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        """Server-side apply."""
        return self._wrote(str(obj["kind"]), await self._objects.apply(obj, field_manager=field_manager))

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        """Set annotations."""
        return self._wrote(kind, await self._objects.annotate(kind, name, annotations, field_manager=field_manager))

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        """Delete."""
        cached = self._objects.get(kind, name)
        done = await self._objects.delete(kind, name, uid=uid)
        self._written.pop((kind, name), None)
        if cached is not None:
            self._deleted[(kind, name)] = (self._monotonic(), cached["metadata"].get("uid"))
        return done

    async def event(
        self, regarding: Mapping[str, Any], *, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event."""
        await self._objects.event(regarding, kind=kind, reason=reason, message=message)

    def _wrote(self, kind: str, obj: Object) -> Object:
        key = (kind, str(obj["metadata"]["name"]))
        self._deleted.pop(key, None)
        self._written[key] = (self._monotonic(), obj)
        return obj

    def _newest(self, key: _Key, cached: Object | None) -> Object | None:
        now = self._monotonic()
        if key in self._deleted:
            at, uid = self._deleted[key]
            if now - at < _BELIEVED_SECONDS and cached is not None and cached["metadata"].get("uid") == uid:
                return None
            del self._deleted[key]
        if key in self._written:
            at, written = self._written[key]
            if now - at < _BELIEVED_SECONDS and (cached is None or _version(cached) < _version(written)):
                return written
            del self._written[key]
        return cached


def _version(obj: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number (comparable since KEP-5504; in practice always was)."""
    text = str(obj["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0
