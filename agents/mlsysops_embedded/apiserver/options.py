"""Options of requests: of lists, writes and deletions."""

from __future__ import annotations

from typing import Any, Final

from mlsysops_embedded.apiserver.bodies import deletion
from mlsysops_embedded.apiserver.http import Request, decode_body
from mlsysops_embedded.apiserver.query import Query
from mlsysops_embedded.apiserver.routing import Route
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import ANONYMOUS, Call, DeleteOptions

__all__ = ["call_of", "delete_options", "list_query"]

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


def call_of(request: Request) -> Call:
    """Who calls, and how it wants to write.

    Raises:
        ApiError: 422 where an option is wrong.
    """
    dry = request.values("dryRun")
    if any(value != "All" for value in dry):
        raise ApiError.option(_NAMES[request.method], "dryRun", f'Unsupported value: {dry}: supported values: "All"')
    mode = request.query.get("fieldValidation") or "Warn"
    if mode not in ("Strict", "Warn", "Ignore"):
        raise ApiError.option(
            _NAMES[request.method],
            "fieldValidation",
            f'Unsupported value: "{mode}": supported values: "Ignore", "Strict", "Warn"',
        )
    name = request.query.get("fieldManager", "")
    if len(name) > 128 or not name.isprintable():
        raise ApiError.option(
            _NAMES[request.method],
            "fieldManager",
            "Invalid value: must be printable and no more than 128 characters",
        )
    if not name:
        name = request.header(b"user-agent").partition("/")[0][:128] or "unknown"
    return Call(request.user or ANONYMOUS, name, bool(dry), mode, request.flag("force"), request.warnings)


async def delete_options(request: Request, call: Call) -> DeleteOptions:
    """DeleteOptions: of the body or, where there is none, of the query; a dry run that they ask for is noted with the call.

    Raises:
        ApiError: 400, 422 where an option is wrong.
    """
    raw = await request.body()
    if raw.strip():
        call.dry_run = False  # as Kubernetes has it: what the query says does not count then
        return deletion(call, decode_body(raw, request.media_type))
    given: dict[str, Any] = {}
    if request.query.get("gracePeriodSeconds"):
        given["gracePeriodSeconds"] = request.number("gracePeriodSeconds")
    if "orphanDependents" in request.query:
        given["orphanDependents"] = request.flag("orphanDependents")
    if request.query.get("propagationPolicy"):
        given["propagationPolicy"] = request.query["propagationPolicy"]
    return deletion(call, given)
