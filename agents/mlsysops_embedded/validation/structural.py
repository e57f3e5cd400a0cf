"""Structural schemas: what a definition's schema may say, and where.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
and apiextensions-apiserver `pkg/apiserver/schema/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.validation import schema
from mlsysops_embedded.validation.causes import forbidden, invalid, required
from mlsysops_embedded.validation.schema import json_text

__all__ = ["structural"]

Obj = dict[str, Any]
_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean")
_FORBIDDEN: Final = (
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "writeOnly",
    "xml",
)
#: What stands beside alternatives, never inside them.
_OUTSIDE: Final = ("default", "description", "nullable", "title", "additionalProperties")


def structural(node: Any, path: str, *, depth: int = 0) -> Iterator[Cause]:
    """What keeps a schema from being structural; `depth` counts from the root."""
    if not isinstance(node, dict):
        yield Cause("FieldValueInvalid", path, f"Invalid value: {json_text(node)}: must be a schema")
        return
    for key in _FORBIDDEN:
        if key in node:
            yield Cause("FieldValueForbidden", f"{path}.{key}", f"Forbidden: {key} is not supported")
    kind = node.get("type")
    loose = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if kind is None and not loose:
        yield Cause(
            "FieldValueRequired",
            f"{path}.type",
            "Required value: must not be empty for specified object fields"
            if depth
            else "Required value: must not be empty at the root",
        )
    elif kind is not None and kind not in _TYPES:
        yield Cause(
            "FieldValueNotSupported",
            f"{path}.type",
            f"Unsupported value: {json_text(kind)}: supported values: {', '.join(json_text(t) for t in sorted(_TYPES))}",
        )
    if node.get("uniqueItems"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    if node.get("properties") and node.get("additionalProperties"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        )
    if kind == "array" and not isinstance(node.get("items"), dict):
        yield Cause("FieldValueRequired", f"{path}.items", "Required value: must be specified")
    if "pattern" in node:
        try:
            schema.compile_pattern(node["pattern"])
        except (ValueError, TypeError) as exc:
            yield Cause(
                "FieldValueInvalid",
                f"{path}.pattern",
                f"Invalid value: {json_text(node['pattern'])}: must be a valid regular expression: {exc}",
            )
    yield from _extensions(node, path, kind)
    if node.get("x-kubernetes-list-type") == "map" and not node.get("x-kubernetes-list-map-keys"):
        yield Cause(
            "FieldValueRequired",
            f"{path}.x-kubernetes-list-map-keys",
            "Required value: must not be empty if x-kubernetes-list-type is map",
        )
    for name, value in (("required", list), ("enum", list), ("properties", dict)):
        if name in node and not isinstance(node[name], value):
            yield Cause(
                "FieldValueInvalid",
                f"{path}.{name}",
                f"Invalid value: {json_text(node[name])}: must be a {'list' if value is list else 'map'}",
            )
            return
    yield from _keys(node, path)
    yield from _alternatives(node, path)
    for key, child in (node.get("properties") or {}).items():
        if depth == 0 and key == "metadata":
            yield from _metadata(child, f"{path}.properties[metadata]")
        if depth == 0 and key in ("apiVersion", "kind", "metadata"):
            continue
        yield from structural(child, f"{path}.properties[{key}]", depth=depth + 1)
    if isinstance(node.get("items"), dict):
        yield from structural(node["items"], f"{path}.items", depth=depth + 1)
    if isinstance(node.get("additionalProperties"), dict):
        yield from structural(node["additionalProperties"], f"{path}.additionalProperties", depth=depth + 1)
    if "default" in node:
        for cause in schema.validate(node["default"], node, "default"):
            yield Cause("FieldValueInvalid", f"{path}.{cause['field']}", cause["message"])


def _extensions(node: Obj, path: str, kind: Any) -> Iterator[Cause]:
    """What Kubernetes' own keywords ask of a schema."""
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    open_ended = node.get("x-kubernetes-preserve-unknown-fields") or node.get("properties")
    if node.get("x-kubernetes-embedded-resource") and not open_ended:
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield required(f"{path}.properties", why)
    if "x-kubernetes-map-type" in node and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object if x-kubernetes-map-type is specified")
    if "x-kubernetes-list-type" in node and kind != "array":
        yield invalid(f"{path}.type", kind, "must be array if x-kubernetes-list-type is specified")
    items = node.get("items")
    if node.get("x-kubernetes-list-type") == "set" and isinstance(items, dict):
        for name, keyword in (("object", "x-kubernetes-map-type"), ("array", "x-kubernetes-list-type")):
            if items.get("type") == name and items.get(keyword) != "atomic":
                why = "must be atomic as item of a list with x-kubernetes-list-type=set"
                yield invalid(f"{path}.items.{keyword}", items.get(keyword), why)


def _keys(node: Obj, path: str) -> Iterator[Cause]:
    """Every item of an associative list has its keys."""
    items = node.get("items")
    if node.get("x-kubernetes-list-type") != "map" or not isinstance(items, dict):
        return
    properties = items.get("properties")
    for index, key in enumerate(node.get("x-kubernetes-list-map-keys") or ()):
        found = properties.get(key) if isinstance(properties, dict) else None
        if not isinstance(found, dict):
            field = f"{path}.x-kubernetes-list-map-keys[{index}]"
            yield invalid(field, key, "must be the name of a property of the item")
        elif "default" not in found and key not in (items.get("required") or ()):
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{path}.items.properties[{key}].default", why)


def _metadata(node: Any, path: str) -> Iterator[Cause]:
    properties = node.get("properties") if isinstance(node, dict) else None
    if isinstance(properties, dict) and set(properties) - {"name", "generateName"}:
        yield forbidden(
            path, "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )


def _alternatives(node: Obj, path: str) -> Iterator[Cause]:
    """Alternatives only narrow what the schema around them says."""
    either = bool(node.get("x-kubernetes-int-or-string"))
    for name in ("allOf", "anyOf", "oneOf"):
        listed = node.get(name)
        for index, branch in enumerate(listed if isinstance(listed, list) else ()):
            yield from _narrowing(branch, f"{path}.{name}[{index}]", types=either)
    if "not" in node:
        yield from _narrowing(node["not"], f"{path}.not", types=either)


def _narrowing(node: Any, path: str, *, types: bool) -> Iterator[Cause]:
    if not isinstance(node, dict):
        yield invalid(path, node, "must be a schema")
        return
    for name in _OUTSIDE:
        if name in node:
            yield forbidden(f"{path}.{name}", "must be undefined to be structural")
    if "type" in node and not types:
        yield forbidden(f"{path}.type", "must be empty to be structural")
    inner = node.get("properties")
    for key, child in (inner if isinstance(inner, dict) else {}).items():
        yield from _narrowing(child, f"{path}.properties[{key}]", types=False)
    if isinstance(node.get("items"), dict):
        yield from _narrowing(node["items"], f"{path}.items", types=False)
    for name in ("allOf", "anyOf", "oneOf"):
        listed = node.get(name)
        for index, branch in enumerate(listed if isinstance(listed, list) else ()):
            yield from _narrowing(branch, f"{path}.{name}[{index}]", types=types)
