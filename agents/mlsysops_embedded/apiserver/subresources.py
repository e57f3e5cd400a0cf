"""Subresources and reviews: scale, binding, eviction, finalize, token, pod logs, access and token reviews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.access import Access
from mlsysops_embedded.apiserver.bodies import BINDING, EVICTION, SCALE, TOKEN_REQUEST, decoded, deletion
from mlsysops_embedded.apiserver.http import Request
from mlsysops_embedded.apiserver.incoming import metadata_of, named
from mlsysops_embedded.apiserver.logs import LogProxy
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.routing import Route
from mlsysops_embedded.auth.rbac import Attributes
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.call import Call, User
from mlsysops_embedded.machinery.resources import ResourceInfo, ScalePaths
from mlsysops_embedded.machinery.selectors import selector_from_object
from mlsysops_embedded.validation import conform

__all__ = ["Subresources"]

Obj = dict[str, Any]
_SCALE: Final = "autoscaling/v1"


def _dig(obj: Obj, path: str) -> Any:
    value: Any = obj
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _selector_text(selector: Any) -> str:
    if isinstance(selector, str):
        return selector
    if not isinstance(selector, dict):
        return ""
    parts = []
    for key, operator, values in selector_from_object(selector).requirements:
        if operator == "in":
            parts.append(f"{key}={values[0]}" if len(values) == 1 else f"{key} in ({','.join(values)})")
        elif operator == "notin":
            parts.append(f"{key} notin ({','.join(values)})")
        else:
            parts.append(key if operator == "exists" else f"!{key}")
    return ",".join(parts)


class Subresources:
    """Handlers over a registry.

    Args:
        registry: Objects.
        access: Authentication and authorisation; without it reviews and tokens are refused.
        logs: The way to kubelets.
    """

    def __init__(self, registry: Registry, access: Access | None = None, logs: LogProxy | None = None) -> None:
        self.registry = registry
        self._access = access
        self._logs = logs

    # ------------------------------------------------------------------ entry points

    async def get(self, info: ResourceInfo, namespace: str, name: str, subresource: str) -> Obj:
        """GET of a subresource."""
        if subresource == "scale" and info.scale is not None:
            return self._scale(info, self._object(info, namespace, name))
        raise ApiError.method_not_allowed()

    async def create(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, subresource: str, obj: Obj
    ) -> Obj:
        """POST to a subresource."""
        if subresource == "binding":
            return await self.bind(call, namespace, name, obj)
        if subresource == "eviction":
            return await self._evict(call, info, namespace, name, obj)
        if subresource == "token" and self._access is not None:
            account = self._object(info, namespace, name)
            return self._access.token(call, account, decoded(call, TOKEN_REQUEST, namespace, obj))
        raise ApiError.method_not_allowed()

    async def update(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, subresource: str, change: Callable[[Obj], Obj]
    ) -> Obj:
        """PUT or PATCH of a subresource."""
        if subresource == "scale" and info.scale is not None:
            return await self._rescale(call, info, info.scale, namespace, name, change)
        if subresource == "finalize" and info.bucket == "namespaces":
            return await self._finalize(call, info, name, change)
        raise ApiError.method_not_allowed()

    async def apply(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, subresource: str, config: Obj
    ) -> Obj:
        """Server-side apply to a subresource: of a scale, the number of replicas, which then has an owner."""
        if subresource != "scale" or info.scale is None:
            raise ApiError.method_not_allowed()
        scale = decoded(call, SCALE, namespace, config, default=False)
        metadata = scale["metadata"]
        metadata.setdefault("name", name)
        named(SCALE, scale, name)
        _same_uid(info, self._object(info, namespace, name), metadata)
        kept = {"name": name, "resourceVersion": metadata.get("resourceVersion", "")}
        applied: Obj = {"apiVersion": info.api_version, "kind": info.kind, "metadata": kept}
        replicas = (scale.get("spec") or {}).get("replicas")
        if replicas is not None:
            _place(applied, info.scale.spec, int(replicas))
        data = await self.registry.modify(call, info, namespace, name, lambda old: old, "scale", applied=applied)
        return self._scale(info, orjson.loads(data))

    async def review(self, call: Call, info: ResourceInfo, namespace: str, obj: Any) -> Obj:
        """POST of an object that is answered, not stored."""
        metadata = metadata_of(info, obj)
        if info.kind == "Binding":
            return await self.bind(call, namespace, str(metadata.get("name", "")), obj)
        if self._access is None:
            raise ApiError.method_not_allowed()
        return self._access.review(call, info, namespace, obj)

    async def log(self, request: Request, route: Route) -> int:
        """Log of a pod, from its kubelet."""
        if self._logs is None:
            raise ApiError.method_not_allowed()
        return await self._logs.serve(request, route)

    def demand(self, user: User, asked: Attributes) -> None:
        """Goes on where the user may.

        Raises:
            ApiError: 403.
        """
        if self._access is not None:
            self._access.authorizer.demand(user, asked)

    # ------------------------------------------------------------------ parts

    def _object(self, info: ResourceInfo, namespace: str, name: str) -> Obj:
        return orjson.loads(self.registry.get(info, namespace, name))  # type: ignore[no-any-return]

    def _scale(self, info: ResourceInfo, obj: Obj) -> Obj:
        paths = info.scale or ScalePaths()
        metadata = obj["metadata"]
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        status: Obj = {"replicas": _dig(obj, paths.status) or 0}
        if selector := _selector_text(_dig(obj, paths.selector) if paths.selector else None):
            status["selector"] = selector
        return {
            "kind": "Scale",
            "apiVersion": _SCALE,
            "metadata": {key: metadata[key] for key in kept if key in metadata},
            "spec": {"replicas": wished} if (wished := _dig(obj, paths.spec)) else {},
            "status": status,
        }

    async def _rescale(
        self, call: Call, info: ResourceInfo, paths: ScalePaths, namespace: str, name: str, change: Callable[[Obj], Obj]
    ) -> Obj:
        def rescaled(old: Obj) -> Obj:
            wanted = decoded(call, SCALE, namespace, change(self._scale(info, old)))
            metadata = named(SCALE, wanted, name)
            _same_uid(info, old, metadata)
            new = meta.clone(old)
            _place(new, paths.spec, (wanted.get("spec") or {}).get("replicas", 0))
            version = metadata.get("resourceVersion")
            new["metadata"]["resourceVersion"] = version or old["metadata"]["resourceVersion"]
            return new

        data = await self.registry.modify(call, info, namespace, name, rescaled, "scale")
        return self._scale(info, orjson.loads(data))

    async def _finalize(self, call: Call, info: ResourceInfo, name: str, change: Callable[[Obj], Obj]) -> Obj:
        def finalized(old: Obj) -> Obj:
            wanted = meta.clone(change(old))
            metadata = named(info, wanted, name)
            _same_uid(info, old, metadata)
            wanted = conform.decode(call, info, wanted)
            new = meta.clone(old)
            new.setdefault("spec", {})["finalizers"] = list((wanted.get("spec") or {}).get("finalizers") or ())
            new["metadata"]["resourceVersion"] = metadata.get("resourceVersion", "")
            return new

        return orjson.loads(await self.registry.modify(call, info, "", name, finalized, "finalize"))  # type: ignore[no-any-return]

    async def bind(self, call: Call, namespace: str, name: str, binding: Obj) -> Obj:
        """Assigns a pod to a node (core/v1 Binding)."""
        info = self.registry.catalog.require("", "v1", "pods")
        binding = decoded(call, BINDING, namespace, binding)
        _same_name(binding, name, "Binding")
        target = binding["target"]
        node = target.get("name")
        if not node:
            raise ApiError.invalid("Binding", name, [Cause("FieldValueRequired", "target.name", "Required value")])
        if target.get("kind") not in (None, "", "Node"):
            text = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
            raise ApiError.invalid("Binding", name, [Cause("FieldValueNotSupported", "target.kind", text)])

        def bound(old: Obj) -> Obj:
            _same_uid(info, old, binding["metadata"])
            if old["metadata"].get("deletionTimestamp"):
                raise ApiError.conflict(
                    "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host"
                )
            if old["spec"].get("nodeName"):
                raise ApiError.conflict(
                    "pods/binding", name, f'pod {name} is already assigned to node "{old["spec"]["nodeName"]}"'
                )
            new = meta.clone(old)
            new["spec"]["nodeName"] = node
            conditions = [
                c for c in new.setdefault("status", {}).get("conditions") or () if c.get("type") != "PodScheduled"
            ]
            conditions.append(
                {
                    "type": "PodScheduled",
                    "status": "True",
                    "lastTransitionTime": meta.now(),
                    "observedGeneration": new["metadata"].get("generation", 1),
                }
            )
            new["status"]["conditions"] = conditions
            return new

        # Nobody owns where a pod runs, as the scheduler may only ever write it once.
        anonymous = Call(call.user, "", call.dry_run, call.validation, warnings=call.warnings)
        await self.registry.modify(anonymous, info, namespace, name, bound, "binding")
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def _evict(self, call: Call, info: ResourceInfo, namespace: str, name: str, eviction: Obj) -> Obj:
        eviction = decoded(call, EVICTION, namespace, eviction)
        _same_name(eviction, name, "Eviction")
        options = deletion(call, eviction.get("deleteOptions") or {})
        await self.registry.delete(call, info, namespace, name, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _same_name(obj: Obj, name: str, kind: str) -> None:
    if obj["metadata"].get("name") != name:
        raise ApiError.bad_request(f"name in URL does not match name in {kind} object")


def _same_uid(info: ResourceInfo, present: Obj, given: Obj) -> None:
    uid, there = given.get("uid"), present["metadata"]["uid"]
    if uid not in (None, "", there):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {there}"
        raise ApiError.conflict(info.plural, present["metadata"]["name"], why, info.group)


def _place(obj: Obj, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for part in parents:
        obj = obj.setdefault(part, {})
    obj[last] = value
