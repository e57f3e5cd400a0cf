"""What the statuses of both upper tiers tell in the same way, and when they are worth an early write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_agents.adapters.health import condition

__all__ = ["is_urgent", "own_conditions", "permitted", "without_times"]


def is_urgent(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Say whether two statuses of an application differ in more than measured values."""
    return _essence(before) != _essence(after)


def _essence(status: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        status.get("observedGeneration"),
        status.get("phase"),
        [(item.get("type"), item.get("status"), item.get("reason")) for item in status.get("conditions") or ()],
        status.get("components"),
        [
            (item.get("component"), item.get("metric"), item.get("value") is None, item.get("satisfied"))
            for item in status.get("performance") or ()
        ],
        [item.get("id") for item in status.get("decisions") or ()],
    )


def without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status but for when agents were seen last."""
    agents = [{**agent, "lastSeen": ""} for agent in status.get("agents") or ()]
    return {**status, "agents": agents}


def own_conditions(
    before: Mapping[str, Any],
    *,
    ready: bool,
    reason: str,
    message: str,
    policies: Sequence[Mapping[str, str]],
    plugin_fault: str,
    generation: Any,
    now: float,
) -> list[dict[str, Any]]:
    """Return the conditions of the object that an upper agent stands for: whether all is ready, and its policies healthy.

    Args:
        before: The status so far.
        ready: Whether all is ready.
        reason: Why, in one CamelCase word.
        message: Why, for people.
        policies: The engine's conditions: analyses whose circuit breaker is open.
        plugin_fault: Why plug-ins do not load; empty where they do.
        generation: Generation of the object.
        now: Seconds since the Unix epoch.
    """
    broken = "; ".join(f"{item['policy']} on {item['asset']} {item['message']}" for item in policies)
    if broken:
        unhealthy = str(policies[0].get("reason", "CircuitOpen"))
    else:
        unhealthy = "PluginError" if plugin_fault else "AllHealthy"
    return [
        condition(before, "Ready", ready, reason, message, generation=generation, now=now),
        condition(
            before,
            "PoliciesHealthy",
            not broken and not plugin_fault,
            unhealthy,
            broken or plugin_fault or "no policy is switched off",
            generation=generation,
            now=now,
        ),
    ]


def permitted(
    status: Mapping[str, Any], before: Mapping[str, Any], refused: Sequence[str], now: float
) -> dict[str, Any]:
    """Return the status of an agent's own object, which also says what the agent may not do; the same where it may all.

    Args:
        status: What it is otherwise.
        before: What it was.
        refused: What the API refuses, each as it says it.
        now: Seconds since the Unix epoch.
    """
    if not refused:
        return dict(status)
    generation, message = status.get("observedGeneration"), f"the agent may not {'; nor '.join(refused)}"
    others = [item for item in status.get("conditions") or () if item.get("type") not in ("Ready", "Permitted")]
    told = (
        condition(before, kind, False, "Forbidden", message, generation=generation, now=now)
        for kind in ("Ready", "Permitted")
    )
    return {**status, "conditions": [*told, *others]}
