"""Answers of the Kubernetes API and faults of the connection as errors of the project's families."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused, TimedOut, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AlreadyExists", "Expired", "Throttled", "error_of_status", "parse_status"]


class AlreadyExists(Conflict):
    """A create met an object of that name (reason ``AlreadyExists``)."""

    code = "already-exists"


class Expired(Conflict):
    """The resourceVersion or continue token is older than the server's history (HTTP 410, ``Expired``/``Gone``)."""

    code = "expired"


class Throttled(Unreachable):
    """The server asks to come back later (HTTP 429).

    Args:
        message: What the server said.
        retry_after: Seconds the server asks to wait; 0 where it does not say.
    """

    code = "throttled"

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def parse_status(body: bytes) -> dict[str, Any]:
    """The ``Status`` object in an error's body; empty where the body is none (a proxy's page, say)."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def error_of_status(
    code: int, status: Mapping[str, Any], *, what: str, headers: Mapping[str, str] | None = None
) -> MlsError:
    """The family of an error answer (Kubernetes API conventions, "HTTP status codes" and "Response status kind").

    Args:
        code: HTTP status code, or the code inside a watch's ERROR event.
        status: The ``Status`` object that came with it; may be empty.
        what: The request in a few words, e.g. ``GET /api/v1/pods``; opens the message.
        headers: Response headers, for Retry-After.
    """
    reason = str(status.get("reason") or "")
    message = f"{what}: {status.get('message') or reason or f'HTTP {code}'}"
    if code == 410 or reason in {"Expired", "Gone"}:
        return Expired(message)
    if code == 409:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if code == 404:
        return NotFound(message)
    if code in {401, 403}:
        return Refused(message)
    if code == 429:
        try:
            retry_after = float((headers or {}).get("Retry-After", 0))
        except ValueError:  # an HTTP date: no Kubernetes component sends one
            retry_after = 0.0
        return Throttled(message, retry_after=retry_after)
    if code in {408, 504}:
        return TimedOut(message)
    if code >= 500 or code == 0:
        return Unreachable(message)
    if code in {400, 405, 406, 413, 415, 422}:
        return InvalidInput(message)
    return MlsError(message)
