"""Bodies that are no object of the resource they are sent to: options of deletions, evictions, bindings, scales, token requests."""

from __future__ import annotations

from typing import Any, Final

from mlsysops_embedded.apiserver.incoming import metadata_of, place
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import Call, DeleteOptions
from mlsysops_embedded.machinery.printers import COLUMNS
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import conform
from mlsysops_embedded.validation.builtin import SCHEMAS

__all__ = ["BINDING", "EVICTION", "SCALE", "TOKEN_REQUEST", "decoded", "deletion"]

Obj = dict[str, Any]
_POLICIES: Final = ("Foreground", "Background", "Orphan")


def _body(group: str, version: str, kind: str) -> ResourceInfo:
    """What is known of a body's kind, in the form in which it is known of a resource."""
    schema = SCHEMAS[f"{group}/{version}" if group else version, kind]
    plural = f"{kind.lower()}s"
    return ResourceInfo(group, version, plural, kind, bucket=plural, schema=schema, columns=COLUMNS.get(plural, ()))


BINDING: Final = _body("", "v1", "Binding")
EVICTION: Final = _body("policy", "v1", "Eviction")
SCALE: Final = _body("autoscaling", "v1", "Scale")
TOKEN_REQUEST: Final = _body("authentication.k8s.io", "v1", "TokenRequest")
_OPTIONS: Final = _body("", "v1", "DeleteOptions")


def decoded(call: Call, info: ResourceInfo, namespace: str, obj: Any, *, default: bool = True) -> Obj:
    """A body of a kind, checked and placed; `default` as `conform.decode` has it.

    Raises:
        ApiError: 400 where it is of another kind, ill-typed, or of another namespace than the request's.
    """
    if isinstance(obj, dict) and info is EVICTION and obj.get("apiVersion") == "policy/v1beta1":
        obj["apiVersion"] = info.api_version  # older clients of drain
    place(info, namespace, metadata_of(info, obj))
    return conform.decode(call, info, obj, default=default)


def deletion(call: Call, given: Any) -> DeleteOptions:
    """DeleteOptions as a client sends them; a dry run that they ask for is noted with the call.

    Raises:
        ApiError: 400 where they are ill-typed, 422 where a value is not allowed.
    """
    if not isinstance(given, dict):
        raise ApiError.bad_request("DeleteOptions must be an object")
    if given.get("kind") not in (None, "", _OPTIONS.kind):
        raise ApiError.bad_request(f'no kind "{given["kind"]}" is registered for the options of a deletion')
    # Every group has them under its own name, and nobody says what of them is unknown.
    whole = {**given, "apiVersion": _OPTIONS.api_version, "kind": _OPTIONS.kind, "metadata": {}}
    body = conform.decode(Call(call.user), _OPTIONS, whole)
    dry = body.get("dryRun") or []
    if any(value != "All" for value in dry):
        raise ApiError.option("DeleteOptions", "dryRun", f'Unsupported value: {dry}: supported values: "All"')
    policy, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    if orphan is not None and policy is not None:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        raise ApiError.option("DeleteOptions", "propagationPolicy", text)
    if policy is not None and policy not in _POLICIES:
        supported = ", ".join(f'"{name}"' for name in (*_POLICIES, "nil"))
        raise ApiError.option(
            "DeleteOptions", "propagationPolicy", f'Unsupported value: "{policy}": supported values: {supported}'
        )
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    conditions = body.get("preconditions") or {}
    call.dry_run = call.dry_run or bool(dry)
    return DeleteOptions(
        policy or "",
        body.get("gracePeriodSeconds"),
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
    )
