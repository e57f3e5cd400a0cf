"""JSON schemas with which editors complete and check descriptions while they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_core.model.export.structural import inline
from mlsysops_core.model.kinds import API_VERSION, Kind

__all__ = ["editor_schema"]


def editor_schema(kind: Kind) -> dict[str, Any]:
    """Makes the JSON schema (2020-12) of a kind's files: the wrapped form, or a Kubernetes manifest."""
    fields = _strict(inline(kind.model))
    in_manifest = {
        **fields,
        "required": [name for name in fields["required"] if name != kind.name_field],
    }
    manifest = {
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.kind},
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "spec": {"$ref": "#/$defs/manifest"},
            "status": {"type": "object"},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
    }
    wrapped = {
        "type": "object",
        "properties": {kind.kind: {"$ref": "#/$defs/description"}},
        "required": [kind.kind],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.kind,
        "description": fields.get("description", ""),
        "anyOf": [wrapped, manifest],
        "$defs": {"description": fields, "manifest": in_manifest},
    }


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        out["type"] = ["number", "string"]
    elif out.get("type") == "number":
        # Files may give a unit (1.4GHz, 16Gi), which loading converts; plain numbers everywhere else.
        out["type"] = ["number", "string"] if "minimum" in out and _has_unit(out) else "number"
    if "properties" in out:
        out["properties"] = {name: _strict(value) for name, value in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), Mapping):
            out[key] = _strict(out[key])
    return out


def _has_unit(schema: Mapping[str, Any]) -> bool:
    return any(unit in str(schema.get("description", "")) for unit in ("(Hz)", "(GHz)", "(GB)"))
