"""List once, watch for ever: a local, indexed copy of one resource that survives outages (client-go's reflector).

Follows client-go's `tools/cache`: list with paging, watch from the list's resourceVersion with bookmarks, resume from
the last version seen after a disconnect, list again on 410 Gone and report the difference, back off with jitter.
An outage never empties the copy: what was known stays known until a new list says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from mlsysops_core.errors import MlsError, Refused

from mlsysops_agents.adapters.journal import Journal

from .errors import Expired, Throttled

if TYPE_CHECKING:
    from .resources import Resource

__all__ = ["Backoff", "Change", "ChangeKind", "Informer", "Lister", "object_key"]

_log = logging.getLogger(__name__)

Object = dict[str, Any]
#: Maps an object to the index values under which it is found.
Indexer = Callable[[Object], Iterable[str]]

_PAGE = 500
#: A watch that ends sooner than this was refused in some polite way: wait before the next (client-go: 1 s).
_SHORT_WATCH_SECONDS = 1.0


class ChangeKind(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the local copy.

    Attributes:
        kind: What happened.
        key: ``namespace/name`` (``name`` for objects without namespace).
        new: The object now; its last known state for DELETED.
        old: The object before; None for ADDED.
    """

    kind: ChangeKind
    key: str
    new: Object
    old: Object | None


class Lister(Protocol):
    """The part of a client that an informer needs."""

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Object:
        """One page of a collection."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Object]:
        """Events from a resourceVersion on."""
        ...


class Backoff:
    """Waiting times that double from ``initial`` to ``maximum`` seconds, each drawn between half and the whole of it."""

    def __init__(self, initial: float = 0.5, maximum: float = 30.0, *, jitter: random.Random | None = None) -> None:
        self._initial = initial
        self._maximum = maximum
        self._next = initial
        self._random = jitter or random.Random()  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Start again from ``initial``: it went well."""
        self._next = self._initial

    def delay(self, error: MlsError | None = None) -> float:
        """Seconds to wait now; the next answer is longer.

        Args:
            error: What went wrong: a server that is busy may say itself when to come again (HTTP 429, Retry-After), which
                counts up to ``maximum``, and a little more so that not all come at once.
        """
        ceiling = self._next
        self._next = min(self._next * 2, self._maximum)
        asked = min(error.retry_after, self._maximum) if isinstance(error, Throttled) else 0.0
        return max(ceiling * self._random.uniform(0.5, 1.0), asked * self._random.uniform(1.0, 1.5))


def object_key(obj: Mapping[str, Any]) -> str:
    """``namespace/name``, or ``name`` where there is no namespace."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


class Informer:
    """Local copy of one resource (or a selection of it), kept current by `run`.

    Objects handed out are the cached ones: treat them as read-only. Handlers are called synchronously, in order, from
    the task of `run`; one that raises is logged and hurts nobody else.

    Args:
        client: Where objects come from.
        resource: What to follow.
        namespace: None follows all namespaces.
        label_selector: As in the API.
        field_selector: As in the API.
        indexers: Index name to function.
        trim: Drops what nobody reads before an object is cached; by default ``metadata.managedFields``, which is
            often half of an object.
        backoff: Waiting times between attempts.
    """

    def __init__(
        self,
        client: Lister,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        trim: Callable[[Object], Object] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.resource = resource
        self._client = client
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._indexers = dict(indexers or {})
        self._trim = trim or drop_managed_fields
        self._backoff = backoff or Backoff()
        self._objects: dict[str, Object] = {}
        #: Keys in order; None after one came or went.
        self._sorted: list[str] | None = None
        self._indices: dict[str, dict[str, set[str]]] = {name: {} for name in self._indexers}
        self._journal = Journal()
        self._handlers: list[Callable[[Change], None]] = []
        self._resource_version = ""
        self._synced = asyncio.Event()
        self._last_contact: float | None = None
        self._complained = False

    # -- reading -------------------------------------------------------------------------------------------------

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None; the informer's own namespace is the default."""
        namespace = namespace if namespace is not None else self._namespace
        key = f"{namespace}/{name}" if self.resource.namespaced and namespace else name
        return self._objects.get(key)

    def items(self, namespace: str | None = None) -> list[Object]:
        """All objects (of a namespace), sorted by key."""
        prefix = f"{namespace}/" if namespace and self.resource.namespaced else ""
        if self._sorted is None:
            self._sorted = sorted(self._objects)
        if not prefix:
            return [self._objects[key] for key in self._sorted]
        return [self._objects[key] for key in self._sorted if key.startswith(prefix)]

    def by_index(self, index: str, value: str) -> list[Object]:
        """Objects that the named indexer put under ``value``, sorted by key."""
        return [self._objects[key] for key in sorted(self._indices[index].get(value, ()))]

    def labelled(self, label: str, value: str) -> list[Object]:
        """Objects that have a label, sorted by key; the index for it is made when it is first asked for."""
        index = f"label {label}"
        if index not in self._indexers:
            self._indexers[index] = _label_indexer(label)
            known: dict[str, set[str]] = {}
            for key, obj in self._objects.items():
                for found in self._indexers[index](obj):
                    known.setdefault(found, set()).add(key)
            self._indices[index] = known
        return self.by_index(index, value)

    def changes(self, mark: int) -> tuple[int, frozenset[str] | None]:
        """The mark for the next look, and names of what came, went or changed since this one (`Journal.since`)."""
        return self._journal.since(mark)

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return when the first list is complete."""
        await self._synced.wait()

    @property
    def staleness(self) -> float:
        """Seconds since the server last said anything; infinite before the first list."""
        return time.monotonic() - self._last_contact if self._last_contact is not None else float("inf")

    def subscribe(self, handler: Callable[[Change], None], *, replay: bool = True) -> Callable[[], None]:
        """Call ``handler`` for every change from now on; with ``replay``, first an ADDED for each known object.

        Returns:
            A function that ends the subscription.
        """
        self._handlers.append(handler)
        if replay:
            for key in sorted(self._objects):
                self._call(handler, Change(ChangeKind.ADDED, key, self._objects[key], None))

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._handlers.remove(handler)

        return unsubscribe

    # -- following -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the resource until cancelled."""
        while True:
            started = time.monotonic()
            failure: MlsError | None = None
            try:
                if not self._resource_version:
                    await self._list()
                async for event in self._client.watch(
                    self.resource,
                    self._namespace,
                    resource_version=self._resource_version,
                    on_open=self._contact,
                    **self._selectors,
                ):
                    self._contact()
                    self._on_event(event)
                if time.monotonic() - started > _SHORT_WATCH_SECONDS:
                    continue  # an ordinary end: the watch's own time limit
            except Expired as exc:
                _log.info("watch of %s expired, listing again: %s", self.resource.plural, exc)
                self._resource_version = ""
            except MlsError as exc:
                failure = exc
                level = logging.DEBUG if self._complained else logging.WARNING
                hint = "; check the RBAC of this agent" if isinstance(exc, Refused) else ""
                _log.log(level, "cannot follow %s, trying again: %s%s", self.resource.plural, exc, hint)
                self._complained = True
            except (KeyError, TypeError, AttributeError):
                # Not an object as the API promises: say so in full, and start over rather than guess what was missed.
                _log.exception("malformed answer while following %s, listing again", self.resource.plural)
                self._resource_version = ""
            await asyncio.sleep(self._backoff.delay(failure))

    def _contact(self) -> None:
        if self._complained:
            _log.info("following %s again from resourceVersion %s", self.resource.plural, self._resource_version)
            self._complained = False
        self._backoff.reset()
        self._last_contact = time.monotonic()

    async def _list(self) -> None:
        seen: set[str] = set()
        token = version = ""
        while True:
            page = await self._client.list(
                self.resource, self._namespace, limit=_PAGE, continue_token=token, **self._selectors
            )
            version = str(page["metadata"].get("resourceVersion") or "0")
            for item in page.get("items") or []:
                seen.add(object_key(item))
                # Items of a list have no apiVersion and kind of their own (API concepts, "Retrieving a collection").
                self._store({"apiVersion": self.resource.api_version, "kind": self.resource.kind, **item})
            token = str(page["metadata"].get("continue") or "")
            if not token:
                break
        for key in sorted(self._objects.keys() - seen):
            self._remove(key, self._objects[key])
        self._resource_version = version
        self._contact()
        self._synced.set()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        obj = event["object"]
        kind = event["type"]
        if kind in {ChangeKind.ADDED, ChangeKind.MODIFIED}:
            self._store(obj)
        elif kind == ChangeKind.DELETED:
            self._remove(object_key(obj), obj)
        version = obj["metadata"].get("resourceVersion")
        if version:
            self._resource_version = str(version)

    def _store(self, obj: Object) -> None:
        obj = self._trim(obj)
        key = object_key(obj)
        old = self._objects.get(key)
        if old is not None and _identity(old) == _identity(obj):
            return  # a relist that changed nothing
        if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
            self._remove(key, old)  # deleted and made anew while nobody watched: two events, as if watched
            old = None
        self._unindex(key, old)
        if key not in self._objects:
            self._sorted = None
        self._objects[key] = obj
        for name, indexer in self._indexers.items():
            for value in indexer(obj):
                self._indices[name].setdefault(value, set()).add(key)
        self._emit(Change(ChangeKind.ADDED if old is None else ChangeKind.MODIFIED, key, obj, old))

    def _remove(self, key: str, last: Object) -> None:
        old = self._objects.pop(key, None)
        self._sorted = None
        if old is None:
            return
        self._unindex(key, old)
        self._emit(Change(ChangeKind.DELETED, key, self._trim(last), old))

    def _unindex(self, key: str, old: Object | None) -> None:
        if old is None:
            return
        for name, indexer in self._indexers.items():
            for value in indexer(old):
                keys = self._indices[name].get(value)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del self._indices[name][value]

    def _emit(self, change: Change) -> None:
        self._journal.note(str(change.new["metadata"]["name"]))
        for handler in tuple(self._handlers):
            self._call(handler, change)

    def _call(self, handler: Callable[[Change], None], change: Change) -> None:
        try:
            handler(change)
        except Exception:  # noqa: BLE001 - one subscriber's fault must not end the watch for the others
            _log.exception("handler of %s failed on %s %s", self.resource.plural, change.kind, change.key)


def _label_indexer(label: str) -> Indexer:
    def values(obj: Object) -> Iterable[str]:
        value = (obj["metadata"].get("labels") or {}).get(label)
        return () if value is None else (value,)

    return values


def drop_managed_fields(obj: Object) -> Object:
    """The object without ``metadata.managedFields``."""
    if "managedFields" not in obj["metadata"]:
        return obj
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _identity(obj: Mapping[str, Any]) -> tuple[Any, Any]:
    return obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion")
