"""Caches that also know what this agent has just written, before the watch brings it back.

Without it an agent that has just deployed a component sees it as not deployed for some milliseconds, and would decide the same
again. What was written is believed until the cache has caught up, and never for long.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mlsysops_core.contracts import Object

from .journal import Journal, JournaledObjects

__all__ = ["ReadYourWrites"]

#: A watch that has not caught up by then has more to tell than we know.
_BELIEVED_SECONDS = 10.0


@dataclass(slots=True)
class _Kind:
    """What was written of one kind and is not seen yet: when, and the object or the uid of the deleted one."""

    written: dict[str, tuple[float, Object]] = field(default_factory=dict)
    deleted: dict[str, tuple[float, str | None]] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)

    @property
    def unseen(self) -> set[str]:
        return self.written.keys() | self.deleted.keys()


class ReadYourWrites:
    """`Objects` over other `Objects`.

    Args:
        objects: The caches and verbs.
        monotonic: Seconds that never go back.
    """

    def __init__(self, objects: JournaledObjects, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._monotonic = monotonic
        self._kinds: defaultdict[str, _Kind] = defaultdict(_Kind)

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object as it was cached or written last."""
        return self._newest(kind, name, self._objects.get(kind, name))

    def items(self, kind: str) -> Sequence[Object]:
        """Return all objects of a kind likewise."""
        return self._over(kind, self._objects.items(kind), lambda _: True)

    def labelled(self, kind: str, label: str, value: str) -> Sequence[Object]:
        """Return the objects of a kind with a label likewise."""

        def has_it(obj: Object) -> bool:
            return (obj["metadata"].get("labels") or {}).get(label) == value

        return self._over(kind, self._objects.labelled(kind, label, value), has_it)

    def changes(self, kind: str, mark: tuple[int, int]) -> tuple[tuple[int, int], frozenset[str] | None]:
        """Return the mark for the next look, and what changed since this one; None where all is to be looked at.

        What was written and not seen yet is named every time: it may cease to be believed at any moment.
        """
        here = self._kinds[kind]
        unseen = here.unseen
        theirs, cached = self._objects.changes(kind, mark[0])
        ours, written = here.journal.since(mark[1])
        if cached is None or written is None:
            return (theirs, ours), None
        return (theirs, ours), cached | written | unseen

    def _over(self, kind: str, cached: Sequence[Object], wanted: Callable[[Object], bool]) -> Sequence[Object]:
        unseen = self._kinds[kind].unseen
        if not unseen:
            return cached
        found: list[Object] = []
        for obj in cached:
            name = str(obj["metadata"]["name"])
            newest: Object | None = obj
            if name in unseen:
                unseen.discard(name)
                newest = self._newest(kind, name, obj)
            if newest is not None and (newest is obj or wanted(newest)):
                found.append(newest)
        for name in sorted(unseen):
            newest = self._newest(kind, name, self._objects.get(kind, name))
            if newest is not None and wanted(newest):
                found.append(newest)
        return found

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        """Server-side apply."""
        return self._wrote(str(obj["kind"]), await self._objects.apply(obj, field_manager=field_manager))

    async def resize(self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str) -> Object:
        """Resize a pod."""
        return self._wrote("Pod", await self._objects.resize(pod, resources, field_manager=field_manager))

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        """Set annotations."""
        return self._wrote(kind, await self._objects.annotate(kind, name, annotations, field_manager=field_manager))

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        """Delete."""
        cached = self._objects.get(kind, name)
        done = await self._objects.delete(kind, name, uid=uid)
        here = self._kinds[kind]
        here.written.pop(name, None)
        if cached is not None:
            here.deleted[name] = (self._monotonic(), cached["metadata"].get("uid"))
        here.journal.note(name)
        return done

    async def event(
        self, regarding: Mapping[str, Any], *, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event."""
        await self._objects.event(regarding, kind=kind, reason=reason, message=message)

    def _wrote(self, kind: str, obj: Object) -> Object:
        name, here, now = str(obj["metadata"]["name"]), self._kinds[kind], self._monotonic()
        here.deleted.pop(name, None)
        here.written.pop(name, None)
        # The oldest come first. Of kinds that nobody reads, nothing else would make those go that are believed no longer.
        while here.written and now - next(iter(here.written.values()))[0] >= _BELIEVED_SECONDS:
            old = next(iter(here.written))
            del here.written[old]
            here.journal.note(old)
        here.written[name] = (now, obj)
        here.journal.note(name)
        return obj

    def _newest(self, kind: str, name: str, cached: Object | None) -> Object | None:
        here = self._kinds[kind]
        if name in here.deleted:
            at, uid = here.deleted[name]
            if (
                cached is not None
                and cached["metadata"].get("uid") == uid
                and self._monotonic() - at < _BELIEVED_SECONDS
            ):
                return None
            del here.deleted[name]
            here.journal.note(name)
        if name in here.written:
            at, written = here.written[name]
            if (cached is None or _version(cached) < _version(written)) and self._monotonic() - at < _BELIEVED_SECONDS:
                return written
            del here.written[name]
            here.journal.note(name)
        return cached


def _version(obj: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number (comparable since KEP-5504; in practice always was)."""
    text = str(obj["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0
