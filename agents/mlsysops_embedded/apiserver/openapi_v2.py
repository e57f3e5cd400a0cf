"""OpenAPI version 2 of documents of version 3, as JSON and in the protobuf form that kubectl before 1.28 takes alone.

Messages: https://github.com/google/gnostic-models `openapiv2/OpenAPIv2.proto`; of an operation there is what clients look
for: its kind, and the names of its query parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

__all__ = ["PROTOBUF", "as_json", "as_protobuf", "document"]

Obj = dict[str, Any]
#: How the media types of the protobuf form begin; its version is written in two ways.
PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2"
_METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
_TEXTS: Final = {"$ref": 1, "format": 2, "description": 4, "pattern": 13}


def document(version: str, documents: Iterable[Mapping[str, Any]]) -> Obj:
    """All definitions and paths of documents of version 3."""
    definitions: Obj = {}
    paths: Obj = {}
    for one in documents:
        definitions.update({name: _lowered(schema) for name, schema in one["components"]["schemas"].items()})
        for path, item in one["paths"].items():
            paths[path] = {method: _operation(operation) for method, operation in item.items()}
    info = {"title": "Kubernetes", "version": version}
    return {"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions}


def _operation(operation: Mapping[str, Any]) -> Obj:
    kept = {key: value for key, value in operation.items() if key == "operationId" or key.startswith("x-")}
    names = [parameter["name"] for parameter in operation.get("parameters", ())]
    parameters = [{"name": name, "in": "query", "type": "string", "uniqueItems": True} for name in names]
    return {**kept, "parameters": parameters, "responses": {"200": {"description": "OK"}}}


def _lowered(value: Any) -> Any:
    """A schema in the words of version 2, which has no alternatives and keeps definitions elsewhere."""
    if isinstance(value, list):
        return [_lowered(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "oneOf" in value and "properties" not in value:
        return {"type": "string", "format": "int-or-string"}
    if "$ref" in value:
        return {"$ref": value["$ref"].replace("#/components/schemas/", "#/definitions/")}
    if value.get("allOf") and "$ref" in value["allOf"][0]:
        return {**_lowered(value["allOf"][0]), **{k: v for k, v in value.items() if k == "description"}}
    return {key: _lowered(item) for key, item in value.items()}


def as_json(found: Obj) -> bytes:
    """The document as JSON."""
    return orjson.dumps(found)


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _named(number: int, name: str, value: bytes) -> bytes:
    return _field(number, _field(1, name) + _field(2, value))


def _extensions(number: int, found: Mapping[str, Any]) -> bytes:
    return b"".join(
        _named(number, key, _field(2, orjson.dumps(value))) for key, value in found.items() if key.startswith("x-")
    )


def _schema(schema: Mapping[str, Any]) -> bytes:
    parts = [_field(number, schema[key]) for key, number in _TEXTS.items() if isinstance(schema.get(key), str)]
    parts += [_field(19, name) for name in schema.get("required") or ()]
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        parts.append(_field(21, _field(1, _schema(extra))))
    elif extra:
        parts.append(_field(21, _varint(2 << 3) + b"\x01"))
    if isinstance(schema.get("type"), str):
        parts.append(_field(22, _field(1, schema["type"])))
    if isinstance(schema.get("items"), Mapping):
        parts.append(_field(23, _field(1, _schema(schema["items"]))))
    if properties := schema.get("properties"):
        inner = b"".join(_named(1, name, _schema(value)) for name, value in properties.items())
        parts.append(_field(25, inner))
    return b"".join([*parts, _extensions(31, schema)])


def _method(operation: Mapping[str, Any]) -> bytes:
    parts = [_field(5, operation.get("operationId", ""))]
    for parameter in operation["parameters"]:
        query = _field(2, "query") + _field(4, parameter["name"]) + _field(6, "string")
        # ParametersItem > Parameter > NonBodyParameter > QueryParameterSubSchema
        parts.append(_field(8, _field(1, _field(2, _field(3, query)))))
    answer = _field(1, _field(1, "OK"))
    return b"".join([*parts, _field(9, _named(1, "200", answer)), _extensions(13, operation)])


def as_protobuf(found: Obj) -> bytes:
    """The document as a gnostic `openapi.v2.Document`."""
    info = _field(1, found["info"]["title"]) + _field(2, found["info"]["version"])
    paths = b"".join(
        _named(2, path, b"".join(_field(_METHODS[method], _method(op)) for method, op in item.items()))
        for path, item in found["paths"].items()
    )
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in found["definitions"].items())
    return _field(1, found["swagger"]) + _field(2, info) + _field(8, paths) + _field(9, definitions)
