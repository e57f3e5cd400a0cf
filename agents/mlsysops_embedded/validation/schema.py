"""Structural schemas (OpenAPI v3 with Kubernetes extensions): prune, default, validate.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ and the message
forms of kube-openapi `pkg/validation/errors` as apiextensions reports them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
import re2

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.validation.formats import format_ok

__all__ = ["compile_pattern", "default", "drop_nulls", "json_text", "prune", "type_name", "validate"]

Schema = Mapping[str, Any]
_ROOT: Final = frozenset(("apiVersion", "kind", "metadata"))


def json_text(value: Any) -> str:
    """A value as messages show it."""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, orjson.JSONEncodeError):
        return repr(value)


def type_name(value: Any) -> str:
    """JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


@lru_cache(maxsize=2048)
def compile_pattern(pattern: str) -> Any:
    """A pattern of a schema, by the engine that Kubernetes has: its time is linear in the text.

    Raises:
        ValueError: It is no regular expression.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        raise ValueError(str(exc)) from exc


def drop_nulls(value: Any) -> Any:
    """Removes nulls in maps, which Go's decoding of built-in types does not see."""
    if isinstance(value, dict):
        for key in [k for k, v in value.items() if v is None]:
            del value[key]
        for item in value.values():
            drop_nulls(item)
    elif isinstance(value, list):
        for item in value:
            drop_nulls(item)
    return value


def prune(
    value: Any, schema: Schema, path: str = "", unknown: list[str] | None = None, *, root: bool = True
) -> list[str]:
    """Removes in place what the schema does not name; returns the dotted paths removed."""
    found: list[str] = [] if unknown is None else unknown
    if isinstance(value, dict):
        properties = schema.get("properties")
        extra = schema.get("additionalProperties")
        keep = (
            schema.get("x-kubernetes-preserve-unknown-fields")
            or extra is True
            or (properties is None and extra is None and schema.get("type") != "object" and "x-closed" not in schema)
        )
        embedded = root or schema.get("x-kubernetes-embedded-resource")
        for key in list(value):
            place = f"{path}.{key}" if path else key
            if embedded and key in _ROOT and "properties" not in (properties or {}).get(key, {}):
                continue  # a CRD says `metadata: {type: object}`, and may not say more: the server's own schema holds
            if properties is not None and key in properties:
                prune(value[key], properties[key], place, found, root=False)
            elif isinstance(extra, Mapping):
                prune(value[key], extra, place, found, root=False)
            elif not keep:
                del value[key]
                found.append(place)
    elif isinstance(value, list):
        items = schema.get("items")
        if items:
            for index, item in enumerate(value):
                prune(item, items, f"{path}[{index}]", found, root=False)
    return found


def default(value: Any, schema: Schema) -> None:
    """Fills in defaults in place, and drops the nulls of fields that neither may be null nor have a default.

    Source: apiextensions-apiserver `pkg/apiserver/schema/defaulting/{algorithm,prune}.go`.
    """
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for key, sub in properties.items():
            if "default" in sub and (key not in value or (value[key] is None and not sub.get("nullable"))):
                value[key] = copy.deepcopy(sub["default"])
        extra = schema.get("additionalProperties")
        for key in list(value):
            child = properties.get(key, extra if isinstance(extra, Mapping) else None)
            if child is None:
                continue
            if value[key] is None and not child.get("nullable"):
                del value[key]
            else:
                default(value[key], child)
    elif isinstance(value, list):
        items = schema.get("items")
        if items:
            for item in value:
                default(item, items)


def _invalid(path: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", path, f"Invalid value: {json_text(value)}: {why}")


def _type_ok(value: Any, schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    kind = schema.get("type")
    if not kind:
        return True
    actual = type_name(value)
    if kind == "number":
        return actual in ("integer", "number")
    if kind == "integer" and actual == "number":
        return bool(value == int(value)) and "x-go" not in schema  # whose decoder takes no fraction at all
    return bool(actual == kind)


def validate(value: Any, schema: Schema, path: str = "", *, limit: int = 50) -> list[Cause]:
    """Faults of a value, at most `limit`."""
    causes: list[Cause] = []
    _validate(value, schema, path, causes)
    return causes[:limit]


def _validate(value: Any, schema: Schema, path: str, causes: list[Cause]) -> None:
    if value is None and (schema.get("nullable") or not schema.get("type")):
        return
    if not _type_ok(value, schema):
        kind = schema.get("type") or "integer or string"
        name = type_name(value)
        causes.append(
            Cause(
                "FieldValueTypeInvalid",
                path,
                f'Invalid value: "{name}": {path} in body must be of type {kind}: "{name}"',
            )
        )
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json_text(item) for item in schema["enum"])
        causes.append(
            Cause(
                "FieldValueNotSupported", path, f"Unsupported value: {json_text(value)}: supported values: {supported}"
            )
        )
    if isinstance(value, dict):
        _validate_object(value, schema, path, causes)
    elif isinstance(value, list):
        _validate_array(value, schema, path, causes)
    elif isinstance(value, str):
        _validate_string(value, schema, path, causes)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _validate_number(value, schema, path, causes)
    _validate_combined(value, schema, path, causes)


def _validate_object(value: dict[str, Any], schema: Schema, path: str, causes: list[Cause]) -> None:
    properties = schema.get("properties") or {}
    missing = [name for name in schema.get("required") or () if name not in value]
    causes += [Cause("FieldValueRequired", f"{path}.{name}" if path else name, "Required value") for name in missing]
    extra = schema.get("additionalProperties")
    for key, item in value.items():
        sub = properties.get(key)
        if sub is None and isinstance(extra, Mapping):
            sub = extra
        if sub:
            _validate(item, sub, f"{path}.{key}" if path else key, causes)
    count = len(value)
    if "maxProperties" in schema and count > schema["maxProperties"]:
        causes.append(
            Cause("FieldValueTooMany", path, f"Too many: {count}: must have at most {schema['maxProperties']} items")
        )
    if "minProperties" in schema and count < schema["minProperties"]:
        causes.append(
            _invalid(path, count, f"{path} in body should have at least {schema['minProperties']} properties")
        )


def _validate_array(value: list[Any], schema: Schema, path: str, causes: list[Cause]) -> None:
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        causes.append(
            Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
        )
    if "minItems" in schema and len(value) < schema["minItems"]:
        causes.append(_invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items"))
    items = schema.get("items") or {}
    for index, item in enumerate(value):
        _validate(item, items, f"{path}[{index}]", causes)
    kind = schema.get("x-kubernetes-list-type")
    if kind in ("map", "set"):
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            if kind == "map" and not isinstance(item, dict):
                continue
            identity = {key: item.get(key) for key in keys} if kind == "map" else item
            mark = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
            if mark in seen:
                causes.append(
                    Cause("FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {json_text(identity)}")
                )
            seen.add(mark)


def _validate_string(value: str, schema: Schema, path: str, causes: list[Cause]) -> None:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        causes.append(Cause("FieldValueTooLong", path, f"Too long: may not be more than {schema['maxLength']} bytes"))
    if "minLength" in schema and len(value) < schema["minLength"]:
        causes.append(_invalid(path, value, f"{path} in body should be at least {schema['minLength']} chars long"))
    if "pattern" in schema and not compile_pattern(schema["pattern"]).search(value):
        causes.append(_invalid(path, value, f"{path} in body should match '{schema['pattern']}'"))
    form = schema.get("format")
    if form and not format_ok(value, form):
        shown = json_text(value)
        text = f"Invalid value: {shown}: {path} in body must be of type {form}: {shown}"
        causes.append(Cause("FieldValueTypeInvalid", path, text))


def _validate_number(value: float, schema: Schema, path: str, causes: list[Cause]) -> None:
    if "maximum" in schema:
        strict = schema.get("exclusiveMaximum")
        if value > schema["maximum"] or (strict and value == schema["maximum"]):
            causes.append(
                _invalid(
                    path,
                    value,
                    f"{path} in body should be less than {'' if strict else 'or equal to '}{schema['maximum']}",
                )
            )
    if "minimum" in schema:
        strict = schema.get("exclusiveMinimum")
        if value < schema["minimum"] or (strict and value == schema["minimum"]):
            causes.append(
                _invalid(
                    path,
                    value,
                    f"{path} in body should be greater than {'' if strict else 'or equal to '}{schema['minimum']}",
                )
            )
    if schema.get("multipleOf"):
        ratio = value / schema["multipleOf"]
        if abs(ratio - round(ratio)) > 1e-9 * max(1.0, abs(ratio)):
            causes.append(_invalid(path, value, f"{path} in body should be a multiple of {schema['multipleOf']}"))
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""), 63 if schema.get("type") == "integer" else 0)
    # What is below the least integer was read as a float, which may have been rounded up to it.
    low = value > -(2**bits) if type(value) is float else value >= -(2**bits)
    if bits and not (low and value < 2**bits):
        causes.append(_invalid(path, value, f"{path} in body must be of type int{bits + 1}: {json_text(value)}"))


def _count(value: Any, schemas: Iterable[Schema], path: str) -> int:
    return sum(not validate(value, sub, path) for sub in schemas)


def _validate_combined(value: Any, schema: Schema, path: str, causes: list[Cause]) -> None:
    if "allOf" in schema:
        for sub in schema["allOf"]:
            _validate(value, sub, path, causes)
    shown = "" if isinstance(value, (dict, list)) else value
    if "anyOf" in schema and not _count(value, schema["anyOf"], path):
        causes.append(_invalid(path, shown, f"{path} in body must validate at least one schema (anyOf)"))
    if "oneOf" in schema and _count(value, schema["oneOf"], path) != 1:
        causes.append(_invalid(path, shown, f"{path} in body must validate one and only one schema (oneOf)"))
    if "not" in schema and not validate(value, schema["not"], path):
        causes.append(_invalid(path, shown, f"{path} in body must not validate the schema (not)"))
