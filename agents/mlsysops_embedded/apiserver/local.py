"""The client protocol on the registry itself, for controllers in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.patching import Patching
from mlsysops_embedded.apiserver.query import Query
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.subresources import Subresources
from mlsysops_embedded.client.protocol import Object, PatchType, Resource
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import SYSTEM, Call, DeleteOptions
from mlsysops_embedded.machinery.resources import ResourceInfo

__all__ = ["LocalClient"]

_MANAGER: Final = "kube-controller-manager"


class LocalClient:
    """Direct access with the rights of the server.

    Args:
        registry: The registry.
        manager: Field manager where a call names none.
    """

    def __init__(self, registry: Registry, *, manager: str = _MANAGER) -> None:
        self._registry = registry
        self._subresources = Subresources(registry)
        self._manager = manager

    def _info(self, resource: Resource) -> ResourceInfo:
        info = self._registry.catalog.find(resource.group, resource.version, resource.plural)
        if info is None:
            raise ApiError.unknown_resource()
        return info

    def _call(self, manager: str, *, dry_run: bool = False, force: bool = False) -> Call:
        return Call(SYSTEM, manager or self._manager, dry_run, force=force)

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """See `Client.get`."""
        info = self._info(resource)
        if subresource in (None, "", "status"):
            return _load(self._registry.get(info, namespace or "", name))
        return await self._subresources.get(info, namespace or "", name, subresource or "")

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
        """See `Client.list`."""
        info = self._info(resource)
        query = Query(label_selector, field_selector, limit, continue_token, resource_version)
        page = await self._registry.page(info, namespace or "", query)
        metadata: Object = {"resourceVersion": str(page.rv)}
        if page.continue_token:
            metadata["continue"] = page.continue_token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        items = [_light(item) for item in page.items]
        return {"apiVersion": info.api_version, "kind": info.list_kind, "metadata": metadata, "items": items}

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """See `Client.create`."""
        info, call = self._info(resource), self._call(field_manager, dry_run=dry_run)
        place = namespace or obj.get("metadata", {}).get("namespace", "")
        if subresource:
            return await self._subresources.create(call, info, place, name or obj["metadata"]["name"], subresource, obj)
        return _load(await self._registry.create(call, info, place, obj))

    async def update(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """See `Client.update`."""
        info, call = self._info(resource), self._call(field_manager, dry_run=dry_run)
        place, name = namespace or obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        if subresource in (None, "", "status"):
            return _load(
                await self._registry.update(call, info, place, name, orjson.loads(orjson.dumps(obj)), subresource or "")
            )
        return await self._subresources.update(call, info, place, name, subresource or "", lambda _: obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType,
        subresource: str | None = None,
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """See `Client.patch`."""
        info, call = self._info(resource), self._call(field_manager, dry_run=dry_run, force=force)
        place = namespace or ""
        if patch_type == "apply":
            if not field_manager:
                raise ApiError.bad_request("fieldManager is required for apply patch")
            data, _ = await self._registry.apply(call, info, place, name, patch, subresource or "")
            return _load(data)

        change = Patching("merge" if patch_type == "strategic" and info.custom else patch_type, patch, info.schema)
        if subresource in (None, "", "status"):
            return _load(await self._registry.modify(call, info, place, name, change, subresource or ""))
        return await self._subresources.update(call, info, place, name, subresource or "", change)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation_policy: str | None = None,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """See `Client.delete`."""
        options = DeleteOptions(propagation_policy or "", grace_period_seconds, uid or "", resource_version or "")
        data, _ = await self._registry.delete(self._call(""), self._info(resource), namespace or "", name, options)
        return _load(data)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[Object]:
        """See `Client.watch`."""
        query = Query(label_selector, field_selector, resource_version=resource_version, bookmarks=allow_bookmarks)
        async for events in await self._registry.watch(self._info(resource), namespace or "", query):
            for event in events:
                yield {"type": event.type, "object": _light(event.data)}

    async def discover(self) -> Sequence[Resource]:
        """See `Client.discover`."""
        groups = self._registry.catalog.groups()
        listable = [info for info in self._registry.catalog if "watch" in info.verbs]
        # A group's preferred version need not serve all its resources.
        listable.sort(key=lambda info: groups[info.group].index(info.version))
        best: dict[tuple[str, str], Resource] = {}
        for info in listable:
            resource = Resource(info.group, info.version, info.plural, info.namespaced, info.kind)
            best.setdefault((info.group, info.plural), resource)
        return list(best.values())


def _load(data: bytes) -> Object:
    return orjson.loads(data)  # type: ignore[no-any-return]


def _light(data: bytes) -> Object:
    """An object as caches keep it: without managedFields, which weigh as much as the rest and which updates keep."""
    obj = _load(data)
    obj["metadata"].pop("managedFields", None)
    return obj
