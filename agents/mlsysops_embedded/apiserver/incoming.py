"""What a client sends, made into what may be stored: type, place, and what only the server changes."""

from __future__ import annotations

from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError, Cause, UndecodableError
from mlsysops_embedded.machinery.call import Call
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import conform

__all__ = ["OWNED", "desired_changed", "metadata_of", "named", "place", "precondition", "updated"]

Obj = dict[str, Any]
#: Set by the server alone; what a client sends is replaced by what is stored.
OWNED: Final = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)


def metadata_of(info: ResourceInfo, obj: Any) -> Obj:
    """The metadata of what a client sends, whose type is completed in place.

    Raises:
        ApiError: 400 where it is no object of the resource.
    """
    if not isinstance(obj, dict):
        raise UndecodableError.bad_request(f"the object provided is unrecognized (must be of type {info.kind})")
    version, kind = obj.get("apiVersion") or info.api_version, obj.get("kind") or info.kind
    if (version, kind) != (info.api_version, info.kind):
        raise UndecodableError.bad_request(
            f"the API version in the data ({version}, Kind={kind}) does not match the expected API version "
            f"({info.api_version}, Kind={info.kind})"
        )
    obj["apiVersion"], obj["kind"] = info.api_version, info.kind
    metadata = obj.setdefault("metadata", {})
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise UndecodableError.bad_request(
            f"{info.kind} in version {info.version!r} cannot be handled as a {info.kind}: metadata must be an object"
        )
    return metadata


def named(info: ResourceInfo, obj: Any, name: str) -> Obj:
    """The metadata of what a client puts in the place of an object, which names it.

    Raises:
        ApiError: 400 where it is no object of the resource, or names none or another.
    """
    metadata = metadata_of(info, obj)
    if not metadata.get("name"):
        raise ApiError.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if metadata["name"] != name:
        raise _misnamed(metadata["name"], name)
    return metadata


def _misnamed(given: Any, name: str) -> ApiError:
    return ApiError.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def place(info: ResourceInfo, namespace: str, metadata: Obj) -> None:
    """Puts an object into the namespace of its request.

    Raises:
        ApiError: 400 where it names another.
    """
    given = metadata.get("namespace")
    if not info.namespaced:
        if given:
            raise ApiError.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata.pop("namespace", None)
    elif given not in (None, "", namespace):
        raise ApiError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    else:
        metadata["namespace"] = namespace


def updated(call: Call, info: ResourceInfo, old: Obj, wanted: Any, subresource: str) -> Obj:
    """The wanted object with everything that this call may not change taken from the present one."""
    metadata = metadata_of(info, wanted)
    before = old["metadata"]
    if metadata.get("name") not in (None, "", before["name"]):
        raise _misnamed(metadata["name"], before["name"])
    place(info, before.get("namespace", ""), metadata)
    for name in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        given = metadata.get(name)
        if given not in (None, "", before.get(name)):
            text = f"Invalid value: {orjson.dumps(given).decode()}: field is immutable"
            cause = Cause("FieldValueInvalid", f"metadata.{name}", text)
            raise ApiError.invalid(info.kind, before["name"], [cause], info.group)
    for name in ("name", "generateName"):
        if before.get(name) is not None:
            metadata[name] = before[name]
    for name in OWNED:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    # What is stored is in order, so that only what differs from it needs to be looked at.
    known = () if info.custom else tuple(k for k, v in wanted.items() if k != "metadata" and old.get(k) == v)
    new = wanted if subresource == "binding" else conform.decode(call, info, wanted, known=known)
    if subresource == "status":
        kept = {**old, "metadata": {**before, "resourceVersion": new["metadata"].get("resourceVersion")}}
        if "managedFields" in new["metadata"]:
            kept["metadata"]["managedFields"] = new["metadata"]["managedFields"]
        if not info.custom:
            _take_metadata(info, new["metadata"], kept["metadata"])
        if "status" in new:
            kept["status"] = new["status"]
        else:
            kept.pop("status", None)
        return kept
    if "status" in info.subresources and subresource != "binding":
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
    if before.get("deletionTimestamp"):
        added = set(new["metadata"].get("finalizers") or ()) - set(before.get("finalizers") or ())
        if added:
            text = f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
            raise ApiError.invalid(
                info.kind, before["name"], [Cause("FieldValueForbidden", "metadata.finalizers", text)], info.group
            )
    return new


def _take_metadata(info: ResourceInfo, given: Obj, kept: Obj) -> None:
    """Who may write the status of a built-in kind may label and annotate it (the status strategies of each kind)."""
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        if name == "labels" and info.bucket == "deployments.apps":
            continue
        kept.pop(name, None)
        if given.get(name):
            kept[name] = given[name]


def precondition(info: ResourceInfo, name: str, old: Obj, metadata: Obj) -> None:
    """Optimistic concurrency.

    Raises:
        ApiError: 409 where the object has changed since.
    """
    wanted = metadata.get("resourceVersion")
    if wanted and wanted not in ("0", old["metadata"]["resourceVersion"]):
        raise ApiError.conflict(info.plural, name, group=info.group)


def desired_changed(info: ResourceInfo, old: Obj, new: Obj) -> bool:
    """Whether the desired state differs, which makes a new generation."""
    if info.bucket == "deployments.apps" and old["metadata"].get("annotations") != new["metadata"].get("annotations"):
        return True  # its annotations say what becomes of its ReplicaSets (apps/deployment/strategy.go)
    skip = ("metadata", "status") if "status" in info.subresources or not info.custom else ("metadata",)
    return any(old.get(k) != new.get(k) for k in old.keys() | new.keys() if k not in skip)
