"""Field managers: who owns which field, server-side apply and its conflicts.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ and structured-merge-diff v4 `merge/update.go`.
"""

from __future__ import annotations

from typing import Any, Final

from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import fieldset, meta, shapes
from mlsysops_embedded.machinery.resources import ResourceInfo

__all__ = ["applied_entry", "apply", "finish_apply", "repeated", "same", "track"]

Obj = dict[str, Any]
#: Written by the server, so nobody's (apimachinery `managedfields/internal/stripmeta.go`).
_STRIP: Final[Obj] = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        **{
            f"f:{name}": {}
            for name in (
                "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
                "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
            )
        },
    },
}  # fmt: skip
_META: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
        },
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def _schema(info: ResourceInfo) -> Obj:
    properties = {**(info.schema.get("properties") or {}), "metadata": _META}
    for name in ("spec", "status", "data"):
        properties.setdefault(name, {})
    return {**info.schema, "properties": properties}


def _stripped(paths: Obj, info: ResourceInfo, subresource: str) -> Obj:
    paths = fieldset.difference(paths, _STRIP)
    if subresource == "status":
        return {key: value for key, value in paths.items() if key == "f:status"}
    if subresource == "resize":
        return _of_resize(paths)
    if "status" in info.subresources:
        paths.pop("f:status", None)
    return paths


def _of_resize(paths: Obj) -> Obj:
    """Those fields of a pod that its subresource resize is about (`pkg/registry/core/pod/strategy.go`, ResizeStrategy)."""
    groups: Obj = {}
    for group in ("f:containers", "f:initContainers"):
        containers = {
            key: kept
            for key, fields in paths.get("f:spec", {}).get(group, {}).items()
            if (kept := {name: fields[name] for name in ("f:resources", "f:resizePolicy") if name in fields})
        }
        if containers:
            groups[group] = containers
    return {"f:spec": groups} if groups else {}


def same(old: Obj, new: Obj) -> bool:
    """Whether an update changes nothing but times in its own bookkeeping."""
    if old == new:
        return True
    a, b = dict(old), dict(new)
    before, after = dict(a.pop("metadata")), dict(b.pop("metadata"))
    fields, others = before.pop("managedFields", None), after.pop("managedFields", None)
    if a != b or before != after:
        return False
    return [_timeless(e) for e in fields or ()] == [_timeless(e) for e in others or ()]


def _timeless(entry: Obj) -> Obj:
    return {key: value for key, value in entry.items() if key != "time"}


def _identity(entry: Obj) -> tuple[str, str, str]:
    return entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", "")


def _entry(manager: str, operation: str, info: ResourceInfo, subresource: str, paths: Obj) -> Obj:
    entry: Obj = {"manager": manager, "operation": operation, "apiVersion": info.api_version, "time": meta.now()}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": paths}
    if subresource:
        entry["subresource"] = subresource
    return entry


def _sorted(entries: list[Obj]) -> list[Obj]:
    """Applies first, then by time, as the server orders them."""
    return sorted(
        (entry for entry in entries if entry.get("fieldsV1")),
        key=lambda e: (
            e.get("operation") != "Apply",
            *(e.get(name, "") for name in ("time", "manager", "apiVersion", "subresource")),
        ),
    )


def _sound(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
        return False
    return entry.get("fieldsType", "FieldsV1") == "FieldsV1" and fieldset.valid(entry.get("fieldsV1", {}))


def _given(given: Any, old: Obj | None) -> list[Obj]:
    """The managedFields that a client sends, or the present ones where it sends none or such as nobody can read."""
    live = list((old or {}).get("metadata", {}).get("managedFields") or ())
    if not isinstance(given, list):
        return live
    if given in ([], [{}]):
        return []
    return list({_identity(entry): entry for entry in given}.values()) if all(map(_sound, given)) else live


def track(old: Obj | None, new: Obj, given: Any, info: ResourceInfo, manager: str, subresource: str) -> Obj:
    """Records what an update (or, with no old object, a create) changed; gives the new object with managedFields.

    Where nothing is recorded, because somebody wiped it, nothing is until the next apply
    (`managedfields/internal/skipnonapplied.go`).
    """
    entries = _given(given, old)
    if manager and (entries or old is None):
        before = old if old is not None else {} if info.custom else shapes.blank(info.api_version, info.kind)
        changed, removed = fieldset.compare(before, new, _schema(info))
        changed, removed = _stripped(changed, info, subresource), _stripped(removed, info, subresource)
        if changed or removed:
            own = (manager, "Update", subresource)
            touched = fieldset.union(changed, removed)
            result = []
            mine: Obj = {}
            for entry in entries:
                paths = entry.get("fieldsV1") or {}
                if _identity(entry) == own:
                    mine = fieldset.union(mine, fieldset.difference(paths, removed))
                else:
                    result.append({**entry, "fieldsV1": fieldset.difference(paths, touched)})
            mine = fieldset.union(mine, changed)
            entries = [*result, _entry(manager, "Update", info, subresource, mine)]
    metadata = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    if kept := _sorted(entries):
        metadata["managedFields"] = kept
    return {**new, "metadata": metadata}


def repeated(config: Obj, info: ResourceInfo) -> str:
    """Where an applied configuration names an item of a list twice; empty where it does not."""
    return fieldset.duplicate(config, _schema(info))


def applied_entry(config: Obj, info: ResourceInfo, manager: str, subresource: str = "") -> list[Obj]:
    """The managedFields of an object that an apply creates."""
    paths = _stripped(fieldset.of_value(config, _schema(info)), info, subresource)
    return [_entry(manager, "Apply", info, subresource, paths)]


def apply(
    live: Obj, config: Obj, info: ResourceInfo, manager: str, subresource: str, force: bool
) -> tuple[Obj, list[Obj]]:
    """Lays an applied configuration over the live object.

    Returns:
        The merged object, and its managedFields to be.

    Raises:
        ApiError: 409 with a cause a field that another manager owns with another value.
    """
    schema = _schema(info)
    config = {key: value for key, value in config.items() if key != "metadata"} | {"metadata": _applied_meta(config)}
    (mine,) = applied_entry(config, info, manager, subresource)
    own = (manager, "Apply", subresource)
    entries = list(live["metadata"].get("managedFields") or ())
    if not entries:
        # What was there before anybody applied belongs to somebody (managedfields/internal/skipnonapplied.go).
        fields = _stripped(fieldset.full_set(live, schema), info, subresource)
        entries = [_entry("before-first-apply", "Update", info, "", fields)]
    others = [entry for entry in entries if _identity(entry) != own]
    last: Obj = {}
    for entry in entries:
        if _identity(entry) == own:
            last = fieldset.union(last, entry.get("fieldsV1") or {})
    held: Obj = {}
    for entry in others:
        held = fieldset.union(held, entry.get("fieldsV1") or {})
    held = fieldset.union(held, mine["fieldsV1"])
    merged = fieldset.merge(live, config, schema)
    gone = fieldset.difference(last, held)
    if gone:
        merged = fieldset.remove(merged, gone, held, schema)
    changed, removed = fieldset.compare(live, merged, schema)
    changed, removed = _stripped(changed, info, subresource), _stripped(removed, info, subresource)
    causes: list[Cause] = []
    kept: list[Obj] = []
    for entry in others:
        paths = entry.get("fieldsV1") or {}
        if clash := fieldset.intersection(fieldset.intersection(changed, mine["fieldsV1"]), paths):
            causes += [Cause("FieldManagerConflict", path, _conflict(entry)) for path in fieldset.paths(clash)]
        kept.append({**entry, "fieldsV1": fieldset.difference(paths, fieldset.union(clash, removed))})
    if causes and not force:
        raise ApiError.apply_conflict(causes)
    merged["metadata"] = {key: value for key, value in merged["metadata"].items() if key != "managedFields"}
    return merged, _sorted([*kept, mine])


def _applied_meta(config: Obj) -> Obj:
    return {
        k: v for k, v in config["metadata"].items() if k not in ("managedFields", "creationTimestamp", "generation")
    }


def _conflict(entry: Obj) -> str:
    text = f'conflict with "{entry.get("manager", "")}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    if entry.get("operation") == "Update":
        text += f" using {entry.get('apiVersion', '')}"
        if entry.get("time"):
            text += f" at {entry['time']}"
    return text


def finish_apply(old: Obj, new: Obj, managers: list[Obj]) -> Obj:
    """Gives the final object its managedFields; an unchanged entry keeps its time."""
    before = {_identity(entry): entry for entry in old["metadata"].get("managedFields") or ()}
    entries = []
    for entry in managers:
        former = before.get(_identity(entry))
        entries.append(former if former is not None and _timeless(former) == _timeless(entry) else entry)
    metadata = {**new["metadata"]}
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries
    return {**new, "metadata": metadata}
