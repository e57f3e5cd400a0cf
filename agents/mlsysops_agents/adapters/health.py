"""Who is alive, from Leases; and conditions whose transition time moves only when they change. Shared by the upper tiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["VERSION", "agents_of", "condition", "next_expiry", "rfc3339", "since"]

#: Annotation of an agent's Lease that says which version of the agent renews it.
VERSION = "mlsysops.eu/version"
_MESSAGE_CHARACTERS = 32768  # metav1.Condition
_DEFAULT_LEASE_SECONDS = 40.0


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


def agents_of(leases: Iterable[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """Return the agents that hold the Leases ``mlsysops-<tier>-<name>``, sorted.

    Args:
        leases: Leases of the framework's namespace.
        now: Seconds since the Unix epoch.
    """
    found: list[dict[str, Any]] = []
    for lease in leases:
        parts = str(lease["metadata"]["name"]).split("-", 2)
        if len(parts) != 3 or parts[0] != "mlsysops":
            continue
        expiry = _expiry(lease)
        found.append(
            {
                "name": parts[2],
                "tier": parts[1],
                "ready": expiry is not None and expiry > now,
                "lastSeen": str((lease.get("spec") or {}).get("renewTime") or ""),
                "version": str((lease["metadata"].get("annotations") or {}).get(VERSION) or ""),
            }
        )
    return sorted(found, key=lambda item: (item["tier"], item["name"]))


def next_expiry(leases: Iterable[Mapping[str, Any]], now: float) -> float | None:
    """Return when the next Lease runs out if nobody renews it; None where none is running."""
    running = [expiry for lease in leases if (expiry := _expiry(lease)) is not None and expiry > now]
    return min(running, default=None)


def _expiry(lease: Mapping[str, Any]) -> float | None:
    spec = lease.get("spec") or {}
    try:
        renewed = datetime.fromisoformat(str(spec["renewTime"]))
        return renewed.timestamp() + float(spec.get("leaseDurationSeconds") or _DEFAULT_LEASE_SECONDS)
    except (KeyError, ValueError):
        return None
