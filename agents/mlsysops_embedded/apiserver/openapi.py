"""OpenAPI: documents of version 3, one a group version, for explain, apply and field validation; and of version 2."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver import openapi_v2
from mlsysops_embedded.apiserver.http import Request, respond
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import Catalog, ResourceInfo
from mlsysops_embedded.release import GIT_VERSION
from mlsysops_embedded.validation.builtin import META

__all__ = ["OpenApi"]

Obj = dict[str, Any]
_META_NAME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PRIVATE: Final = ("x-go", "x-name", "x-quantity")
_WRITE_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation")


def _reversed(group: str) -> str:
    return ".".join(reversed(group.split(".")))


class _Document:
    """Builds one document; nested built-in types become references."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.schemas: Obj = {}

    def name(self, type_name: str) -> str:
        return _META_NAME if type_name == "ObjectMeta" else f"{self.prefix}.{type_name}"

    def convert(self, schema: Mapping[str, Any], *, top: bool = False) -> Obj:
        name = schema.get("x-name")
        if name and not top:
            full = self.name(name)
            if full not in self.schemas:
                self.schemas[full] = {}
                self.schemas[full] = self.convert(schema, top=True)
            extra = {key: schema[key] for key in ("default", "description") if key in schema}
            return {"allOf": [{"$ref": f"#/components/schemas/{full}"}], **extra}
        result = {key: value for key, value in schema.items() if key not in _PRIVATE}
        if "x-quantity" in schema or schema.get("format") == "int-or-string":
            result = {"oneOf": [{"type": "string"}, {"type": "number" if "x-quantity" in schema else "integer"}]}
        if "properties" in result:
            result["properties"] = {key: self.convert(value) for key, value in result["properties"].items()}
        for key in ("items", "additionalProperties"):
            if isinstance(result.get(key), Mapping):
                result[key] = self.convert(result[key])
        return result


def _parameters(names: tuple[str, ...]) -> list[Obj]:
    return [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]


def _operation(action: str, gvk: Obj, schema: str, parameters: tuple[str, ...] = ()) -> Obj:
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    operation: Obj = {
        "operationId": f"{action}{gvk['kind']}",
        "parameters": _parameters(parameters),
        "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"application/json": reference}}
    return operation


class OpenApi:
    """Serves documents, built when first asked for and kept while the catalogue stays."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._built: dict[str, bytes] = {}
        self._generation = -1

    async def serve(self, request: Request, path: str) -> int:
        """Answers a path below /openapi.

        Raises:
            ApiError: 404, 406.
        """
        if self._generation != self._catalog.generation:
            self._built, self._generation = {}, self._catalog.generation
        if path == "/openapi/v3":
            await respond(request, 200, orjson.dumps({"paths": self._index()}))
            return 200
        if path == "/openapi/v2":
            await self._serve_v2(request)
            return 200
        if not path.startswith("/openapi/v3/"):
            raise ApiError.unknown_resource()
        data = self._document(path.removeprefix("/openapi/v3/"))
        headers = [(b"etag", f'"{_digest(data)}"'.encode())]
        await respond(request, 200, data, headers=headers)
        await asyncio.sleep(0)
        return 200

    async def _serve_v2(self, request: Request) -> None:
        for name, _ in request.accepts():
            if name.startswith(openapi_v2.PROTOBUF):
                # Always so: the older way to write the version, with @, is no media type to those who ask for it.
                media = f"{openapi_v2.PROTOBUF}.v1.0+protobuf"
                await respond(request, 200, self._v2(protobuf=True), content_type=media)
                return
            if name in ("application/json", "*/*"):
                await respond(request, 200, self._v2(protobuf=False))
                return
        raise ApiError.not_acceptable("application/json")

    def _names(self) -> dict[str, list[ResourceInfo]]:
        found: dict[str, list[ResourceInfo]] = {}
        for info in self._catalog:
            found.setdefault(f"apis/{info.group}/{info.version}" if info.group else f"api/{info.version}", []).append(
                info
            )
        return found

    def _index(self) -> Obj:
        # The hash names the content's generation, so that clients may keep a document for good.
        index = {}
        for name, infos in self._names().items():
            mark = hashlib.sha256()
            for info in infos:
                mark.update(f"{info.plural}{info.kind}{sorted(info.subresources)}{info.namespaced}".encode())
                if info.custom:
                    mark.update(orjson.dumps(info.schema))
            index[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={mark.hexdigest().upper()[:32]}"}
        return index

    def _document(self, name: str) -> bytes:
        if name not in self._built:
            infos = self._names().get(name)
            if infos is None:
                raise ApiError.unknown_resource()
            self._built[name] = orjson.dumps(self._build(infos))
        return self._built[name]

    def _build(self, infos: list[ResourceInfo]) -> Obj:
        first = infos[0]
        group = _reversed(first.group) if first.custom else f"io.k8s.api.{(first.group or 'core').split('.')[0]}"
        document = _Document(f"{group}.{first.version}")
        paths: Obj = {}
        for info in infos:
            gvk = {"group": info.group, "version": info.version, "kind": info.kind}
            schema = document.convert(_rooted(info), top=True)
            schema["x-kubernetes-group-version-kind"] = [gvk]
            full = document.name(info.kind)
            document.schemas[full] = schema
            items = {"type": "array", "items": {"$ref": f"#/components/schemas/{full}"}}
            listed = {**gvk, "kind": info.list_kind}
            document.schemas[f"{document.prefix}.{info.list_kind}"] = {
                "type": "object",
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "items": items,
                },
                "x-kubernetes-group-version-kind": [listed],
            }
            paths.update(self._paths(info, gvk, full))
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": GIT_VERSION},
            "paths": paths,
            "components": {"schemas": document.schemas},
        }

    @staticmethod
    def _paths(info: ResourceInfo, gvk: Obj, schema: str) -> Obj:
        base = f"/apis/{info.group}/{info.version}" if info.group else f"/api/{info.version}"
        collection = f"{base}/namespaces/{{namespace}}/{info.plural}" if info.namespaced else f"{base}/{info.plural}"
        one = f"{collection}/{{name}}"
        paths: Obj = {collection: {"post": _operation("post", gvk, schema, _WRITE_PARAMETERS)}}
        if info.verbs == ("create",):
            return paths
        paths[collection]["get"] = _operation("list", gvk, schema)
        for name in ("", *(s for s in ("status", "scale", "resize") if s in info.subresources)):
            kind = gvk if name != "scale" else {"group": "autoscaling", "version": "v1", "kind": "Scale"}
            paths[f"{one}/{name}".rstrip("/")] = {
                "get": _operation("get", kind, schema),
                "put": _operation("put", kind, schema, _WRITE_PARAMETERS),
                "patch": _operation("patch", kind, schema, (*_WRITE_PARAMETERS, "force")),
            }
        paths[one]["delete"] = _operation("delete", gvk, schema, ("dryRun", "gracePeriodSeconds", "propagationPolicy"))
        return paths

    def _v2(self, *, protobuf: bool) -> bytes:
        key = "v2 protobuf" if protobuf else "v2"
        if key not in self._built:
            documents = [orjson.loads(self._document(name)) for name in self._names()]
            found = openapi_v2.document(GIT_VERSION, documents)
            self._built[key] = openapi_v2.as_protobuf(found) if protobuf else openapi_v2.as_json(found)
        return self._built[key]


def _rooted(info: ResourceInfo) -> Obj:
    if not info.custom:
        return info.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {
        "apiVersion": {
            "type": "string",
            "description": "APIVersion defines the versioned schema of this representation of an object.",
        },
        "kind": {
            "type": "string",
            "description": "Kind is a string value representing the REST resource this object represents.",
        },
        **(info.schema.get("properties") or {}),
        "metadata": {**META, "description": "Standard object's metadata."},
    }
    return {**info.schema, "type": "object", "properties": properties}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32].upper()
