"""Errors as RFC 9457 problem details: every answer that is not a success comes from here."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from mlsysops_core.errors import Fault, InvalidInput, MlsError, Unreachable
from mlsysops_core.model.api import Problem, ProblemFault
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["MEDIA_TYPE", "RETRY_AFTER", "Unauthorized", "install", "problem_response", "responses"]

_log = logging.getLogger(__name__)

#: RFC 9457 section 3.
MEDIA_TYPE = "application/problem+json"
#: Seconds a client should wait while the continuum's API is away.
RETRY_AFTER = 5


class Unauthorized(MlsError):
    """No bearer token, or a wrong one."""

    exit_code = 5
    code = "unauthorized"
    http_status = 401


_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return the HTTP form of a problem."""
    content = problem.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content = {"type": problem.type, "title": problem.title, "status": problem.status, "code": problem.code, **content}
    extra = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = 'Bearer realm="mlsysops"'
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra.setdefault("Retry-After", str(RETRY_AFTER))
    return JSONResponse(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=extra)


def from_error(error: MlsError, *, instance: str = "") -> Problem:
    """Return the problem that tells an error of ours."""
    faults = [_fault(fault) for fault in error.faults] if isinstance(error, InvalidInput) else []
    return Problem(
        type=f"urn:mlsysops:problem:{error.code}",
        title=_TITLES.get(error.code, error.code.replace("-", " ").capitalize()),
        status=error.http_status,
        detail=error.message,
        instance=instance,
        code=error.code,
        hint=error.hint,
        faults=faults,
    )


def from_status(status: int, detail: str, *, instance: str = "", code: str = "", hint: str = "") -> Problem:
    """Return the problem that tells a plain HTTP status."""
    phrase = _phrase(status)
    name = code or _CODES.get(status) or phrase.lower().replace(" ", "-")
    return Problem(
        type=f"urn:mlsysops:problem:{name}",
        title=_TITLES.get(name, phrase),
        status=status,
        detail=detail,
        instance=instance,
        code=name,
        hint=hint,
    )


def install(app: FastAPI) -> None:
    """Make every error of an application a problem."""
    app.add_exception_handler(MlsError, _mls_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(UnicodeEncodeError, _no_text)
    app.add_exception_handler(Exception, _internal_error)


def _phrase(status: int) -> str:
    """The status' name in RFC 9110; Python before 3.13 has the older names of some."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems a route may answer with (401, 503 and 500 always)."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _phrase(status), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({401, 500, 503, *statuses})
    }


_TITLES = {
    "invalid-input": "The input does not validate",
    "unreachable": "Something the API needs does not answer",
    "refused": "Refused",
    "unauthorized": "A valid bearer token is needed",
    "not-found": "Not found",
    "conflict": "Conflict with what exists",
    "timed-out": "Not done in time",
    "not-implemented": "Not available in this version",
    "internal-error": "Internal error",
}
_CODES = {404: "not-found", 409: "conflict", 422: "invalid-input", 501: "not-implemented", 503: "unreachable"}


def _fault(fault: Fault) -> ProblemFault:
    return ProblemFault(
        source=fault.source,
        line=fault.line,
        column=fault.column,
        path=fault.path,
        message=fault.message,
        hint=fault.hint,
    )


def _instance(request: Request) -> str:
    number = request.scope.get("state", {}).get("request_id", "")
    return f"urn:mlsysops:request:{number}" if number else ""


async def _mls_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MlsError)  # noqa: S101 - registered for that class alone
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.http_status != HTTPStatus.NOT_IMPLEMENTED:
        level = logging.WARNING if isinstance(error, Unreachable) else logging.ERROR
        _log.log(level, "%s %s: %s", request.method, request.url.path, error)
    return problem_response(from_error(error, instance=_instance(request)))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class alone
    faults = []
    for item in error.errors():
        where, *path = (str(part) for part in item["loc"]) if item["loc"] else ("request",)
        name = ".".join(path)
        faults.append(Fault(where, 0, 0, name, item["msg"]))
    return problem_response(from_error(InvalidInput(faults=faults), instance=_instance(request)))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class alone
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's only one
        return problem_response(from_error(InvalidInput("the body is no JSON in UTF-8"), instance=_instance(request)))
    detail = f"{request.method} {request.url.path}: {error.detail}"
    hint = "the paths are in /openapi.json" if error.status_code in {404, 405} else ""
    problem = from_status(error.status_code, detail, instance=_instance(request), hint=hint)
    return problem_response(problem, dict(error.headers or {}))


async def _no_text(request: Request, error: Exception) -> Response:
    """JSON can write halves of surrogate pairs (RFC 8259 section 8.2); what has one in it is no text that can be kept."""
    wrong = InvalidInput(
        "the request holds half of a surrogate pair, which is no character", hint="send whole characters"
    )
    return problem_response(from_error(wrong, instance=_instance(request)))


async def _internal_error(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "an internal error; the server's log has the details under this instance"
    return problem_response(from_status(500, detail, instance=_instance(request), code="internal-error"))
