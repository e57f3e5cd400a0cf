"""Keeps a local copy of a resource up to date: list once, then watch, resuming where the stream broke."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import orjson

from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlsysops_embedded.client.protocol import Client, Object, Resource

    #: Called with (new, old); new is None for a deletion, old is None for an addition.
    Handler = Callable[[Object | None, Object | None], None]

__all__ = ["Informer", "InformerFactory", "key_of"]

_log = logging.getLogger(__name__)
_PAGE = 500


def _load(data: bytes) -> Object:
    obj: Object = orjson.loads(data)
    return obj


def _unpack(data: bytes | None) -> Object | None:
    return None if data is None else _load(data)


def key_of(obj: Object) -> tuple[str, str]:
    """``(namespace, name)``; the namespace of a cluster-scoped object is empty."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


class Informer:
    """A reflector with its store.

    Objects are kept as JSON text, a fifth of what they take as dictionaries, and read anew each time they are asked for.
    Those that handlers get are shared: copy before changing. Handlers run on the event loop and must not block.

    Args:
        client: API to follow.
        resource: What to follow.
        namespace: One namespace, or None for all.
        label_selector: As in a list request.
        field_selector: As in a list request.
        transform: Shrinks each object before it is stored (metadata only, say).
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Callable[[Object], Object] | None = None,
    ) -> None:
        self.client = client
        self.resource = resource
        self.namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._store: dict[tuple[str, str], bytes] = {}
        self._handlers: list[Handler] = []
        self._index_functions: dict[str, Callable[[Object], Iterable[str]]] = {}
        self._indices: dict[str, dict[str, set[tuple[str, str]]]] = {}
        self._synced = asyncio.Event()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self.resource_version = ""

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        """The stored object, or None."""
        return _unpack(self._store.get((namespace or "", name)))

    def items(self, namespace: str | None = None) -> list[Object]:
        """All stored objects (of a namespace)."""
        if namespace is None:
            return [_load(data) for data in self._store.values()]
        return [_load(data) for (ns, _), data in self._store.items() if ns == namespace]

    def add_index(self, name: str, function: Callable[[Object], Iterable[str]]) -> None:
        """Index objects by the strings that the function gives for each; idempotent by name."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        self._indices[name] = defaultdict(set)
        for key, data in self._store.items():
            for value in function(_load(data)):
                self._indices[name][value].add(key)

    def by_index(self, name: str, value: str) -> list[Object]:
        """Objects whose index of that name has the value."""
        return [_load(self._store[key]) for key in self._indices[name].get(value, ())]

    def add_handler(self, handler: Handler) -> None:
        """Call the handler for each change from now on, and for each object already stored."""
        self._handlers.append(handler)
        for data in list(self._store.values()):
            self._call(handler, _load(data), None)

    @property
    def synced(self) -> bool:
        """Whether the first list is in the store."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until the first list is in the store."""
        await self._synced.wait()

    async def caught_up(self, *written: Object, timeout: float = 30.0) -> None:
        """Wait until the store holds these objects as written, or newer.

        A reconciler that calls it after its writes never acts on a store that lacks them. Resource versions are compared
        as numbers, which Kubernetes' API servers allow since 1.35 and etcd's always did.

        Raises:
            TimeoutError: The watch is that far behind.
        """
        wanted = max((int(obj["metadata"].get("resourceVersion") or 0) for obj in written), default=0)
        if not wanted or (self.resource_version and int(self.resource_version) >= wanted):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (wanted, id(waiter), waiter))
        async with asyncio.timeout(timeout):
            await waiter

    def _wake(self) -> None:
        version = int(self.resource_version)
        while self._waiters and self._waiters[0][0] <= version:
            waiter = heapq.heappop(self._waiters)[2]
            if not waiter.done():
                waiter.set_result(None)

    def _call(self, handler: Handler, new: Object | None, old: Object | None) -> None:
        try:
            handler(new, old)
        except Exception:  # noqa: BLE001 - one subscriber's fault must not stop the stream for the others
            _log.exception("handler of %s failed", self.resource.plural)

    def _replace(self, key: tuple[str, str], new: Object | None) -> None:
        old = _unpack(self._store.pop(key, None))
        if new is not None:
            # orjson leaves up to 8 KiB unused behind what it gives: a copy holds what it needs.
            self._store[key] = bytes(memoryview(orjson.dumps(new)))
        for name, function in self._index_functions.items():
            index = self._indices[name]
            for value in function(old) if old is not None else ():
                index[value].discard(key)
                if not index[value]:
                    del index[value]
            for value in function(new) if new is not None else ():
                index[value].add(key)
        if new is not None or old is not None:
            for handler in self._handlers:
                self._call(handler, new, old)

    def _shrink(self, obj: Object) -> Object:
        return self._transform(obj) if self._transform else obj

    async def _list(self) -> None:
        seen: set[tuple[str, str]] = set()
        token = ""
        while True:
            page = await self.client.list(
                self.resource,
                self.namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=_PAGE,
                continue_token=token,
            )
            for obj in page.get("items") or []:
                key = key_of(obj)
                seen.add(key)
                known = _unpack(self._store.get(key))
                if known is None or known["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                    # Items of a list carry no type; those of a watch do.
                    typed = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **obj}
                    self._replace(key, self._shrink(typed))
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        for key in [key for key in self._store if key not in seen]:
            self._replace(key, None)
        self.resource_version = page["metadata"]["resourceVersion"]
        self._synced.set()
        self._wake()

    async def _watch(self) -> bool:
        """Follow until the stream ends; True where anything came."""
        alive = False
        async for event in self.client.watch(
            self.resource,
            self.namespace,
            resource_version=self.resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        ):
            alive = True
            obj = event["object"]
            self.resource_version = obj["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._replace(key_of(obj), None if event["type"] == "DELETED" else self._shrink(obj))
            self._wake()
        return alive

    async def run(self) -> None:
        """Follow for ever; an API that is away is tried again with back-off, and nothing is forgotten meanwhile."""
        failures = 0
        while True:
            try:
                if not self.resource_version:
                    await self._list()
                    failures = 0
                failures = 0 if await self._watch() else failures + 1
            except ApiError as exc:
                if exc.code == 410:
                    self.resource_version = ""
                    failures += 1
                    _log.info("%s: resourceVersion is too old, listing again", self.resource.plural)
                else:
                    failures += 1
                    level = _log.warning if failures in (1, 10) else _log.debug
                    level("%s: %s; trying again", self.resource.plural, exc)
            if failures:
                await asyncio.sleep(backoff(failures, base=0.1, ceiling=15.0))


class InformerFactory:
    """Shares informers between the rooms of a process, and runs each once.

    Args:
        client: API that all of them follow.
        group: Task group in which informers run.
    """

    def __init__(self, client: Client, group: asyncio.TaskGroup) -> None:
        self.client = client
        self._group = group
        self._informers: dict[tuple[Resource, str | None], Informer] = {}
        self._tasks: dict[tuple[Resource, str | None], asyncio.Task[None]] = {}

    def informer(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        transform: Callable[[Object], Object] | None = None,
    ) -> Informer:
        """The shared informer of a resource, running; the transform of whoever asks first holds."""
        key = (resource, namespace)
        if key not in self._informers:
            informer = self._informers[key] = Informer(self.client, resource, namespace, transform=transform)
            self._tasks[key] = self._group.create_task(informer.run(), name=f"informer-{resource.plural}")
        return self._informers[key]

    def stop(self, resource: Resource, namespace: str | None = None) -> None:
        """Stop following a resource (its definition is gone) and drop its store."""
        self._informers.pop((resource, namespace), None)
        if task := self._tasks.pop((resource, namespace), None):
            task.cancel()

    @staticmethod
    async def synced(*informers: Informer) -> None:
        """Wait until each of these informers has its first list."""
        await asyncio.gather(*(informer.wait_synced() for informer in informers))
