"""Follows the kinds that policies and bindings name, whichever they are and whenever their definitions appear."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client.resources import CUSTOM_RESOURCE_DEFINITIONS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlsysops_embedded.client import Client, Informer, InformerFactory, Object, Resource

__all__ = ["Kinds", "Templates"]

_log = logging.getLogger(__name__)


class Kinds:
    """Maps (apiVersion, kind) to what an API serves.

    Args:
        client: The API.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, asking the API again where it is not known; None where it is not served."""
        if (api_version, kind) not in self._known:
            found = await self._client.discover()
            self._known = {(r.api_version, r.kind): r for r in found}
        return self._known.get((api_version, kind))

    def forget(self) -> None:
        """Definitions changed: ask again."""
        self._known.clear()


class Templates:
    """Informers of the kinds asked for; a kind that is not served yet is followed from when it is.

    Args:
        informers: Where informers are shared.
        changed: Called with each template that changed.
    """

    def __init__(self, informers: InformerFactory, changed: Callable[[Object], None]) -> None:
        self._informers = informers
        self._changed = [changed]
        self._kinds = Kinds(informers.client)
        self._wanted: set[tuple[str, str]] = set()
        self._followed: dict[tuple[str, str], tuple[Resource, Informer]] = {}
        self._wake = asyncio.Event()
        informers.informer(CUSTOM_RESOURCE_DEFINITIONS).add_handler(self._definition_changed)

    def _definition_changed(self, new: Object | None, old: Object | None) -> None:
        names = (new or old or {})["spec"]
        if new is None:
            for version in names["versions"]:
                key = (f"{names['group']}/{version['name']}", names["names"]["kind"])
                if followed := self._followed.pop(key, None):
                    self._informers.stop(followed[0])
        self._kinds.forget()
        self._wake.set()

    def subscribe(self, changed: Callable[[Object], None]) -> None:
        """Call this, too, with each template that changes."""
        self._changed.append(changed)

    def want(self, api_version: str, kind: str) -> None:
        """Follow a kind."""
        if (api_version, kind) not in self._wanted:
            self._wanted.add((api_version, kind))
            self._wake.set()

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a followed kind."""
        followed = self._followed.get((api_version, kind))
        return followed[0] if followed else None

    def items(self, api_version: str, kind: str, namespace: str | None = None) -> list[Object]:
        """Templates of a followed kind."""
        followed = self._followed.get((api_version, kind))
        return followed[1].items(namespace) if followed else []

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> Object | None:
        """One template."""
        followed = self._followed.get((api_version, kind))
        return followed[1].get(name, namespace) if followed else None

    def synced(self, api_version: str, kind: str) -> bool:
        """Whether what `get` says of a kind can be trusted."""
        followed = self._followed.get((api_version, kind))
        return followed is not None and followed[1].synced

    async def run(self) -> None:
        """Start informers for ever, as kinds are wanted and served."""
        while True:
            self._wake.clear()
            retry = False
            for api_version, kind in self._wanted - self._followed.keys():
                try:
                    resource = await self._kinds.find(api_version, kind)
                except ApiError as exc:
                    _log.warning("discovery failed: %s; trying again", exc)
                    retry = True
                    break
                if resource is not None:
                    informer = self._informers.informer(resource)
                    self._followed[api_version, kind] = (resource, informer)
                    informer.add_handler(self._on_change)
            try:
                # A definition is served a moment after it is written, which nothing announces.
                async with asyncio.timeout(1.0 if retry or self._wanted - self._followed.keys() else None):
                    await self._wake.wait()
            except TimeoutError:
                self._kinds.forget()

    def _on_change(self, new: Object | None, old: Object | None) -> None:
        for changed in self._changed:
            changed(new or old or {})
