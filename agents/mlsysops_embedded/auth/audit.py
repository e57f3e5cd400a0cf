"""The audit log: one JSON line (audit.k8s.io/v1, level Metadata) for every write and every refusal, rotated by size."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import orjson

from mlsysops_embedded.auth.rbac import Attributes
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.call import User

__all__ = ["AuditLog"]

_BYTES: Final = 10 * 1024 * 1024
_FILES: Final = 5
_QUIET: Final = ("get", "list", "watch")


class AuditLog:
    """Appends events to a file.

    Args:
        path: The newest file; older ones get `.1`, `.2`, ...
    """

    def __init__(self, path: Path) -> None:
        self._handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8", delay=False)
        path.chmod(0o600)

    def record(
        self,
        audit_id: str,
        author: User,
        user: User,
        asked: Attributes,
        *,
        uri: str,
        source: str,
        agent: str,
        code: int,
    ) -> None:
        """Notes one answered request; successful reads are left out.

        Args:
            audit_id: Of the request, as the response has it too.
            author: Whom the credentials prove.
            user: Whom the request acts as; another than `author` where it impersonates.
            asked: What the request asks for.
            uri: Path of the request.
            source: Address of the client.
            agent: What the client calls itself.
            code: HTTP status of the answer.
        """
        if asked.verb in _QUIET and code not in (401, 403):
            return
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": audit_id,
            "stage": "ResponseComplete",
            "stageTimestamp": meta.now_micro(),
            "requestURI": uri,
            "verb": asked.verb,
            "user": _user(author),
            **({"impersonatedUser": _user(user)} if user is not author else {}),
            "sourceIPs": [source],
            "userAgent": agent,
            "objectRef": {
                "resource": asked.resource,
                "namespace": asked.namespace,
                "name": asked.name,
                "apiGroup": asked.group,
                "subresource": asked.subresource,
            },
            "responseStatus": {"code": code},
        }
        line = orjson.dumps(event).decode()
        self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()


def _user(user: User) -> dict[str, Any]:
    """A `UserInfo` (authentication.k8s.io/v1)."""
    found: dict[str, Any] = {"username": user.name, "groups": user.groups}
    if user.uid:
        found["uid"] = user.uid
    if user.extra:
        found["extra"] = dict(user.extra)
    return found
