"""Keeps the catalogue in step with the CustomResourceDefinitions, and empties those that are deleted."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.call import SYSTEM, Call, DeleteOptions
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import definition

__all__ = ["Definitions"]

_LOG: Final = logging.getLogger("embedded.definitions")
Obj = dict[str, Any]
_BUCKET: Final = "customresourcedefinitions.apiextensions.k8s.io"
_POLL_SECONDS: Final = 0.2


class Definitions:
    """Serves custom resources.

    Args:
        registry: Whose catalogue it keeps.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._emptying: dict[str, asyncio.Task[None]] = {}

    def load(self) -> None:
        """Takes over the definitions in the store."""
        for entry in list(self._registry.store.bucket(_BUCKET).objects.values()):
            self._serve(entry.parse())

    async def observe(self, info: ResourceInfo, old: Obj | None, new: Obj | None) -> None:
        """Follows a written definition."""
        if info.bucket != _BUCKET:
            return
        if new is not None:
            self._serve(new)
        elif old is not None:
            self._registry.catalog.set_custom(old["metadata"]["name"], ())

    def _serve(self, crd: Obj) -> None:
        name = crd["metadata"]["name"]
        self._registry.catalog.set_custom(name, definition.resources(crd))
        if crd["metadata"].get("deletionTimestamp") and definition.FINALIZER in (crd["metadata"].get("finalizers") or ()) and name not in self._emptying:
            task = asyncio.ensure_future(self._empty(name))
            self._emptying[name] = task
            task.add_done_callback(lambda _: self._emptying.pop(name, None))

    async def _empty(self, name: str) -> None:
        """Deletes all objects of a definition, then lets it go."""
        call = Call(SYSTEM, "kube-apiserver")
        try:
            while objects := list(self._registry.store.bucket(name).objects.values()):
                info = self._registry.catalog.by_bucket(name)
                if info is None:
                    break
                for entry in objects:
                    if not entry.parse()["metadata"].get("deletionTimestamp"):
                        try:
                            await self._registry.delete(call, info, entry.key[0], entry.key[1], DeleteOptions())
                        except ApiError as exc:
                            if exc.code != 404:
                                raise
                if self._registry.store.bucket(name).objects:
                    await asyncio.sleep(_POLL_SECONDS)
            definitions = self._registry.catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
            assert definitions is not None
            await self._registry.modify(call, definitions, "", name, _released)
        except ApiError as exc:
            _LOG.warning("cannot empty %s: %s", name, exc)

    async def close(self) -> None:
        """Stops what is under way; it goes on at the next start."""
        for task in list(self._emptying.values()):
            task.cancel()
        await asyncio.gather(*self._emptying.values(), return_exceptions=True)


def _released(crd: Obj) -> Obj:
    new: Obj = orjson.loads(orjson.dumps(crd))
    new["metadata"]["finalizers"] = [f for f in new["metadata"].get("finalizers") or () if f != definition.FINALIZER]
    return new
