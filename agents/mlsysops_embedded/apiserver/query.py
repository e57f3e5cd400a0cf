"""What lists and watches ask for: options, selectors, resourceVersions, continue tokens."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.selectors import (
    Selector,
    field_value,
    parse_field_selector,
    parse_label_selector,
)

__all__ = ["Filter", "Query", "decode_token", "encode_token", "parse_rv"]

Obj = dict[str, Any]
_VERSION: Final = re.compile(r"[0-9]{1,20}")
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """The options of a list or watch, as they come."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout: float | None = None


def _unknown_field(info: ResourceInfo, key: str) -> str:
    """Kinds with fields of their own say it in other words than those without (`runtime/scheme.go`, `conversion.go`)."""
    if info.custom or info.bucket in _FIELDS:
        return f"field label not supported: {key}"
    return f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"'


class Filter:
    """What a list or watch selects.

    Args:
        info: Resource.
        namespace: Empty for all.
        query: The options.

    Raises:
        ApiError: 400 where a selector is wrong.
    """

    def __init__(self, info: ResourceInfo, namespace: str, query: Query) -> None:
        self.namespace = namespace if info.namespaced else ""
        self.labels: Selector = parse_label_selector(query.labels)
        fields = parse_field_selector(query.fields)
        allowed = ("metadata.name", "metadata.namespace", *_FIELDS.get(info.bucket, ()), *info.selectable)
        for key, _, _ in fields.requirements:
            if key not in allowed:
                raise ApiError.bad_request(_unknown_field(info, key))
        self.name = fields.exact("metadata.name")
        self.node = fields.exact("spec.nodeName") if info.bucket == "pods" else None
        self.fields = Selector(tuple(r for r in fields.requirements if r != ("metadata.name", "in", (self.name,))))

    @property
    def plain(self) -> bool:
        """Whether the key alone decides."""
        return not self.labels and not self.fields

    def key(self, key: tuple[str, str]) -> bool:
        """Whether namespace and name are selected."""
        return (not self.namespace or key[0] == self.namespace) and (self.name is None or key[1] == self.name)

    def obj(self, obj: Obj | None) -> bool:
        """Whether labels and fields are selected."""
        if obj is None:
            return False
        if self.labels and not self.labels.matches_labels(obj["metadata"].get("labels")):
            return False
        return not self.fields or self.fields.matches(lambda path: _field(obj, path))

    @property
    def topic(self) -> str:
        """Which wake-ups concern it."""
        if self.node:
            return f"node:{self.node}"
        return f"ns:{self.namespace}" if self.namespace else ""


def _field(obj: Obj, path: str) -> str:
    if path == "source":
        return field_value(obj, "source.component") or field_value(obj, "reportingComponent")
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return field_value(obj, path) or "false"
    return field_value(obj, path)


def parse_rv(text: str) -> int:
    """A resourceVersion of a request.

    Raises:
        ApiError: 400.
    """
    if not text:
        return 0
    if not _VERSION.fullmatch(text) or int(text) >= 2**64:
        raise ApiError.bad_request(f"resourceVersion: Invalid value: {text!r}: must be a decimal number")
    return int(text)


def encode_token(rv: int, key: tuple[str, str]) -> str:
    """A continue token: the list at a revision (-1: at the present one) goes on after a key."""
    return base64.urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": key})).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, tuple[str, str]]:
    """Revision and key of a continue token.

    Raises:
        ApiError: 400.
    """
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        rv, (namespace, name) = value["rv"], value["start"]
    except (ValueError, KeyError, TypeError, binascii.Error) as exc:
        raise ApiError.bad_request("continue key is not valid") from exc
    sound = type(rv) is int and isinstance(namespace, str) and isinstance(name, str)
    if not sound or rv < -1 or not rv or not name:
        raise ApiError.bad_request("continue key is not valid")
    return rv, (namespace, name)
