"""Makes what a client sends conform to the schema of its resource: unknown fields, types, defaults, values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import ApiError, Cause, UndecodableError
from mlsysops_embedded.machinery import meta, shapes
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import builtin, schema, semantics
from mlsysops_embedded.validation.quantities import quantity_faults

if TYPE_CHECKING:
    from mlsysops_embedded.machinery.call import Call

__all__ = ["decode", "validate"]

Obj = dict[str, Any]
_MAX_ANNOTATION_BYTES: Final = 256 * 1024
_MAX_MANAGER_BYTES: Final = 128
_OWNERS: Final = "metadata.ownerReferences["
_TYPE: Final = "FieldValueTypeInvalid"
_GO_FORMATS: Final = re.compile(r"must be of type (?:int32|int64|byte|date-time|micro-time): ")


def decode(call: Call, info: ResourceInfo, obj: Obj, *, default: bool = True, known: Collection[str] = ()) -> Obj:
    """Prunes, checks and defaults an object in place.

    Args:
        call: Says what to do about unknown fields, and gets the warnings.
        info: Resource.
        obj: The object.
        default: Whether it is whole; an applied configuration is not, so its gaps are neither filled nor faults.
        known: Fields that are as they are stored, and so in order.

    Raises:
        ApiError: 400 where a type is wrong or (Strict) a field unknown; 422 where a value is not allowed.
    """
    shape = info.schema
    if known:
        kept = {key: obj[key] for key in known}
        rest = {key: value for key, value in obj.items() if key not in kept}
        return {**_checked(call, info, rest, _without(shape, kept), default=default, known=known), **kept}
    return _checked(call, info, obj, shape, default=default)


def _without(shape: Obj, fields: Collection[str]) -> Obj:
    """A schema for an object without some of its fields."""
    result = {**shape, "properties": {k: v for k, v in (shape.get("properties") or {}).items() if k not in fields}}
    if "required" in shape:
        result["required"] = [name for name in shape["required"] if name not in fields]
    return result


def _checked(
    call: Call, info: ResourceInfo, obj: Obj, shape: Obj, *, default: bool, known: Collection[str] = ()
) -> Obj:
    if not info.custom:
        if default:
            shapes.tidy(info.api_version, info.kind, obj)
            for name in known:  # which are not missing, so not to be filled in
                obj.pop(name, None)
            schema.drop_nulls(obj)
    elif isinstance(obj.get("metadata"), dict):
        schema.drop_nulls(obj["metadata"])
    unknown = schema.prune(obj, shape)
    if isinstance(obj.get("metadata"), dict) and info.custom:
        unknown += schema.prune(obj["metadata"], builtin.META, "metadata", root=False)
    if unknown and not default:
        text = "; ".join(f".{path}: field not declared in schema" for path in unknown)
        raise ApiError.bad_request(f"failed to create typed patch object ({_name(obj)}; {info.kind}): {text}")
    if unknown and call.validation == "Strict":
        text = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise UndecodableError.bad_request(
            f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: strict decoding error: {text}'
        )
    if call.validation == "Warn":
        call.warnings += [f'unknown field "{path}"' for path in unknown]
    if default and shape:
        schema.default(obj, shape)
    # An applied null stays, since who applies it owns the field, but it has no type to check.
    whole = obj if default else schema.drop_nulls(meta.clone(obj))
    causes = schema.validate(whole.get("metadata"), builtin.META, "metadata")
    if not info.custom or default:
        causes += [cause for cause in schema.validate(whole, shape) if cause not in causes]
    else:  # checked once it is laid over what is there, where such nulls would pass for gaps
        causes += [cause for cause in schema.validate(obj, shape) if cause["message"].endswith('"null"')]
    # What owners lack `_owner_faults` says.
    causes = [c for c in causes if c["reason"] != "FieldValueRequired" or not c["field"].startswith(_OWNERS)]
    wrong = [cause for cause in causes if _undecodable(info, cause)]
    if wrong:
        raise UndecodableError.bad_request(
            f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: '
            + "; ".join(cause["message"].partition(": ")[2].partition(": ")[2] for cause in wrong)
        )
    if not info.custom:
        # List types guide apply; what may not come twice in built-in kinds their own checks say.
        causes = [cause for cause in causes if cause["reason"] != "FieldValueDuplicate"]
    if not default:  # what comes twice, ownership refuses
        partial = ("FieldValueRequired", "FieldValueDuplicate")
        causes = [cause for cause in causes if cause["reason"] not in partial]
    if not info.custom and (faults := quantity_faults(obj, shape)):
        raise UndecodableError.bad_request(
            f'{info.kind} in version "{info.version}" cannot be handled as a {info.kind}: '
            + "; ".join(str(fault) for fault in faults)
        )
    if causes:
        if not info.custom and default:
            causes += _others(info, obj, {cause["field"] for cause in causes})
        raise ApiError.invalid(info.kind, _name(obj), causes, info.group)
    return obj


def _undecodable(info: ResourceInfo, cause: Cause) -> bool:
    """Whether Go could not decode it: then it is a bad request, not an invalid object."""
    if info.custom and not cause["field"].startswith("metadata"):
        return False
    return cause["reason"] == _TYPE or bool(_GO_FORMATS.search(cause["message"]))


def _others(info: ResourceInfo, obj: Obj, known: set[str]) -> list[Cause]:
    """What else is wrong with an object that the schema refuses already: faults are told all at once."""
    try:
        return [cause for cause in semantics.check(info, obj, None) if cause["field"] not in known]
    except (KeyError, AttributeError, TypeError, ValueError):
        return []  # the schema's faults are what the checks between fields stumble over


def _name(obj: Obj) -> str:
    metadata = obj.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def validate(info: ResourceInfo, obj: Obj, old: Obj | None) -> list[Cause]:
    """Faults of the metadata, and the rules that a custom resource breaks."""
    return [*_metadata_faults(info, obj, old), *(info.rules.check(obj, old) if info.rules else ())]


def _metadata_faults(info: ResourceInfo, obj: Obj, old: Obj | None) -> Iterator[Cause]:
    metadata = obj["metadata"]
    if old is None:
        name = metadata["name"]
        if info.group == "rbac.authorization.k8s.io":
            why = meta.path_name_fault(name)
        elif info.bucket == "services":
            why = meta.dns1035_fault(name)
        else:
            why = meta.name_fault(name, label=info.bucket == "namespaces")
        if why:
            (yield Cause("FieldValueInvalid", "metadata.name", f"Invalid value: {schema.json_text(name)}: {why}"))
    if labels := metadata.get("labels"):
        for text, why in meta.label_faults(labels):
            (yield Cause("FieldValueInvalid", "metadata.labels", f"Invalid value: {schema.json_text(text)}: {why}"))
    if annotations := metadata.get("annotations"):
        for key in annotations:
            if why := meta.qualified_fault(key.lower()):
                (
                    yield Cause(
                        "FieldValueInvalid", "metadata.annotations", f"Invalid value: {schema.json_text(key)}: {why}"
                    )
                )
        if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > _MAX_ANNOTATION_BYTES:
            (
                yield Cause(
                    "FieldValueTooLong",
                    "metadata.annotations",
                    f"Too long: may not be more than {_MAX_ANNOTATION_BYTES} bytes",
                )
            )
    for finalizer in metadata.get("finalizers") or ():
        standard = not info.custom and info.group != "apiextensions.k8s.io"
        if why := meta.finalizer_fault(finalizer) if standard else meta.qualified_fault(finalizer):
            (
                yield Cause(
                    "FieldValueInvalid", "metadata.finalizers", f"Invalid value: {schema.json_text(finalizer)}: {why}"
                )
            )
    for index, entry in enumerate(metadata.get("managedFields") or ()):
        if isinstance(entry, dict) and len(str(entry.get("manager", "")).encode()) > _MAX_MANAGER_BYTES:
            field = f"metadata.managedFields[{index}].manager"
            yield Cause("FieldValueTooLong", field, f"Too long: may not be more than {_MAX_MANAGER_BYTES} bytes")
    controllers = [ref for ref in metadata.get("ownerReferences") or () if ref.get("controller")]
    if len(controllers) > 1:
        (
            yield Cause(
                "FieldValueInvalid",
                "metadata.ownerReferences",
                "Invalid value: Only one reference can have Controller set to true",
            )
        )
    for ref in metadata.get("ownerReferences") or ():
        yield from _owner_faults(ref)


def _owner_faults(ref: Obj) -> Iterator[Cause]:
    for name in ("apiVersion", "kind", "name", "uid"):
        if not ref.get(name):
            text = 'Invalid value: "": must not be empty'
            yield Cause("FieldValueInvalid", f"metadata.ownerReferences.{name}", text)
    version = ref.get("apiVersion", "")
    if version.count("/") > 1:
        text = f"Invalid value: {schema.json_text(version)}: version must not be empty"
        yield Cause("FieldValueInvalid", "metadata.ownerReferences.apiVersion", text)
    if ref.get("kind") == "Event" and version in ("v1", "events.k8s.io/v1"):
        text = f"Invalid value: {schema.json_text(ref)}: {version}, Kind=Event is disallowed from being an owner"
        yield Cause("FieldValueInvalid", "metadata.ownerReferences", text)
