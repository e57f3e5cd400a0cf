"""Makes structural schemas of the built-in type table."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from mlsysops_embedded.validation.builtin_types import ROOTS, TYPES

__all__ = ["DEFINITIONS", "META", "SCHEMAS"]

Schema = dict[str, Any]
_FIELD: Final = re.compile(r"(?P<name>\w+)(?P<required>!?)(?::(?P<type>.+?))?(?:(?<![<>])=(?P<default>[\"\d\[{t].*))?")
_SCALARS: Final[dict[str, Schema]] = {
    "": {"type": "string"},
    "bool": {"type": "boolean"},
    "num": {"type": "number"},
    # Finest unit of a quantity, as a power of ten.
    "q": {"x-kubernetes-int-or-string": True, "x-quantity": -9},
    "ios": {"x-kubernetes-int-or-string": True, "format": "int-or-string"},
    "time": {"type": "string", "format": "date-time"},
    "micro": {"type": "string", "format": "micro-time"},
    "bytes": {"type": "string", "format": "byte"},
    "any": {"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "lmap": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
    },
    "bmap": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
    "qmap": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True, "x-quantity": -3}},
}

#: Schemas by type name; types share the nested dictionaries.
DEFINITIONS: Final[dict[str, Schema]] = {}


def _scalar(text: str) -> Schema | None:
    if text in _SCALARS:
        return dict(_SCALARS[text])
    if text.startswith("("):
        return {"type": "string", "enum": text[1:-1].split("|")}
    if text == "int":
        return {"type": "integer", "format": "int64", "x-go": True}
    if match := re.fullmatch(r"int>=(\d+)", text):
        return {"type": "integer", "format": "int32", "x-go": True, "minimum": int(match[1])}
    if match := re.fullmatch(r"int(\d+)-(\d+)", text):
        return {"type": "integer", "format": "int32", "x-go": True, "minimum": int(match[1]), "maximum": int(match[2])}
    return None


def _type(text: str) -> Schema:
    if text.endswith("*"):
        return {**_type(text[:-1]), "x-kubernetes-map-type": "atomic"}
    if text == "[]":
        return {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"}
    if text == "[]~":
        return {
            "type": "array",
            "items": {"type": "string"},
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
        }
    if match := re.fullmatch(r"\[(\w+)\](?:@([\w,]+))?", text):
        schema: Schema = {"type": "array", "items": _type(match[1])}
        if match[2]:
            keys = match[2].split(",")
            schema |= {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": keys,
                "x-kubernetes-patch-merge-key": keys[0],
                "x-kubernetes-patch-strategy": "merge",
            }
        else:
            schema["x-kubernetes-list-type"] = "atomic"
        return schema
    return _scalar(text) or DEFINITIONS.setdefault(text, {})


def _compile() -> None:
    late: list[tuple[Schema, str, str, Any]] = []
    for line in TYPES.strip().splitlines():
        head, _, body = line.partition(":")
        name = head.rstrip("*")
        properties: dict[str, Schema] = {}
        required = []
        for token in body.split():
            match = _FIELD.fullmatch(token)
            if match is None:
                raise ValueError(token)
            schema = _type(match["type"] or "")
            if match["default"]:
                late.append((properties, match["name"], match["type"] or "", orjson.loads(match["default"])))
            properties[match["name"]] = schema
            if match["required"]:
                required.append(match["name"])
        definition = DEFINITIONS.setdefault(name, {})
        definition.update({"type": "object", "properties": properties, "x-name": name})
        if required:
            definition["required"] = required
        if head.endswith("*"):
            definition["x-kubernetes-map-type"] = "atomic"
    for owner, field, text, value in late:  # now that every type is known, a default may refer to any
        owner[field] = {**_type(text), "default": value}


def _roots() -> dict[tuple[str, str], Schema]:
    found: dict[tuple[str, str], Schema] = {}
    for api_version, kinds in ROOTS.items():
        for kind in kinds.split():
            name, _, source = kind.partition("=")
            definition = DEFINITIONS[source or name]
            definition["properties"] = {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": DEFINITIONS["ObjectMeta"],
                **definition["properties"],
            }
            found[api_version, name] = definition
    return found


_compile()
META: Final[Schema] = DEFINITIONS["ObjectMeta"]
#: Schemas of the built-in kinds by (apiVersion, kind).
SCHEMAS: Final[dict[tuple[str, str], Schema]] = _roots()
