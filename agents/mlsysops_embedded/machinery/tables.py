"""`meta.k8s.io/v1` Tables and PartialObjectMetadata, the forms in which `kubectl get` asks for objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from mlsysops_embedded.machinery.cells import age
from mlsysops_embedded.machinery.printers import PRINTERS
from mlsysops_embedded.machinery.resources import Column, ResourceInfo

__all__ = ["json_path", "partial", "table"]

Obj = dict[str, Any]
_NAME: Final = Column("Name", "string", ".metadata.name", 0, "name", "Name must be unique within a namespace.")
_AGE: Final = Column(
    "Age", "date", ".metadata.creationTimestamp", description="CreationTimestamp is a timestamp of the server time."
)
_STEP: Final = re.compile(
    r"\.([\w$-]+(?:\\\.[\w$/-]+)*)|\[(\d+|\*)\]|\['([^']+)'\]|\[\"([^\"]+)\"\]|\[\?\(@\.([\w.]+)\s*==\s*['\"]([^'\"]*)['\"]\)\]"
)


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[tuple[str, str, str], ...] | None:
    steps = []
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        name, index, quoted, quoted2, key, value = match.groups()
        if index is not None:
            steps.append(("index", index, ""))
        elif key is not None:
            steps.append(("filter", key, value))
        else:
            steps.append(("field", (name or quoted or quoted2).replace("\\.", "."), ""))
        position = match.end()
    return tuple(steps)


def json_path(obj: Any, path: str) -> list[Any]:
    """Values at a simple JSONPath: fields, indices, wildcards and equality filters."""
    steps = _steps(path)
    if steps is None:
        return []
    values = [obj]
    for kind, first, second in steps:
        found: list[Any] = []
        for value in values:
            if kind == "field":
                if isinstance(value, Mapping) and first in value:
                    found.append(value[first])
            elif isinstance(value, list):
                if kind == "filter":
                    found += [item for item in value if str(_dig(item, first)) == second]
                elif first == "*":
                    found += value
                elif int(first) < len(value):
                    found.append(value[int(first)])
        values = found
    return [value for value in values if value is not None]


def _dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "true" if value is True else "false" if value is False else value


def _custom_cell(obj: Obj, column: Column) -> Any:
    values = json_path(obj, column.path)
    if not values:
        return None if column.type != "string" else ""
    value = values[0]  # Kubernetes prints the first of several, and lists and maps as JSON
    if column.type == "date":
        return age(str(value))
    if column.type == "integer":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if column.type in ("number", "boolean"):
        return value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def columns_of(info: ResourceInfo) -> tuple[Column, ...]:
    """Columns of a resource: its own, or name and age."""
    if info.bucket in PRINTERS:
        return info.columns
    return (_NAME, *info.columns) if info.columns else (_NAME, _AGE)


def partial(obj: Obj, *, kind: bool = True) -> Obj:
    """PartialObjectMetadata of an object."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"} if kind else {}
    return {**head, "metadata": obj["metadata"]}


def table(info: ResourceInfo, objects: Iterable[Obj], metadata: Obj, include: str, *, heads: bool = True) -> Obj:
    """A Table of objects.

    Args:
        info: Resource.
        objects: Rows.
        metadata: List metadata.
        include: ``None``, ``Metadata`` (the default) or ``Object``: what every row carries.
        heads: Whether columns are defined (in a watch, by the first event only).
    """
    columns = columns_of(info)
    printer = PRINTERS.get(info.bucket)
    rows = []
    for obj in objects:
        cells = printer(obj) if printer else [_custom_cell(obj, column) for column in columns]
        row: Obj = {"cells": cells}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    definitions = [
        {
            "name": c.name,
            "type": "string" if c.type == "date" and printer else c.type,
            "format": c.format,
            "description": c.description,
            "priority": c.priority,
        }
        for c in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions if heads else [],
        "rows": rows,
    }
