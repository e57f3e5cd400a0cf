"""The reference page of descriptions: a table for each object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlsysops_core.model.export.structural import inline
from mlsysops_core.model.kinds import KINDS, Kind

__all__ = ["reference_page"]

_INTRODUCTION = """# Descriptions

<!-- Generated from mlsysops_core.model by `python -m mlsysops_core.model.export`; edits here are lost. -->

Every description is written either wrapped (`MLSysOpsApp:` and its fields below) or as a Kubernetes manifest
(`apiVersion: mlsysops.eu/v1`, `kind`, `metadata`, and the fields under `spec`). Fields marked * are required. Letter case of allowed
values does not matter. Amounts may carry a unit (`1.4GHz`, `64Mi`, `120GB`); a plain number is in the unit of the table.
1 GB is 10^9 bytes.
"""
_UNIT = re.compile(r"\(([^()]*)\)\.?$|\((cores|bytes|Hz|GHz|GB|ms|Mbps|m|percent|degrees)\b")


def reference_page() -> str:
    """Writes the page as Markdown."""
    return "\n".join([_INTRODUCTION, *map(_section, KINDS.values())])


def _section(kind: Kind) -> str:
    schema = inline(kind.model)
    lines = [
        f"## {kind.kind}",
        "",
        f"{schema['description']} Resource `{kind.plural}`, short `{kind.short_names[0]}`. The object is called by `{kind.name_field}`.",
        "",
        "| field | type | unit | allowed | description |",
        "|---|---|---|---|---|",
        *_rows(schema, ""),
        "",
    ]
    return "\n".join(lines)


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        item, brackets = field, ""
        while item.get("type") == "array":
            item, brackets = item["items"], brackets + "[]"
        path = f"{prefix}{name}{brackets}"
        star = "*" if name in required else ""
        description = str(field.get("description", ""))
        yield f"| `{path}`{star} | {_type(field, item)} | {_unit(description)} | {_allowed(field, item)} | {_cell(description)} |"
        if "properties" in item:
            yield from _rows(item, f"{path}.")


def _type(field: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    if item.get("x-kubernetes-int-or-string"):
        name = "amount"
    elif "properties" in item:
        name = "mapping"
    else:
        name = {"string": "text", "integer": "whole number", "boolean": "true/false"}.get(item["type"], item["type"])
    return f"list of {name}" if field.get("type") == "array" else name


def _unit(description: str) -> str:
    match = _UNIT.search(description)
    text = next((group for group in match.groups() if group), "") if match else ""
    return text.split(",")[0] if text.split(",")[0] in _UNITS else ""


_UNITS = {"cores", "bytes", "Hz", "GHz", "GB", "ms", "Mbps", "m", "percent", "degrees", "BogoMIPS"}


def _allowed(field: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    parts = []
    if "enum" in item:
        parts.append(", ".join(f"`{word}`" for word in item["enum"]))
    low, high = item.get("minimum", item.get("exclusiveMinimum")), item.get("maximum")
    if low is not None and high is not None:
        parts.append(f"{'above ' if 'exclusiveMinimum' in item else ''}{low:g} to {high:g}")
    elif low is not None:
        parts.append(f"at least {low:g}")
    if "pattern" in item and not item.get("x-kubernetes-int-or-string"):
        parts.append(f"`{item['pattern']}`".replace("|", "\\|"))
    if field.get("minItems") or field.get("maxItems"):
        parts.append(f"{field.get('minItems', 0)} to {field['maxItems']} entries")
    elif item.get("maxLength") and "pattern" not in item:
        parts.append(f"at most {item['maxLength']} characters")
    return "; ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
