"""Present state and recent history of all objects in memory, as JSON bytes, with watches and consistent lists."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.store.log import LogError, Revision, RevisionLog

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Bucket", "Change", "Entry", "Key", "Store"]

Key = tuple[str, str]

#: History kept for watches and continued lists: events, and bytes of superseded versions.
_HISTORY_EVENTS: Final = 20_000
_HISTORY_BYTES: Final = 16 * 1024 * 1024
_COMPACT_EVERY: Final = 200
#: Newest changes that keep their parsed and encoded forms, which the watchers share.
_WARM: Final = 64
#: So many watchers are woken with each change; more wait a moment in which changes gather.
_FEW_WATCHERS: Final = 8
_MOMENT_SECONDS: Final = 0.02
_MOMENT_PER_WATCHER: Final = 0.0002


class Entry:
    """One version of one object."""

    __slots__ = ("data", "key", "rv")

    def __init__(self, key: Key, rv: int, data: bytes) -> None:
        self.key = key
        self.rv = rv
        self.data = data

    def parse(self) -> dict[str, Any]:
        """A fresh dictionary of the object."""
        return orjson.loads(self.data)  # type: ignore[no-any-return]


class Change:
    """One event of a bucket: what the object is now and what it was before."""

    __slots__ = ("_facts", "deleted", "entry", "lines", "previous")

    def __init__(self, entry: Entry, previous: Entry | None, deleted: bool) -> None:
        self.entry = entry
        self.previous = previous
        self.deleted = deleted
        self.lines: dict[Any, bytes] | None = None
        self._facts: tuple[dict[str, Any], dict[str, Any] | None] | None = None

    def facts(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The parsed object now and before (shared: do not change)."""
        if self._facts is None:
            self._facts = (self.entry.parse(), self.previous.parse() if self.previous else None)
        return self._facts

    def forget(self) -> None:
        """Drops cached forms once the watchers have had their turn."""
        self.lines = None
        self._facts = None

    @property
    def cost(self) -> int:
        """Bytes that only the history keeps alive."""
        size = len(self.previous.data) if self.previous else 0
        return size + (len(self.entry.data) if self.deleted else 0) + 200


class Bucket:
    """All objects of one resource."""

    __slots__ = ("_late", "_sorted", "base", "changes", "compacted", "epoch", "name", "objects", "waiters")

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[Key, Entry] = {}
        self.changes: list[Change] = []
        self.base = 0  # absolute position of changes[0]
        self.compacted = 0
        self.epoch = 0  # watches end where it changes
        self.waiters: dict[str, set[asyncio.Event]] = {}
        self._sorted: list[Key] | None = None
        self._late: set[asyncio.Event] | None = None

    def keys(self, namespace: str = "") -> list[Key]:
        """Keys in order, of one namespace or of all."""
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        if not namespace:
            return self._sorted
        low = bisect_left(self._sorted, (namespace, ""))
        high = bisect_left(self._sorted, (namespace + "\0", ""))
        return self._sorted[low:high]

    def at(self, rv: int) -> dict[Key, Entry]:
        """State as of a revision, by undoing the changes since.

        Raises:
            ApiError: 410 where the history does not reach back.
        """
        if rv < self.compacted:
            raise ApiError.gone(f"The provided resource version is too old: {rv} (compacted at {self.compacted})")
        later = self.since(rv)
        if later == self.base + len(self.changes):
            return self.objects
        state = dict(self.objects)
        for change in reversed(self.changes[later - self.base :]):
            if change.previous is None:
                state.pop(change.entry.key, None)
            else:
                state[change.entry.key] = change.previous
        return state

    def since(self, rv: int) -> int:
        """Absolute position of the first change after a revision."""
        return self.base + bisect_right(self.changes, rv, key=lambda change: change.entry.rv)

    def apply(self, change: Change) -> None:
        """Makes a committed change visible and wakes the watchers it may concern."""
        key = change.entry.key
        if change.deleted:
            self.objects.pop(key, None)
            self._sorted = None
        else:
            if key not in self.objects:
                self._sorted = None
            self.objects[key] = change.entry
        self.changes.append(change)

    def wake(self, change: Change) -> None:
        """Wakes the watchers that a change may concern."""
        waiters = self.waiters
        if waiters:
            self._wake(waiters.get("", ()))
            self._wake(waiters.get(f"ns:{change.entry.key[0]}", ()))
            if any(topic.startswith("node:") for topic in waiters):
                now, before = change.facts()
                nodes = {(obj or {}).get("spec", {}).get("nodeName", "") for obj in (now, before)}
                for node in nodes:
                    for event in waiters.get(f"node:{node}", ()):
                        event.set()

    def _wake(self, events: Collection[asyncio.Event]) -> None:
        """Wakes watchers: a few at once, many after a moment, so that one wake-up serves several changes."""
        if len(events) <= _FEW_WATCHERS:
            for event in events:
                event.set()
        elif self._late is not None:
            self._late.update(events)
        else:
            self._late = set(events)
            delay = min(_MOMENT_SECONDS, len(events) * _MOMENT_PER_WATCHER)
            asyncio.get_running_loop().call_later(delay, self._wake_late)

    def _wake_late(self) -> None:
        late, self._late = self._late or (), None
        for event in late:
            event.set()

    def trim(self, count: int, compacted: int) -> None:
        """Forgets the oldest changes."""
        if count:
            del self.changes[:count]
            self.base += count
        self.compacted = max(self.compacted, compacted)


class Store:
    """The objects of one control plane.

    Args:
        path: SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.log = RevisionLog(path)
        self.buckets: dict[str, Bucket] = {}
        self.rv = 0  # newest applied revision
        self._next = 0  # newest allocated revision
        self._history: deque[tuple[Bucket, Change]] = deque()
        self._history_bytes = 0
        self._dropped: dict[str, int] = {}
        self._dead: list[int] = []
        self._compacted = 0
        self._locks: dict[tuple[str, Key], tuple[asyncio.Lock, list[int]]] = {}
        try:
            self._load()
        except BaseException:
            self.log.close()
            raise

    def _load(self) -> None:
        self._compacted, revisions = self.log.load()
        self.rv = self._compacted
        for revision in revisions:
            bucket = self.bucket(revision.bucket)
            key = (revision.namespace, revision.name)
            previous = bucket.objects.get(key)
            entry = Entry(key, revision.rv, revision.value)
            if revision.rv <= self._compacted and not revision.deleted:
                bucket.objects[key] = entry
            else:
                self._record(bucket, Change(entry, previous, revision.deleted))
            self.rv = max(self.rv, revision.rv)
        self._next = self.rv
        for bucket in self.buckets.values():
            bucket.compacted = max(bucket.compacted, self._compacted)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts accepting writes."""
        self.log.start(loop)

    def close(self) -> None:
        """Flushes and closes."""
        self.log.close()

    def bucket(self, name: str) -> Bucket:
        """The bucket of a resource, made on first use."""
        found = self.buckets.get(name)
        if found is None:
            found = self.buckets[name] = Bucket(name)
            found.compacted = self._compacted
        return found

    def get(self, bucket: str, key: Key) -> Entry | None:
        """Present version of an object."""
        return self.bucket(bucket).objects.get(key)

    def read(self, bucket: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Present version of an object, parsed."""
        entry = self.get(bucket, (namespace, name))
        return entry.parse() if entry else None

    @asynccontextmanager
    async def lock(self, bucket: str, key: Key) -> AsyncIterator[Entry | None]:
        """Serialises writers of one object, so that read-modify-write needs no retry; gives the present version."""
        handle = (bucket, key)
        held, users = self._locks.setdefault(handle, (asyncio.Lock(), [0]))
        users[0] += 1
        try:
            async with held:
                yield self.get(bucket, key)
        finally:
            users[0] -= 1
            if not users[0]:
                self._locks.pop(handle, None)

    async def put(self, bucket: str, key: Key, encode: Callable[[int], bytes], *, deleted: bool = False) -> Entry:
        """Writes a version (or, `deleted`, the last one) and waits until it is on disk and visible.

        Args:
            bucket: Resource.
            key: Namespace and name.
            encode: Gives the object's bytes for its revision.
            deleted: The object ends with this version.

        Raises:
            ApiError: 500 where the disk does not take it.
        """
        rv = self._next + 1
        # orjson leaves up to 8 KiB unused behind what it gives: a copy holds what it needs.
        data = bytes(memoryview(encode(rv)))
        self._next = rv
        entry = Entry(key, rv, data)
        target = self.bucket(bucket)

        def apply() -> None:
            self.rv = rv
            change = Change(entry, target.objects.get(key), deleted)
            self._record(target, change)
            target.wake(change)

        written = self.log.append(Revision(rv, bucket, key[0], key[1], deleted, data), apply)
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            # Who waits may go away, but the key stays locked while its write is on the way to the disk.
            await asyncio.wait([written])
            raise
        except LogError as exc:
            raise ApiError.internal(str(exc)) from exc
        return entry

    def _record(self, bucket: Bucket, change: Change) -> None:
        bucket.apply(change)
        self._history.append((bucket, change))
        if len(self._history) > _WARM:
            self._history[-_WARM][1].forget()
        self._history_bytes += change.cost
        while self._history_bytes > _HISTORY_BYTES or len(self._history) > _HISTORY_EVENTS:
            self._drop_oldest()
        if len(self._dropped) and sum(self._dropped.values()) >= _COMPACT_EVERY:
            self._flush_compaction()

    def _drop_oldest(self) -> None:
        bucket, change = self._history.popleft()
        self._history_bytes -= change.cost
        self._dropped[bucket.name] = self._dropped.get(bucket.name, 0) + 1
        self._compacted = change.entry.rv
        if change.previous is not None:
            self._dead.append(change.previous.rv)
        if change.deleted:
            self._dead.append(change.entry.rv)

    def _flush_compaction(self) -> None:
        for name, count in self._dropped.items():
            self.buckets[name].trim(count, self._compacted)
        self.log.compact(self._compacted, self._dead)
        self._dropped = {}
        self._dead = []
