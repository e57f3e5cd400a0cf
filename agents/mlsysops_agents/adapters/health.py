"""Conditions whose transition time moves only when they change, and times as Kubernetes writes them. Shared by the upper tiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["VERSION", "condition", "rfc3339", "since"]

#: Annotation of an agent's Lease that says which version of the agent renews it.
VERSION = "mlsysops.eu/version"
_MESSAGE_CHARACTERS = 32768  # metav1.Condition


def rfc3339(seconds: float) -> str:
    """Return a time as Kubernetes writes it.

    Args:
        seconds: Seconds since the Unix epoch.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(
    before: Mapping[str, Any],
    kind: str,
    status: bool | None,
    reason: str,
    message: str,
    *,
    generation: Any,
    now: float,
) -> dict[str, Any]:
    """Return a condition (metav1.Condition).

    Args:
        before: The status so far; keeps the transition time of what has not changed.
        kind: Its type.
        status: Whether it holds; None is Unknown.
        reason: One CamelCase word.
        message: For people.
        generation: Generation of the object it is about.
        now: Seconds since the Unix epoch.
    """
    value = "Unknown" if status is None else str(status)
    old: Mapping[str, Any] = next((item for item in before.get("conditions") or () if item.get("type") == kind), {})
    same = old.get("status") == value and old.get("lastTransitionTime")
    made = {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message[:_MESSAGE_CHARACTERS],
        "lastTransitionTime": old["lastTransitionTime"] if same else rfc3339(now),
    }
    return made if generation is None else {**made, "observedGeneration": generation}


def since(conditions: Iterable[Mapping[str, Any]], kind: str) -> float | None:
    """Return when a condition became what it is, in seconds since the Unix epoch; None where that is not said."""
    for item in conditions:
        if item.get("type") == kind:
            try:
                return datetime.fromisoformat(str(item["lastTransitionTime"])).timestamp()
            except (KeyError, ValueError):
                return None
    return None
