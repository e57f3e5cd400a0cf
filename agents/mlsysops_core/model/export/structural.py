"""From pydantic's JSON schemas to the structural schemas of CustomResourceDefinitions.

What structural means: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
(every field has a type; no references, no unions but int-or-string; OpenAPI 3.0 keywords).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["inline", "structural_schema"]

_ORDER = (
    "description",
    "type",
    "anyOf",
    "x-kubernetes-int-or-string",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "required",
    "properties",
    "additionalProperties",
    "items",
)


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Makes the structural schema of a model."""
    return _structural(inline(model))


def inline(model: type[BaseModel]) -> dict[str, Any]:
    """Makes the JSON schema of a model, references and nullable unions resolved, titles and defaults left out."""
    schema = model.model_json_schema(by_alias=True)
    resolved: dict[str, Any] = _inline(schema, schema.get("$defs", {}))
    return resolved


def _inline(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    reference = out.pop("$ref", None)
    if reference is not None:
        # What stands beside a reference (a description) goes before what the reference says.
        out = {**definitions[reference.rsplit("/", 1)[1]], **out}
    options = [option for option in out.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del out["anyOf"]
        out = {**_inline(options[0], definitions), **out}
    for key in ("title", "default", "$defs"):
        if not isinstance(out.get(key), Mapping) or key == "$defs":
            out.pop(key, None)
    for key in ("properties", "$defs"):
        if key in out:
            out[key] = {name: _inline(value, definitions) for name, value in out[key].items()}
    for key in ("items", "additionalProperties", "anyOf"):
        if key in out:
            out[key] = _inline(out[key], definitions)
    return out


def _structural(schema: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(schema)
    if out.get("additionalProperties") in (True, False):
        if out["additionalProperties"] and "properties" not in out:
            out["x-kubernetes-preserve-unknown-fields"] = True
        del out["additionalProperties"]
    if out.get("x-kubernetes-int-or-string"):
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(out.get("exclusiveMinimum"), (int, float)):
        out["minimum"], out["exclusiveMinimum"] = out["exclusiveMinimum"], True
    if "properties" in out:
        out["properties"] = {name: _structural(value) for name, value in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = _structural(out[key])
    unknown = set(out) - set(_ORDER)
    if unknown:
        raise ValueError(f"no structural form of {sorted(unknown)} in {out}")
    return {key: out[key] for key in _ORDER if key in out}
