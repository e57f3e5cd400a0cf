"""Reading: get, list with consistent pages, and watch.

Source of the resourceVersion semantics: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.query import Filter, Query, decode_token, encode_token, parse_rv
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery import convert
from mlsysops_embedded.machinery.resources import Catalog, ResourceInfo
from mlsysops_embedded.store import Bucket, Change, Entry, Store
from mlsysops_embedded.validation import schema

__all__ = ["Page", "Reader", "WatchEvent"]

Obj = dict[str, Any]
_YIELD_EVERY: Final = 500
_TOO_OLD_TO_CONTINUE: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_BOOKMARK_SECONDS: Final = 30.0
_LAST_BOOKMARK_SECONDS: Final = 2.0
_WAIT_FOR_VERSION_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: objects as bytes in the asked-for version."""

    rv: int
    items: list[bytes]
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event; `change` is there where the line may be shared between watchers."""

    type: str
    data: bytes
    change: Change | None = field(default=None)


class Reader:
    """What clients read."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self.store = store
        self.catalog = catalog
        self.closing = asyncio.Event()

    @staticmethod
    def render(entry: Entry, info: ResourceInfo) -> bytes:
        """An entry's bytes in the version of `info`."""
        data = convert.from_stored(info, entry.data)
        if info.defaults:  # what the schema defaults now may have been stored before it did
            obj = orjson.loads(data)
            schema.default(obj, info.schema)
            data = orjson.dumps(obj)
        return data

    def get(self, info: ResourceInfo, namespace: str, name: str) -> bytes:
        """One object.

        Raises:
            ApiError: 404.
        """
        entry = self.store.get(info.bucket, (namespace if info.namespaced else "", name))
        if entry is None:
            raise ApiError.not_found(info.plural, name, info.group)
        return self.render(entry, info)

    def present(self, info: ResourceInfo, namespace: str, name: str) -> bool:
        """Whether there is such an object."""
        return self.store.get(info.bucket, (namespace if info.namespaced else "", name)) is not None

    def read(self, bucket: str, namespace: str, name: str) -> Obj | None:
        """One object in stored form, for the server's own use."""
        return self.store.read(bucket, namespace, name)

    async def page(self, info: ResourceInfo, namespace: str, query: Query) -> Page:
        """A list, or a page of it.

        Raises:
            ApiError: 400, 410 where the page's snapshot is gone, 504 where the version is in the future.
        """
        wanted = Filter(info, namespace, query)
        bucket = self.store.bucket(info.bucket)
        start: tuple[str, str] | None = None
        rv = parse_rv(query.resource_version)
        if query.match and not query.resource_version:
            raise ApiError.option(
                "ListOptions",
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            )
        if query.match not in ("", "Exact", "NotOlderThan"):
            raise ApiError.option(
                "ListOptions",
                "resourceVersionMatch",
                f'Unsupported value: "{query.match}": supported values: "Exact", "NotOlderThan"',
            )
        if query.initial_events is not None:
            raise ApiError.option(
                "ListOptions", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"
            )
        if query.continue_token:
            if query.resource_version not in ("", "0"):
                raise ApiError.bad_request("specifying resource version is not allowed when using continue")
            rv, start = decode_token(query.continue_token)
            if rv < 0:
                rv = self.store.rv
            if namespace and start[0] != namespace:
                raise ApiError.bad_request("continue key is not valid: it is of another namespace")
            await self.reach(rv)
        elif query.match == "Exact":
            if not rv:
                raise ApiError.option(
                    "ListOptions",
                    "resourceVersionMatch",
                    'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
                )
            await self.reach(rv)
        else:
            await self.reach(rv)
            rv = self.store.rv
        try:
            objects = bucket.at(rv)
        except ApiError as exc:
            if start is not None:
                # The rest of the list can still be had, though of the present (etcd3 store: inconsistent continue).
                exc.status["message"] = _TOO_OLD_TO_CONTINUE
                exc.status["metadata"]["continue"] = encode_token(-1, start)
            raise
        current = objects is bucket.objects
        if wanted.name is not None and wanted.namespace:
            keys = [(wanted.namespace, wanted.name)] if (wanted.namespace, wanted.name) in objects else []
        elif current:
            keys = bucket.keys(wanted.namespace)
        else:
            keys = sorted(k for k in objects if not wanted.namespace or k[0] == wanted.namespace)
        if start is not None:
            keys = [key for key in keys if key > start]
        return await self._cut(info, wanted, [objects[key] for key in keys], rv, query.limit)

    async def _cut(self, info: ResourceInfo, wanted: Filter, entries: list[Entry], rv: int, limit: int) -> Page:
        items: list[bytes] = []
        same = info.stored == info.api_version and not info.defaults
        plain = wanted.plain and wanted.name is None
        for index, entry in enumerate(entries):
            if limit and len(items) == limit:
                last = entries[index - 1].key
                return Page(rv, items, encode_token(rv, last), len(entries) - index if plain else None)
            if plain or (wanted.key(entry.key) and (wanted.plain or wanted.obj(entry.parse()))):
                items.append(entry.data if same else self.render(entry, info))
            if not plain and index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
        return Page(rv, items)

    async def reach(self, rv: int) -> None:
        """Waits a little until a revision is reached.

        Raises:
            ApiError: 504 where it is not.
        """
        deadline = time.monotonic() + _WAIT_FOR_VERSION_SECONDS
        while self.store.rv < rv:
            if time.monotonic() >= deadline:
                raise ApiError.of(
                    504,
                    "Timeout",
                    f"Timeout: Too large resource version: {rv}, current: {self.store.rv}",
                    {
                        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                        "retryAfterSeconds": 1,
                    },
                )
            await asyncio.sleep(0.05)

    async def watch(self, info: ResourceInfo, namespace: str, query: Query) -> AsyncGenerator[list[WatchEvent], None]:
        """Follows changes, several at a time where they are ready; ends at the timeout or at shutdown.

        Raises:
            ApiError: 400; 410 where the history asked for is compacted, also in the midst.
        """
        wanted = Filter(info, namespace, query)
        bucket = self.store.bucket(info.bucket)
        rv = parse_rv(query.resource_version)
        if query.initial_events and query.match != "NotOlderThan":
            raise ApiError.option(
                "ListOptions",
                "resourceVersionMatch",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        if query.initial_events is not None and not query.initial_events and query.match not in ("", "NotOlderThan"):
            raise ApiError.option(
                "ListOptions",
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        initial = query.initial_events if query.initial_events is not None else rv == 0
        if initial:
            await self.reach(rv)
            rv = self.store.rv
            entries = [e for key, e in sorted(bucket.objects.items()) if wanted.key(key)]
            position = bucket.since(rv)
        else:
            entries = []
            if rv == 0:
                rv = self.store.rv
            if rv < bucket.compacted:
                raise ApiError.gone(f"too old resource version: {rv} ({bucket.compacted})")
            position = bucket.since(rv)
        return self._follow(info, wanted, bucket, entries, position, query, rv)

    async def _follow(
        self,
        info: ResourceInfo,
        wanted: Filter,
        bucket: Bucket,
        entries: list[Entry],
        position: int,
        query: Query,
        rv: int,
    ) -> AsyncGenerator[list[WatchEvent], None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + query.timeout if query.timeout else None
        future = self.store.rv < rv  # then changes come first that the client has no use for
        awake = asyncio.Event()
        epoch = bucket.epoch
        topic = wanted.topic
        bucket.waiters.setdefault(topic, set()).add(awake)
        try:
            for index in range(0, len(entries), _YIELD_EVERY):
                chunk = entries[index : index + _YIELD_EVERY]
                yield [
                    WatchEvent("ADDED", self.render(e, info)) for e in chunk if wanted.plain or wanted.obj(e.parse())
                ]
            if query.initial_events and query.bookmarks:
                yield [_bookmark(info, rv, initial=True)]
            # A last bookmark comes shortly before the end, so that the next watch repeats nothing (cacher.go).
            due = loop.time() + _BOOKMARK_SECONDS
            if deadline is not None:
                due = min(due, max(deadline - _LAST_BOOKMARK_SECONDS, loop.time()))
            while not self.closing.is_set():
                awake.clear()
                if position < bucket.base:
                    raise ApiError.gone("too old resource version: the watcher is too slow")
                fresh = bucket.changes[position - bucket.base : position - bucket.base + _YIELD_EVERY]
                if fresh:
                    position += len(fresh)
                    if future:
                        fresh = [change for change in fresh if change.entry.rv > rv]
                    if events := [
                        event for change in fresh if (event := self._event(info, wanted, change)) is not None
                    ]:
                        yield events
                    continue
                if bucket.epoch != epoch:
                    return
                timeout = due - loop.time()
                if deadline is not None:
                    timeout = min(timeout, deadline - loop.time())
                if timeout > 0:
                    timer = loop.call_later(timeout, awake.set)
                    try:
                        await awake.wait()
                    finally:
                        timer.cancel()
                if deadline is not None and loop.time() >= deadline:
                    return
                # Changes elsewhere in the bucket wake nobody here: they are passed over first.
                if loop.time() >= due and position == bucket.base + len(bucket.changes):
                    due = loop.time() + _BOOKMARK_SECONDS
                    if deadline is not None and due > deadline:
                        last = deadline - _LAST_BOOKMARK_SECONDS
                        due = last if last > loop.time() else deadline + _BOOKMARK_SECONDS
                    if query.bookmarks:
                        yield [_bookmark(info, self.store.rv)]
        finally:
            waiters = bucket.waiters.get(topic, set())
            waiters.discard(awake)
            if not waiters:
                bucket.waiters.pop(topic, None)

    def _event(self, info: ResourceInfo, wanted: Filter, change: Change) -> WatchEvent | None:
        if not wanted.key(change.entry.key):
            return None
        if wanted.plain:
            was, now = change.previous is not None, not change.deleted
        else:
            after, before = change.facts()
            was, now = wanted.obj(before), not change.deleted and wanted.obj(after)
        if now:
            return WatchEvent("MODIFIED" if was else "ADDED", self.render(change.entry, info), change)
        if not was:
            return None
        if change.deleted:
            return WatchEvent("DELETED", self.render(change.entry, info), change)
        # It left the selection: the watcher sees it as it last matched, at the revision that ended the match.
        obj = (change.previous or change.entry).parse()
        obj["metadata"]["resourceVersion"] = str(change.entry.rv)
        return WatchEvent("DELETED", self.render(Entry(change.entry.key, change.entry.rv, orjson.dumps(obj)), info))

    def stop(self) -> None:
        """Ends all watches."""
        self.closing.set()
        for bucket in self.store.buckets.values():
            _wake(bucket)

    def end_watches(self, bucket_name: str) -> None:
        """Ends the watches of one bucket, after what they have not seen yet: what it holds means something else now."""
        bucket = self.store.bucket(bucket_name)
        bucket.epoch += 1
        _wake(bucket)


def _wake(bucket: Bucket) -> None:
    for waiters in bucket.waiters.values():
        for event in waiters:
            event.set()


def _bookmark(info: ResourceInfo, rv: int, *, initial: bool = False) -> WatchEvent:
    metadata: Obj = {"resourceVersion": str(rv)}
    if info.bucket != "events":
        metadata["creationTimestamp"] = None
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return WatchEvent(
        "BOOKMARK", orjson.dumps({"apiVersion": info.api_version, "kind": info.kind, "metadata": metadata})
    )
