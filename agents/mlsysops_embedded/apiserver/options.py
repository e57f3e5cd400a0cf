"""Options of requests: of lists, writes and deletions."""

from __future__ import annotations

from typing import Final

from mlsysops_embedded.apiserver.call import ANONYMOUS, Call, DeleteOptions
from mlsysops_embedded.apiserver.http import Request, decode_body
from mlsysops_embedded.apiserver.query import Query
from mlsysops_embedded.apiserver.routing import Route
from mlsysops_embedded.errors import ApiError

__all__ = ["call_of", "delete_options", "list_query"]

_POLICIES: Final = ("", "Foreground", "Background", "Orphan")
_NAMES: Final = {
    "POST": "CreateOptions",
    "PUT": "UpdateOptions",
    "PATCH": "PatchOptions",
    "DELETE": "DeleteOptions",
}


def list_query(request: Request, route: Route) -> Query:
    """Options of a list or watch; one of a single object selects its name."""
    query = request.query
    fields = query.get("fieldSelector", "")
    if route.name:
        fields = f"metadata.name={route.name}"
    initial = query.get("sendInitialEvents")
    seconds = request.number("timeoutSeconds")
    return Query(
        query.get("labelSelector", ""),
        fields,
        max(request.number("limit"), 0),
        query.get("continue", ""),
        query.get("resourceVersion", ""),
        query.get("resourceVersionMatch", ""),
        request.flag("allowWatchBookmarks"),
        None if initial is None else request.flag("sendInitialEvents"),
        float(seconds) if seconds > 0 else None,
    )


def call_of(request: Request, manager: str = "") -> Call:
    """Who calls, and how it wants to write.

    Raises:
        ApiError: 422 where an option is wrong.
    """
    dry = request.query.get("dryRun")
    if dry not in (None, "", "All"):
        raise ApiError.option(_NAMES[request.method], "dryRun", f'Unsupported value: "{dry}": supported values: "All"')
    mode = request.query.get("fieldValidation") or "Warn"
    if mode not in ("Strict", "Warn", "Ignore"):
        raise ApiError.option(
            _NAMES[request.method],
            "fieldValidation",
            f'Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"',
        )
    name = request.query.get("fieldManager") or manager
    if len(name) > 128 or not name.isprintable():
        raise ApiError.option(
            _NAMES[request.method],
            "fieldManager",
            "Invalid value: must be printable and no more than 128 characters",
        )
    if not name:
        name = request.header(b"user-agent").partition("/")[0][:128] or "unknown"
    return Call(request.user or ANONYMOUS, name, dry == "All", mode, request.flag("force"), request.warnings)


async def delete_options(request: Request) -> tuple[DeleteOptions, bool]:
    """DeleteOptions of body and query, and whether they ask for a dry run.

    Raises:
        ApiError: 400, 422 where an option is wrong.
    """
    raw = await request.body()
    body = decode_body(raw, request.media_type) if raw.strip() else {}
    if not isinstance(body, dict):
        raise ApiError.bad_request("DeleteOptions must be an object")
    query = request.query
    policy = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = body.get("orphanDependents", query.get("orphanDependents"))
    if orphan is not None and policy:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        raise ApiError.option("DeleteOptions", "propagationPolicy", text)
    if orphan is not None:
        policy = "Orphan" if orphan in (True, "true", "1") else policy or "Background"
    if policy not in _POLICIES:
        raise ApiError.option(
            "DeleteOptions",
            "propagationPolicy",
            f'Unsupported value: "{policy}": supported values: "Background", "Foreground", "Orphan"',
        )
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds", ""):
        grace = request.number("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise ApiError.bad_request("gracePeriodSeconds must be an integer")
    conditions = body.get("preconditions") or {}
    if not isinstance(conditions, dict):
        raise ApiError.bad_request("preconditions must be an object")
    dry = body.get("dryRun") == ["All"]
    return DeleteOptions(
        policy, grace, str(conditions.get("uid") or ""), str(conditions.get("resourceVersion") or "")
    ), dry
