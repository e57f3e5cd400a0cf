"""The verbs of resource requests over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.bodies import SCALE
from mlsysops_embedded.apiserver.http import Request, decode_body, respond
from mlsysops_embedded.apiserver.incoming import named
from mlsysops_embedded.apiserver.metrics import API_VERSION, Metrics
from mlsysops_embedded.apiserver.options import call_of, delete_options, list_query
from mlsysops_embedded.apiserver.patching import Patching, unknown_members
from mlsysops_embedded.apiserver.query import parse_rv
from mlsysops_embedded.apiserver.reading import Page, WatchEvent
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.routing import Route
from mlsysops_embedded.apiserver.streaming import Disconnect, event_line
from mlsysops_embedded.apiserver.subresources import Subresources
from mlsysops_embedded.auth.rbac import Attributes
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery.call import ANONYMOUS, Call
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.tables import partial, table

__all__ = ["Verbs"]

Obj = dict[str, Any]
_PATCHES: Final = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
#: Buckets of the kinds that a PUT makes where they are absent (AllowCreateOnUpdate of their strategies).
_MADE_BY_PUT: Final = frozenset(
    (
        "clusterrolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "endpoints",
        "events",
        "leases.coordination.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "services",
    )
)


class Verbs:
    """Answers resource requests that are allowed.

    Args:
        registry: Objects.
        subresources: The special subresources.
        metrics: What nodes and pods use.
    """

    def __init__(self, registry: Registry, subresources: Subresources, metrics: Metrics | None = None) -> None:
        self._registry = registry
        self._metrics = metrics
        self._subresources = subresources

    async def serve(self, request: Request, route: Route, info: ResourceInfo) -> int:
        """Answers a request; returns the status code."""
        if info.warning:
            request.warnings.append(info.warning)
        if route.namespace and not info.namespaced and info.bucket != "namespaces":
            raise ApiError.unknown_resource()
        verb = route.verb
        if route.subresource and route.subresource not in info.subresources:
            raise ApiError.unknown_resource()
        plain = route.subresource in ("", "status", "resize")
        if not plain:
            return await self._special(request, route, info)
        if not route.subresource and verb not in info.verbs:
            raise ApiError.method_not_allowed()
        if not route.name and verb in ("update", "patch"):
            raise ApiError.method_not_allowed()
        if route.name and verb == "create":
            raise ApiError.method_not_allowed()
        if route.subresource and verb not in ("get", "update", "patch"):
            raise ApiError.method_not_allowed()
        if info.namespaced and not route.namespace and verb not in ("list", "watch"):
            raise ApiError.unknown_resource() if route.name else ApiError.method_not_allowed()
        handler = getattr(self, f"_{verb}", None)
        if handler is None:
            raise ApiError.method_not_allowed()
        return await handler(request, route, info)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------ reading

    async def _get(self, request: Request, route: Route, info: ResourceInfo) -> int:
        if self._metrics is not None and info.api_version == API_VERSION:
            found = await self._metrics.get(info, route.namespace, route.name)
            await self._object(request, info, 200, orjson.dumps(found))
            return 200
        await self._registry.reach(parse_rv(request.query.get("resourceVersion", "")))
        data = self._registry.get(info, route.namespace, route.name)
        await self._object(request, info, 200, data)
        return 200

    async def _object(self, request: Request, info: ResourceInfo, code: int, data: bytes) -> None:
        media, parameters = request.negotiate()
        form = parameters.get("as")
        if form == "Table":
            obj = orjson.loads(data)
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            data = orjson.dumps(table(info, [obj], metadata, request.query.get("includeObject", "")))
        elif form == "PartialObjectMetadata":
            data = orjson.dumps(partial(orjson.loads(data)))
        await respond(request, code, data, content_type=media)

    async def _list(self, request: Request, route: Route, info: ResourceInfo) -> int:
        media, parameters = request.negotiate()
        query = list_query(request, route)
        if self._metrics is not None and info.api_version == API_VERSION:
            found = await self._metrics.list(info, route.namespace, query.labels, query.fields)
            page = Page(0, [orjson.dumps(item) for item in found])
        else:
            page = await self._registry.page(info, route.namespace, query)
        form = parameters.get("as")
        metadata = _list_metadata(page)
        data: bytes | list[bytes]
        if form == "Table":
            objects = (orjson.loads(item) for item in page.items)
            data = orjson.dumps(table(info, objects, metadata, request.query.get("includeObject", "")))
        elif form == "PartialObjectMetadataList":
            items = [partial(orjson.loads(item)) for item in page.items]
            head = {"kind": form, "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            data = orjson.dumps({**head, "items": items})
        else:
            head = {"kind": info.list_kind, "apiVersion": info.api_version, "metadata": metadata}
            data = _list_parts(head, page.items)
        await respond(request, 200, data, content_type=media)
        return 200

    async def _watch(self, request: Request, route: Route, info: ResourceInfo) -> int:
        media, parameters = request.negotiate()
        if media != "application/json":
            raise ApiError.not_acceptable("application/json")
        try:
            events = await self._registry.watch(info, route.namespace, list_query(request, route))
        except ApiError as exc:
            if exc.code != 410:
                raise
            events = _failing(exc)  # a watch that cannot begin is told so by its first event
        form = parameters.get("as") or ""
        head = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        head.append((b"audit-id", request.audit_id.encode()))
        await request.send({"type": "http.response.start", "status": 200, "headers": head})
        await request.send({"type": "http.response.body", "body": b"", "more_body": True})
        include, first = request.query.get("includeObject", ""), True
        gone = Disconnect(request)
        try:
            try:
                async for batch in events:
                    lines = []
                    for event in batch:
                        lines.append(event_line(info, event, form, include, first=first))
                        first = first and event.type == "BOOKMARK"
                    if lines:
                        await request.send({"type": "http.response.body", "body": b"".join(lines), "more_body": True})
            except ApiError as exc:
                line = b'{"type":"ERROR","object":' + orjson.dumps(exc.status) + b"}\n"
                await request.send({"type": "http.response.body", "body": line, "more_body": True})
            await request.send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if not gone.happened:
                raise
        finally:
            gone.close()
            await events.aclose()
        return 200

    # ------------------------------------------------------------------ writing

    @staticmethod
    async def _body(request: Request, call: Call) -> Any:
        duplicates: list[str] | None = [] if call.validation != "Ignore" else None
        value = decode_body(await request.body(), request.media_type, duplicates=duplicates)
        kind = _PATCHES.get(request.media_type)
        if duplicates is not None and kind == "json":
            duplicates += unknown_members(value)
        if duplicates:
            if call.validation == "Strict":
                why = f"strict decoding error: {', '.join(duplicates)}"
                if kind in (None, "apply"):
                    raise ApiError.bad_request(why)
                raise ApiError.invalid("", "", [Cause("FieldValueInvalid", "patch", why)])
            call.warnings += duplicates
        return value

    async def _create(self, request: Request, route: Route, info: ResourceInfo) -> int:
        call = call_of(request)
        obj = await self._body(request, call)
        if info.verbs == ("create",):
            answer = await self._subresources.review(call, info, route.namespace, obj)
            await respond(request, 201, orjson.dumps(answer), content_type=request.negotiate()[0])
            return 201
        await self._object(request, info, 201, await self._registry.create(call, info, route.namespace, obj))
        return 201

    async def _update(self, request: Request, route: Route, info: ResourceInfo) -> int:
        call = call_of(request)
        obj = await self._body(request, call)
        if (
            info.bucket in _MADE_BY_PUT
            and not route.subresource
            and not self._registry.present(info, route.namespace, route.name)
        ):
            named(info, obj, route.name)
            self._access_demand(request, info, route)
            await self._object(request, info, 201, await self._registry.create(call, info, route.namespace, obj))
            return 201
        data = await self._registry.update(call, info, route.namespace, route.name, obj, route.subresource)
        await self._object(request, info, 200, data)
        return 200

    @staticmethod
    def _patcher(request: Request, info: ResourceInfo, patch: Any, *, subresource: str = "") -> Patching:
        return Patching(_PATCHES[request.media_type], patch, info.schema if not subresource else SCALE.schema)

    @staticmethod
    def _check_manager(request: Request) -> None:
        if not request.query.get("fieldManager"):
            raise ApiError.option("PatchOptions", "fieldManager", "Required value: is required for apply patch")

    @staticmethod
    def _applied(patch: Any) -> Obj:
        if not isinstance(patch, dict):
            raise ApiError.bad_request("an applied configuration must be an object")
        for name in ("apiVersion", "kind"):
            if not patch.get(name):
                raise ApiError.bad_request(f"invalid object type: {name} must be set")
        return patch

    def _access_demand(self, request: Request, info: ResourceInfo, route: Route) -> None:
        """What an apply or a PUT makes anew needs the right to create, beside the right to patch."""
        asked = Attributes("create", info.group, info.plural, route.subresource, route.namespace, route.name)
        self._subresources.demand(request.user or ANONYMOUS, asked)

    def _patch_kind(self, request: Request, info: ResourceInfo) -> str:
        kind = _PATCHES.get(request.media_type)
        if kind is None or (kind == "strategic" and info.custom):
            allowed = [name for name, form in _PATCHES.items() if not (form == "strategic" and info.custom)]
            raise ApiError.unsupported_media_type(", ".join(allowed))
        return kind

    async def _patch(self, request: Request, route: Route, info: ResourceInfo) -> int:
        kind = self._patch_kind(request, info)
        call = call_of(request)
        patch = await self._body(request, call)
        if kind == "apply":
            self._check_manager(request)
            patch = self._applied(patch)
            if not self._registry.present(info, route.namespace, route.name):
                self._access_demand(request, info, route)
            data, created = await self._registry.apply(
                call, info, route.namespace, route.name, patch, route.subresource
            )
            code = 201 if created else 200
            await self._object(request, info, code, data)
            return code
        if "force" in request.query:
            raise ApiError.option("PatchOptions", "force", "Forbidden: may not be specified for non-apply patch")
        change = self._patcher(request, info, patch)
        with change.refusals():
            data = await self._registry.modify(call, info, route.namespace, route.name, change, route.subresource)
        await self._object(request, info, 200, data)
        return 200

    async def _delete(self, request: Request, route: Route, info: ResourceInfo) -> int:
        call = call_of(request)
        options = await delete_options(request, call)
        data, gone = await self._registry.delete(call, info, route.namespace, route.name, options)
        if gone and info.bucket != "pods":
            uid = orjson.loads(data)["metadata"]["uid"]
            details = {
                "name": route.name,
                **({"group": info.group} if info.group else {}),
                "kind": info.plural,
                "uid": uid,
            }
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            await respond(request, 200, orjson.dumps(status), content_type=request.negotiate()[0])
        else:
            await self._object(request, info, 200, data)
        return 200

    async def _deletecollection(self, request: Request, route: Route, info: ResourceInfo) -> int:
        call = call_of(request)
        options = await delete_options(request, call)
        page = await self._registry.page(info, route.namespace, list_query(request, route))
        for item in page.items:
            metadata = orjson.loads(item)["metadata"]
            try:
                await self._registry.delete(call, info, metadata.get("namespace", ""), metadata["name"], options)
            except ApiError as exc:
                if exc.code != 404:
                    raise
        head = {"kind": info.list_kind, "apiVersion": info.api_version, "metadata": _list_metadata(page)}
        await respond(request, 200, _list_parts(head, page.items), content_type=request.negotiate()[0])
        return 200

    # ------------------------------------------------------------------ subresources

    async def _special(self, request: Request, route: Route, info: ResourceInfo) -> int:
        name, verb = route.subresource, route.verb
        if name == "log":
            if verb != "get":
                raise ApiError.method_not_allowed()
            return await self._subresources.log(request, route)
        if name in ("exec", "attach", "portforward", "proxy", "ephemeralcontainers"):
            raise ApiError.method_not_allowed(f"this server does not support {name}")
        if verb == "get":
            answer = await self._subresources.get(info, route.namespace, route.name, name)
        else:
            call = call_of(request)
            if verb == "patch":
                kind = self._patch_kind(request, info)
                patch = await self._body(request, call)
                if kind == "apply":
                    self._check_manager(request)
                    applied = self._applied(patch)
                    answer = await self._subresources.apply(call, info, route.namespace, route.name, name, applied)
                else:
                    change = self._patcher(request, info, patch, subresource=name)
                    with change.refusals():
                        answer = await self._subresources.update(call, info, route.namespace, route.name, name, change)
            elif verb == "update":
                obj = await self._body(request, call)
                answer = await self._subresources.update(call, info, route.namespace, route.name, name, lambda _: obj)
            elif verb == "create":
                obj = await self._body(request, call)
                answer = await self._subresources.create(call, info, route.namespace, route.name, name, obj)
            else:
                raise ApiError.method_not_allowed()
        code = 201 if verb == "create" else 200
        if name == "scale":
            await self._object(request, SCALE, code, orjson.dumps(answer))
        else:
            await respond(request, code, orjson.dumps(answer), content_type=request.negotiate()[0])
        return code


async def _failing(error: ApiError) -> AsyncGenerator[list[WatchEvent], None]:
    """Events of a watch that fails at once."""
    nothing: list[list[WatchEvent]] = []
    for batch in nothing:  # what makes this a generator
        yield batch
    raise error


def _list_metadata(page: Page) -> Obj:
    metadata: Obj = {"resourceVersion": str(page.rv)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return metadata


def _list_parts(head: Obj, items: list[bytes]) -> list[bytes]:
    """A list as it goes over the wire, without a copy of its items."""
    parts = [orjson.dumps(head)[:-1], b',"items":[']
    for index, item in enumerate(items):
        parts += (b",", item) if index else (item,)
    return [*parts, b"]}\n"]
