"""Paths to requests: which resource, which object, which verb.

Source: apiserver `pkg/endpoints/request/requestinfo.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mlsysops_embedded.apiserver.http import Request
from mlsysops_embedded.auth.rbac import Attributes

__all__ = ["Route", "route"]

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}


@dataclass(frozen=True, slots=True)
class Route:
    """A resource request."""

    verb: str
    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str
    rest: str = ""

    @property
    def attributes(self) -> Attributes:
        """As authorizers see it."""
        return Attributes(self.verb, self.group, self.plural, self.subresource, self.namespace, self.name)


def route(request: Request) -> Route | None:
    """The resource request of a path; None where it names no resource (discovery, health and the like)."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watching = rest[0] == "watch" and len(rest) > 1
    if watching:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize") and len(rest) == 3):
            rest = rest[2:]
    plural, name = rest[0], rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    verb = _VERBS.get(request.method, request.method.lower())
    if not name:
        if verb == "get":
            verb = "watch" if watching or request.flag("watch") else "list"
        elif verb == "delete":
            verb = "deletecollection"
    elif watching:
        verb = "watch"
    return Route(verb, group, version, namespace, plural, name, subresource, "/".join(rest[3:]))
