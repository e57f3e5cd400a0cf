"""Sets of field paths in the FieldsV1 form, and the three things to do with them along a schema.

A set is kept as its JSON: ``{"f:spec": {"f:replicas": {}}}``. A node is a member if it is empty or holds ``"."``; the root
never is. Source: sigs.k8s.io/structured-merge-diff v4 `fieldpath` and `typed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

__all__ = [
    "compare",
    "difference",
    "duplicate",
    "element",
    "full_set",
    "intersection",
    "merge",
    "of_value",
    "paths",
    "remove",
    "union",
    "valid",
]

Set = dict[str, Any]
Schema = Mapping[str, Any]
_EMPTY: Final[Schema] = {}


class _Several(list[Any]):
    """Items of one list that share a key, as updates may leave them: they are one value, whole."""


def _member(node: Set) -> bool:
    return not node or "." in node


def _build(children: Set, member: bool) -> Set | None:
    if not children:
        return {} if member else None
    return {".": {}, **children} if member else children


def _union_node(a: Set, b: Set) -> Set:
    children = {k: v for k, v in a.items() if k != "."}
    for key, sub in b.items():
        if key != ".":
            children[key] = _union_node(children[key], sub) if key in children else sub
    return _build(children, _member(a) or _member(b)) or {}


def union(a: Set, b: Set) -> Set:
    """Paths in either."""
    result = dict(a)
    for key, sub in b.items():
        result[key] = _union_node(result[key], sub) if key in result else sub
    return result


def _difference_node(a: Set, b: Set) -> Set | None:
    return _build(difference({k: v for k, v in a.items() if k != "."}, b), _member(a) and not _member(b))


def difference(a: Set, b: Set) -> Set:
    """Paths in `a` that are not in `b`."""
    result: Set = {}
    for key, sub in a.items():
        if key == ".":
            continue
        if key not in b:
            result[key] = sub
        elif (node := _difference_node(sub, b[key])) is not None:
            result[key] = node
    return result


def intersection(a: Set, b: Set) -> Set:
    """Paths in both."""
    result: Set = {}
    for key, sub in a.items():
        if key != "." and key in b:
            other = b[key]
            node = _build(intersection(sub, other), _member(sub) and _member(other))
            if node is not None:
                result[key] = node
    return result


def paths(node: Set, prefix: str = "") -> Iterator[str]:
    """Members as messages name them, e.g. ``.spec.containers[name="a"].image``."""
    for key, sub in node.items():
        if key == ".":
            continue
        kind, _, rest = key.partition(":")
        if kind == "f":
            place = f"{prefix}.{rest}"
        elif kind == "k":
            place = (
                prefix + "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in orjson.loads(rest).items()) + "]"
            )
        else:
            place = f"{prefix}[={rest}]"
        if _member(sub):
            yield place
        yield from paths(sub, place)


def _child(schema: Schema, key: str) -> tuple[Schema, bool]:
    """Schema of a map's entry, and whether it is a named field (not a free key)."""
    properties = schema.get("properties")
    if properties and key in properties:
        return properties[key], True
    extra = schema.get("additionalProperties")
    return (extra if isinstance(extra, Mapping) else _EMPTY), False


def _granular_map(value: Any, schema: Schema) -> bool:
    return isinstance(value, dict) and schema.get("x-kubernetes-map-type") != "atomic"


def element(item: Any, schema: Schema) -> str:
    """Path element of an item of an associative list or set."""
    if schema.get("x-kubernetes-list-type") == "set":
        return "v:" + orjson.dumps(item).decode()
    properties = (schema.get("items") or _EMPTY).get("properties") or _EMPTY
    keys = {}
    for key in sorted(schema.get("x-kubernetes-list-map-keys") or ()):
        value = item.get(key, properties.get(key, _EMPTY).get("default")) if isinstance(item, dict) else None
        if value is not None:
            keys[key] = value
    return "k:" + orjson.dumps(keys).decode()


def _keyed(value: Any, schema: Schema) -> list[tuple[str, Any]] | None:
    """Path elements and items in order; None where the list is to be taken as a whole."""
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("map", "set") or not isinstance(value, list):
        return None
    if kind == "map" and not all(isinstance(item, dict) for item in value):
        return None
    return [(element(item, schema), item) for item in value]


def _elements(value: Any, schema: Schema) -> dict[str, Any] | None:
    """Items by path element; None where the list is to be taken as a whole."""
    keyed = _keyed(value, schema)
    if keyed is None:
        return None
    found: dict[str, Any] = {}
    for key, item in keyed:
        if key not in found:
            found[key] = item
        elif isinstance(found[key], _Several):
            found[key].append(item)
        else:
            found[key] = _Several((found[key], item))
    return found


def duplicate(value: Any, schema: Schema, prefix: str = "") -> str:
    """Where a list that goes by keys has one of them twice, as messages say it; empty where none has."""
    if _granular_map(value, schema):
        return next(
            (
                found
                for key, item in value.items()
                if (found := duplicate(item, _child(schema, key)[0], f"{prefix}.{key}"))
            ),
            "",
        )
    sub = schema.get("items") or _EMPTY
    for key, item in (_elements(value, schema) or {}).items():
        (place,) = paths({key: {}})
        if isinstance(item, _Several):
            return f"{prefix}: duplicate entries for key {place}"
        if found := duplicate(item, sub, f"{prefix}{place}"):
            return found
    return ""


def valid(node: Any) -> bool:
    """Whether this is a set in FieldsV1 form."""
    if not isinstance(node, dict):
        return False
    for key, sub in node.items():
        kind, _, rest = key.partition(":")
        if key == ".":
            if sub != {}:
                return False
            continue
        if kind not in ("f", "k", "v", "i") or not valid(sub):
            return False
        if kind in ("k", "v"):
            try:
                if not isinstance(orjson.loads(rest), dict) and kind == "k":
                    return False
            except ValueError:
                return False
    return True


def of_value(value: Any, schema: Schema) -> Set:
    """The paths that an applied configuration names."""
    if _granular_map(value, schema):
        result: Set = {}
        for key, item in value.items():
            sub, named = _child(schema, key)
            node = of_value(item, sub)
            result[f"f:{key}"] = node if named or not node else {".": {}, **node}
        return result
    items = _elements(value, schema)
    if items:
        sub = schema.get("items") or _EMPTY
        kind = schema.get("x-kubernetes-list-type")
        whole = kind == "set"
        inner = {key: {} if whole or isinstance(item, _Several) else of_value(item, sub) for key, item in items.items()}
        return {key: {".": {}, **node} if node else {} for key, node in inner.items()}
    return {}


def full_set(value: Any, schema: Schema) -> Set:
    """All paths of a value, inner nodes included."""
    if _granular_map(value, schema):
        children = {f"f:{key}": full_set(item, _child(schema, key)[0]) for key, item in value.items()}
        return {".": {}, **children} if children else {}
    items = _elements(value, schema)
    if items:
        if schema.get("x-kubernetes-list-type") == "set":
            return {".": {}, **{key: {} for key in items}}
        sub = schema.get("items") or _EMPTY
        return {".": {}, **{key: full_set(item, sub) for key, item in items.items()}}
    return {}


def compare(old: Any, new: Any, schema: Schema) -> tuple[Set, Set]:
    """What differs: (paths added or modified, paths removed); both empty where nothing does."""
    changed: Set = {}
    removed: Set = {}
    if _granular_map(old, schema) and isinstance(new, dict):
        _compare_maps(
            {f"f:{k}": v for k, v in old.items()},
            {f"f:{k}": v for k, v in new.items()},
            lambda key: _child(schema, key[2:])[0],
            changed,
            removed,
        )
    else:
        before, after = _elements(old, schema), _elements(new, schema)
        if before is not None and after is not None:
            sub = schema.get("items") or _EMPTY
            _compare_maps(before, after, lambda _: sub, changed, removed)
    return changed, removed


def _compare_maps(old: dict[str, Any], new: dict[str, Any], schema_of: Any, changed: Set, removed: Set) -> None:
    for key, value in new.items():
        if key not in old:
            changed[key] = full_set(value, schema_of(key))
            continue
        before = old[key]
        if before == value:
            continue
        sub = schema_of(key)
        granular = (_granular_map(before, sub) and isinstance(value, dict)) or (
            _elements(before, sub) is not None and _elements(value, sub) is not None
        )
        if not granular or isinstance(before, _Several) or isinstance(value, _Several):
            changed[key] = {}
            continue
        more, less = compare(before, value, sub)
        if more:
            changed[key] = more
        if less:
            removed[key] = less
    for key, value in old.items():
        if key not in new:
            removed[key] = full_set(value, schema_of(key))


def merge(live: Any, config: Any, schema: Schema) -> Any:
    """A live value with an applied configuration laid over it; arguments stay as they are."""
    if _granular_map(live, schema) and isinstance(config, dict):
        result = dict(live)
        for key, value in config.items():
            result[key] = merge(live[key], value, _child(schema, key)[0]) if key in live else value
        return result
    before, after = _elements(live, schema), _elements(config, schema)
    if before is not None and after is not None:
        return _merge_lists(live, before, after, schema)
    return config


def _merge_lists(live: list[Any], before: dict[str, Any], after: dict[str, Any], schema: Schema) -> list[Any]:
    sub = schema.get("items") or _EMPTY
    result = []
    for key, item in _keyed(live, schema) or ():
        if key not in after:
            result.append(item)
        elif not isinstance(before[key], _Several):
            result.append(merge(item, after[key], sub))
        elif item is before[key][0]:  # one item takes the place of several
            result.append(after[key])
    return result + [item for key, item in after.items() if key not in before]


def remove(value: Any, gone: Set, kept: Set, schema: Schema) -> Any:
    """A value without the paths `gone`; what holds a path of `kept` stays, with what is left in it."""
    if isinstance(value, dict):
        result = dict(value)
        for key in value:
            node = gone.get(f"f:{key}")
            if node is None:
                continue
            others = kept.get(f"f:{key}")
            if _member(node) and others is None:
                del result[key]
                continue
            left = remove(value[key], node, others or {}, _child(schema, key)[0])
            if left in ({}, []) and others is None and value[key]:
                del result[key]
            else:
                result[key] = left
        return result
    items = _elements(value, schema)
    if items is None:
        return value
    keys: Set = {f"f:{key}": {} for key in schema.get("x-kubernetes-list-map-keys") or ()}
    sub = schema.get("items") or _EMPTY
    kept_items = []
    for key, item in _keyed(value, schema) or ():
        node, others = gone.get(key), kept.get(key)
        if node is not None and _member(node) and others is None:
            continue
        whole = node is None or isinstance(items[key], _Several)
        kept_items.append(item if whole else remove(item, node or {}, {**keys, **(others or {})}, sub))
    return kept_items
