"""Which changes of objects, and of statuses, matter to the continuum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_agents.adapters.kubernetes import Change, ChangeKind

__all__ = ["awaited", "capacity", "intent_changed"]


def intent_changed(change: Change) -> bool:
    """Say whether anything but the status changed."""
    if change.kind is not ChangeKind.MODIFIED or change.old is None:
        return True
    old, new = change.old["metadata"], change.new["metadata"]
    keys = ("uid", "generation", "annotations", "labels", "deletionTimestamp")
    return any(old.get(key) != new.get(key) for key in keys)


def capacity(obj: Mapping[str, Any] | None) -> Any:
    """Return what a node measured of itself."""
    return ((obj or {}).get("status") or {}).get("capacity")


def awaited(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what people wait for in a status: which conditions hold, and how its policies are; none of it is measured."""
    holds = [(item.get("type"), item.get("status")) for item in status.get("conditions") or ()]
    return holds, status.get("policies") or []
