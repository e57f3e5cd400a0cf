"""Versions of one resource: the stored form, and the form that a client asks for.

Custom resources use conversion strategy None: only the apiVersion changes. Events live in core/v1 form and are also
served as events.k8s.io/v1 (field map: kubernetes `pkg/apis/core/v1/conversion` and `events/v1/types.go`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from mlsysops_embedded.machinery.resources import ResourceInfo

__all__ = ["from_stored", "to_stored"]

Obj = dict[str, Any]
_EVENT_FIELDS: Final = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def to_stored(info: ResourceInfo, obj: Obj) -> tuple[Obj, ResourceInfo]:
    """An object in the form that is stored, and the resource in that version."""
    if info.group == "events.k8s.io":
        renamed = {new: old for old, new in _EVENT_FIELDS}
        obj = {renamed.get(key, key): value for key, value in obj.items()}
        obj = {"reportingComponent": "", "reportingInstance": "", **obj}
        return obj, replace(info, group="", version="v1")
    group, _, version = info.stored.rpartition("/")
    return obj, info if info.stored == info.api_version else replace(info, group=group, version=version)


def from_stored(info: ResourceInfo, data: bytes) -> bytes:
    """Stored bytes in the version of `info`."""
    if info.stored == info.api_version:
        return data
    if info.group == "events.k8s.io":
        obj = orjson.loads(data)
        renamed = dict(_EVENT_FIELDS)
        obj = {renamed.get(key, key): value for key, value in obj.items()}
        for name in ("reportingController", "reportingInstance"):
            if not obj.get(name):
                obj.pop(name, None)
        obj["apiVersion"] = info.api_version
        return orjson.dumps(obj)
    prefix = b'{"apiVersion":"'
    end = data.index(b'"', len(prefix))
    return prefix + info.api_version.encode() + data[end:]
