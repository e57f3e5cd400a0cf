"""What an Event has to say: those with a time of their own more than those of old, and those of events.k8s.io most.

Source: kubernetes `pkg/apis/core/validation/events.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.validation.causes import invalid, required

__all__ = ["check_event"]

Obj = dict[str, Any]
_LONGEST: Final = 128
_LONGEST_NOTE: Final = 1024
_UNSET: Final = (
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("deprecatedSource", "source"),
)


def check_event(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    """Faults of a new Event, of either group."""
    if old is not None:
        return
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    place, namespace = involved.get("namespace", ""), obj["metadata"].get("namespace")
    if obj.get("eventTime"):
        if not place and namespace not in ("default", "kube-system"):
            yield invalid("involvedObject.namespace", place, "does not match event.namespace")
        yield from _timed(obj)
    elif (place or "default") != namespace:
        yield invalid("involvedObject.namespace", place, "does not match event.namespace")
    if obj["apiVersion"] == "events.k8s.io/v1":
        yield from _modern(obj)


def _timed(obj: Obj) -> Iterator[Cause]:
    core = obj["apiVersion"] == "v1"
    field = "reportingComponent" if core else "reportingController"
    reporter = obj.get(field, "")
    if not reporter:
        yield required(field)
    if why := meta.qualified_fault(reporter):
        yield invalid(field, reporter, why)
    for name in ("reportingInstance", "action", "reason"):
        if not obj.get(name):
            yield required(name)
        elif len(obj[name].encode()) > _LONGEST:
            yield invalid(name, "", f"can have at most {_LONGEST} characters")
    if len(obj.get("message" if core else "note", "").encode()) > _LONGEST_NOTE:
        yield invalid("message", "", f"can have at most {_LONGEST_NOTE} characters")


def _modern(obj: Obj) -> Iterator[Cause]:
    if not obj.get("eventTime"):
        yield required("eventTime")
    kind = obj.get("type", "")
    if kind not in ("Normal", "Warning"):
        yield invalid("type", "", f"has invalid value: {kind}")
    for name, field in _UNSET:
        if obj.get(name):
            yield invalid(field, "", "needs to be unset")
    series = obj.get("series")
    if series is not None:
        if (series.get("count") or 0) < 2:
            yield invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield required("series.lastObservedTime")
