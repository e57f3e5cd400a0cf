"""JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.

Strategic merge: Kubernetes `sig-api-machinery/strategic-merge-patch.md`; merge keys come from the schema
(`x-kubernetes-patch-merge-key`), as they do for clients that read them from OpenAPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery import meta

__all__ = ["json_patch", "merge_patch", "strategic_patch"]

Obj = dict[str, Any]
_GONE: Final = object()
_MAX_OPERATIONS: Final = 10_000
#: Bytes that the copies of one patch may add up to (apiserver `server/config.go`, JSONPatchMaxCopyBytes).
_MAX_COPIED: Final = 3 * 1024 * 1024


def merge_patch(target: Any, patch: Any) -> Any:
    """Applies a merge patch without changing its arguments."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _tokens(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _rejected(f"invalid JSON pointer: {pointer!r}")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _rejected(why: str) -> ApiError:
    return ApiError.of(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def _failed(operation: str, path: str, why: str) -> ApiError:
    return _rejected(f"{operation} operation does not apply: doc is missing path: {path}: {why}")


def _index(token: str, size: int, operation: str, path: str) -> int:
    if token.startswith("-") and token[1:].isdecimal() and 0 < int(token[1:]) <= size:
        return size - int(token[1:])  # from the end, as json-patch v4 counts
    if not token.isdecimal() or (len(token) > 1 and token[0] == "0") or int(token) >= size:
        raise _failed(operation, path, f"invalid index {token!r}")
    return int(token)


def _parent(doc: Any, tokens: list[str], operation: str, path: str) -> Any:
    for token in tokens[:-1]:
        if isinstance(doc, dict) and token in doc:
            doc = doc[token]
        elif isinstance(doc, list):
            doc = doc[_index(token, len(doc), operation, path)]
        else:
            raise _failed(operation, path, "missing value")
    if not isinstance(doc, (dict, list)):
        raise _failed(operation, path, "not a container")
    return doc


def _get(doc: Any, path: str, operation: str) -> Any:
    tokens = _tokens(path)
    if not tokens:
        return doc
    parent = _parent(doc, tokens, operation, path)
    if isinstance(parent, list):
        return parent[_index(tokens[-1], len(parent), operation, path)]
    if tokens[-1] not in parent:
        raise _failed(operation, path, "missing value")
    return parent[tokens[-1]]


def _add(doc: Any, path: str, value: Any, operation: str, *, replace: bool = False) -> Any:
    tokens = _tokens(path)
    if not tokens:
        raise _failed(operation, path, "the whole document cannot be replaced")
    parent = _parent(doc, tokens, operation, path)
    last = tokens[-1]
    if isinstance(parent, list):
        if replace:
            parent[_index(last, len(parent), operation, path)] = value
        elif last == "-":
            parent.append(value)
        else:
            parent.insert(_index(last, len(parent) + 1, operation, path), value)
    else:
        parent[last] = value
    return doc


def _remove(doc: Any, path: str, operation: str) -> Any:
    tokens = _tokens(path)
    if not tokens:
        raise _failed(operation, path, "cannot remove the whole document")
    parent = _parent(doc, tokens, operation, path)
    if isinstance(parent, list):
        del parent[_index(tokens[-1], len(parent), operation, path)]
    elif tokens[-1] in parent:
        del parent[tokens[-1]]
    else:
        raise _failed(operation, path, "Unable to remove nonexistent key")
    return doc


def _own(value: Any) -> Any:
    """A value that later operations may change."""
    return orjson.loads(orjson.dumps(value)) if isinstance(value, (dict, list)) else value


def json_patch(target: Any, patch: Any) -> Any:
    """Applies a JSON patch to a copy.

    Raises:
        ApiError: 400 where it is no list of operations, 413 where there are too many, 422 where one does not apply or
            what is copied is too large.
    """
    if not isinstance(patch, list) or not all(isinstance(item, dict) for item in patch):
        raise ApiError.bad_request("json patch must be an array of operations")
    if len(patch) > _MAX_OPERATIONS:
        raise ApiError.of(
            413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}"
        )
    doc = meta.clone(target)
    copied = 0
    for item in patch:
        op, path = item.get("op"), item.get("path")
        if op in ("add", "replace", "test") and "value" not in item:
            raise _rejected(f"json patch operation {op!r} needs a value")
        if op == "add":
            doc = _add(doc, path, _own(item["value"]), "add")
        elif op == "replace":
            # The key of an object need not be there, as json-patch v4 has it, which Kubernetes uses.
            doc = _add(doc, path, _own(item["value"]), "replace", replace=True)
        elif op == "remove":
            doc = _remove(doc, path, "remove")
        elif op == "move":
            value = _get(doc, item.get("from"), op)
            doc = _add(_remove(doc, item.get("from"), op), path, value, op)
        elif op == "copy":
            value = _get(doc, item.get("from"), op)
            meta.check_depth([value])
            data = orjson.dumps(value)
            copied += len(data)
            if copied > _MAX_COPIED:
                raise _rejected(f"the copies of the patch add up to more than {_MAX_COPIED} bytes")
            doc = _add(doc, path, orjson.loads(data), op)
        elif op == "test":
            try:
                same = _get(doc, path, "test") == item["value"]
            except ApiError:
                same = item["value"] is None
            if not same:
                raise _rejected(f"testing value {path} failed: test failed")
        else:
            raise _rejected(f"unexpected kind of json patch operation: {op!r}")
    meta.check_depth(doc)
    return doc


def _property(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    properties = schema.get("properties")
    if properties and key in properties:
        return properties[key]  # type: ignore[no-any-return]
    extra = schema.get("additionalProperties")
    return extra if isinstance(extra, dict) else {}


def strategic_patch(target: Any, patch: Any, schema: Mapping[str, Any]) -> Any:
    """Applies a strategic merge patch without changing its arguments.

    Raises:
        ApiError: 400 where a directive is malformed.
    """
    if not isinstance(patch, dict):
        return patch
    return _merge_map(target if isinstance(target, dict) else {}, patch, schema)


def _strip(value: Any) -> Any:
    """Drops directives and nulls from what a patch adds anew."""
    if isinstance(value, dict):
        return {k: _strip(v) for k, v in value.items() if v is not None and not k.startswith("$")}
    if isinstance(value, list):
        return [_strip(v) for v in value if not (isinstance(v, dict) and "$patch" in v)]
    return value


def _merge_map(target: Obj, patch: Obj, schema: Mapping[str, Any]) -> Obj:
    directive = patch.get("$patch")
    if directive == "replace":
        return _strip(patch)  # type: ignore[no-any-return]
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise ApiError.bad_request(f"unknown patch directive: {directive!r}")
    result = dict(target)
    retain = patch.get("$retainKeys")
    if isinstance(retain, list):
        result = {key: value for key, value in result.items() if key in retain}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            if isinstance(result.get(name), list) and isinstance(value, list):
                result[name] = [item for item in result[name] if item not in value]
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith(("$setElementOrder/", "$deleteFromPrimitiveList/")):
            continue
        sub = _property(schema, key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            if isinstance(current, dict):
                merged = _merge_map(current, value, sub)
                if value.get("$patch") == "delete":
                    result.pop(key, None)
                else:
                    result[key] = merged
            elif value.get("$patch") != "delete":
                result[key] = _strip(value)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{key}")
            result[key] = _merge_list(result.get(key), value, sub, order)
        else:
            result[key] = value
    for key, order in patch.items():
        name = key.partition("/")[2]
        if key.startswith("$setElementOrder/") and name not in patch and isinstance(result.get(name), list):
            result[name] = _merge_list(result[name], [], _property(schema, name), order)
    return result


def _merge_list(target: Any, patch: list[Any], schema: Mapping[str, Any], order: Any) -> list[Any]:
    current = list(target) if isinstance(target, list) else []
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if "merge" not in schema.get("x-kubernetes-patch-strategy", ""):
        return [_strip(item) for item in patch]
    if not merge_key:
        present = {_mark(item) for item in current}
        current += [item for item in patch if _mark(item) not in present]
        place = _places(order)
        return sorted(current, key=lambda item: place[_mark(item)]) if {*map(_mark, current)} <= {*place} else current
    items = schema.get("items") or {}
    if any(isinstance(item, dict) and item.get("$patch") == "replace" and merge_key not in item for item in patch):
        return [_strip(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    merged: list[Any] = current
    found: dict[str | bytes, int] = {}
    for index, old in enumerate(merged):
        if isinstance(old, dict):
            found.setdefault(_mark(old.get(merge_key)), index)
    for item in patch:
        if not isinstance(item, dict) or merge_key not in item:
            raise ApiError.bad_request(f"map: {item!r} does not contain declared merge key: {merge_key}")
        mark = _mark(item[merge_key])
        index = found.get(mark, -1)
        if item.get("$patch") == "delete":
            if index >= 0:
                merged[found.pop(mark)] = _GONE
        elif index < 0:
            found[mark] = len(merged)
            merged.append(_strip(item))
        else:
            merged[index] = _merge_map(merged[index], item, items)
    merged = [item for item in merged if item is not _GONE]
    if isinstance(order, list):
        place = _places([o.get(merge_key) for o in order if isinstance(o, dict)])
        merged.sort(key=lambda item: place.get(_mark(item.get(merge_key)), len(place)))
    return merged


def _mark(value: Any) -> str | bytes:
    """What equal values share, whatever they are: lists are long, and each item is looked up in them."""
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _places(order: Any) -> dict[str | bytes, int]:
    """Where each value stands first in an order; nowhere where that is none."""
    places: dict[str | bytes, int] = {}
    for index, value in enumerate(order if isinstance(order, list) else ()):
        places.setdefault(_mark(value), index)
    return places
