"""Answers of the API as errors of the project's families."""

from __future__ import annotations

import pytest
from mlsysops_agents.adapters.kubernetes import AlreadyExists, Expired, Resource, Throttled
from mlsysops_agents.adapters.kubernetes.errors import error_of_status, parse_status
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused, TimedOut, Unreachable


@pytest.mark.parametrize(
    ("code", "reason", "family"),
    [
        (400, "BadRequest", InvalidInput),
        (401, "Unauthorized", Refused),
        (403, "Forbidden", Refused),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (422, "Invalid", InvalidInput),
        (429, "TooManyRequests", Throttled),
        (500, "InternalError", Unreachable),
        (503, "ServiceUnavailable", Unreachable),
        (504, "Timeout", TimedOut),
        (418, "", MlsError),
    ],
)
def test_families(code: int, reason: str, family: type[MlsError]) -> None:
    error = error_of_status(code, {"reason": reason, "message": "why"}, what="GET /x")

    assert type(error) is family
    assert str(error) == "GET /x: why"


def test_throttled_says_how_long() -> None:
    error = error_of_status(429, {}, what="GET /x", headers={"Retry-After": "7"})

    assert isinstance(error, Throttled)
    assert error.retry_after == 7
    odd = error_of_status(429, {}, what="GET /x", headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert isinstance(odd, Throttled)
    assert odd.retry_after == 0


def test_bodies_that_are_no_status() -> None:
    assert parse_status(b"<html>") == {}
    assert parse_status(b"[]") == {}
    assert str(error_of_status(502, {}, what="GET /x")) == "GET /x: HTTP 502"


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (Resource("", "v1", "pods", "Pod"), (), "/api/v1/pods"),
        (Resource("", "v1", "pods", "Pod"), ("ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status"),
        (Resource("apps", "v1", "deployments", "Deployment"), ("ns",), "/apis/apps/v1/namespaces/ns/deployments"),
        (Resource("", "v1", "nodes", "Node", namespaced=False), ("ns", "a"), "/api/v1/nodes/a"),
    ],
)
def test_paths(resource: Resource, arguments: tuple[str, ...], path: str) -> None:
    assert resource.path(*arguments) == path
