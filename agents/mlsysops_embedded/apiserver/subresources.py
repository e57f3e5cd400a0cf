"""Subresources that are more than a part of their object: scale, binding, eviction, finalize, token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsysops_embedded.apiserver.call import Call
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import ResourceInfo

__all__ = ["Subresources"]

Obj = dict[str, Any]


class Subresources:
    """Handlers of subresources over a registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def get(self, info: ResourceInfo, namespace: str, name: str, subresource: str) -> Obj:
        raise ApiError.unknown_resource()

    async def create(self, call: Call, info: ResourceInfo, namespace: str, name: str, subresource: str, obj: Obj) -> Obj:
        raise ApiError.unknown_resource()

    async def update(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, subresource: str, change: Callable[[Obj], Obj]
    ) -> Obj:
        raise ApiError.unknown_resource()
