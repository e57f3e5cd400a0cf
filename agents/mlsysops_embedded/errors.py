"""Kubernetes API errors: an exception that carries a `Status` object (meta/v1).

Source of codes, reasons and message forms: apimachinery `pkg/api/errors/errors.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["ApiError", "Cause", "UndecodableError"]

Obj = dict[str, Any]


class Cause(dict[str, str]):
    """One field-level cause of an `Invalid` or `Conflict` status.

    Args:
        reason: `FieldValueInvalid`, `FieldValueRequired`, `FieldValueNotSupported`, `FieldManagerConflict`, ...
        field: Dotted path, e.g. ``spec.template.spec.containers[0].image``.
        message: The text without the field.
    """

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(reason=reason, message=message, field=field)

    def __str__(self) -> str:
        return f"{self['field']}: {self['message']}" if self["field"] else self["message"]


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


class ApiError(Exception):
    """An API call that failed, as a Kubernetes `Status`.

    Attributes:
        status: The whole `Status` object.
    """

    def __init__(self, status: Obj) -> None:
        super().__init__(status.get("message") or status.get("reason") or "API error")
        self.status = status

    @property
    def code(self) -> int:
        """HTTP status code."""
        return int(self.status.get("code") or 500)

    @property
    def reason(self) -> str:
        """Machine-readable reason, e.g. ``NotFound``."""
        return str(self.status.get("reason") or "")

    @property
    def message(self) -> str:
        """Human-readable message."""
        return str(self.status.get("message") or "")

    @classmethod
    def of(cls, code: int, reason: str, message: str, details: Obj | None = None) -> ApiError:
        """Builds a failure `Status` of the given code and reason."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
        }
        if details:
            status["details"] = details
        status["code"] = code
        return cls(status)

    @classmethod
    def not_found(cls, resource: str, name: str, group: str = "") -> ApiError:
        """404 for one object."""
        details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
        return cls.of(404, "NotFound", f'{_qualified(resource, group)} "{name}" not found', details)

    @classmethod
    def unknown_resource(cls) -> ApiError:
        """404 for a path that names no resource."""
        return cls.of(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def already_exists(cls, resource: str, name: str, group: str = "") -> ApiError:
        """409 on create."""
        details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
        return cls.of(409, "AlreadyExists", f'{_qualified(resource, group)} "{name}" already exists', details)

    @classmethod
    def conflict(cls, resource: str, name: str, why: str = "", group: str = "") -> ApiError:
        """409 of optimistic concurrency and preconditions."""
        why = why or ("the object has been modified; please apply your changes to the latest version and try again")
        details = {"name": name, "group": group, "kind": resource} if group else {"name": name, "kind": resource}
        message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
        return cls.of(409, "Conflict", message, details)

    @classmethod
    def apply_conflict(cls, causes: Sequence[Cause]) -> ApiError:
        """409 of server-side apply, one cause a field."""
        if len(causes) == 1:
            text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
        else:
            managers = sorted({cause["message"] for cause in causes})
            lines = []
            for manager in managers:
                lines.append(f"{manager.replace('conflict with', 'conflicts with', 1)}:")
                lines += [f"- {cause['field']}" for cause in causes if cause["message"] == manager]
            text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
        return cls.of(409, "Conflict", text, {"causes": [dict(cause) for cause in causes]})

    @classmethod
    def invalid(cls, kind: str, name: str, causes: Sequence[Cause], group: str = "") -> ApiError:
        """422 with field causes."""
        texts = [str(cause) for cause in causes]
        body = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        details: Obj = {"name": name, "group": group, "kind": kind}
        details = {key: value for key, value in details.items() if value}
        details["causes"] = [dict(cause) for cause in causes]
        return cls.of(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {body}', details)

    @classmethod
    def option(cls, kind: str, field: str, message: str) -> ApiError:
        """422 of a request option; `message` starts with the kind of fault, e.g. ``Forbidden: ...``."""
        words = {"Required": "Required", "Forbidden": "Forbidden", "Unsupported": "NotSupported", "Too": "TooLong"}
        reason = f"FieldValue{words.get(message.split(' ', 1)[0].rstrip(':'), 'Invalid')}"
        return cls.invalid(kind, "", [Cause(reason, field, message)], "meta.k8s.io")

    @classmethod
    def bad_request(cls, message: str) -> ApiError:
        """400."""
        return cls.of(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls, message: str = "Unauthorized") -> ApiError:
        """401."""
        return cls.of(401, "Unauthorized", message)

    @classmethod
    def forbidden(cls, resource: str, name: str, why: str, group: str = "") -> ApiError:
        """403."""
        details = {"name": name, "group": group, "kind": resource}
        what = f'{_qualified(resource, group)} "{name}" is' if name else f"{_qualified(resource, group)} is"
        return cls.of(403, "Forbidden", f"{what} forbidden: {why}", {k: v for k, v in details.items() if v})

    @classmethod
    def gone(cls, message: str = "The resourceVersion for the provided watch is too old.") -> ApiError:
        """410: the history asked for has been compacted."""
        return cls.of(410, "Expired", message)

    @classmethod
    def method_not_allowed(
        cls, message: str = "the server does not allow this method on the requested resource"
    ) -> ApiError:
        """405."""
        return cls.of(405, "MethodNotAllowed", message, {})

    @classmethod
    def not_acceptable(cls, supported: str = "application/json, application/yaml") -> ApiError:
        """406."""
        return cls.of(406, "NotAcceptable", f"only the following media types are accepted: {supported}")

    @classmethod
    def unsupported_media_type(cls, supported: str = "application/json, application/yaml") -> ApiError:
        """415."""
        message = f"the body of the request was in an unknown format - accepted media types include: {supported}"
        return cls.of(415, "UnsupportedMediaType", message)

    @classmethod
    def too_large(cls, limit: int) -> ApiError:
        """413; limit in bytes."""
        message = f"Request entity too large: limit is {limit}"
        return cls.of(413, "RequestEntityTooLarge", message)

    @classmethod
    def timeout(cls, message: str) -> ApiError:
        """504."""
        return cls.of(504, "Timeout", message)

    @classmethod
    def unavailable(cls, message: str) -> ApiError:
        """503."""
        return cls.of(503, "ServiceUnavailable", message)

    @classmethod
    def internal(cls, message: str) -> ApiError:
        """500."""
        text = f"Internal error occurred: {message}"
        return cls.of(500, "InternalError", text, {"causes": [{"message": message}]})


class UndecodableError(ApiError):
    """A client sent what is no object of the kind it should be."""
