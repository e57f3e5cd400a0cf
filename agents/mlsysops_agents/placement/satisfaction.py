"""How well an application's targets are met: each metric against its target, and the weighted share of those that are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import eq, ge, gt, le, lt
from typing import Any

from mlsysops_core.model import Application

__all__ = ["RELATIONS", "is_satisfied", "satisfaction"]

#: Relations of QoS metrics and of the satisfaction's threshold (CRD MLSysOpsApp, ``relation``).
RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    "lower_or_equal": le,
    "greater_or_equal": ge,
    "equal": eq,
    "lower_than": lt,
    "greater_than": gt,
}


def is_satisfied(value: float | None, relation: str | None, target: float | None) -> bool | None:
    """Compare a value with its target; None where either is missing."""
    if value is None or target is None or relation is None or relation not in RELATIONS:
        return None
    return RELATIONS[relation](value, target)


def satisfaction(application: Application, performance: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the ``satisfaction`` of an application's status.

    Args:
        application: The application; its ``global_satisfaction`` gives weights, threshold and relation.
        performance: The ``performance`` of its status. A metric without a value counts as not met once others have one.

    Returns:
        None where the application does not say what satisfies it.
    """
    wanted = application.global_satisfaction
    if wanted is None:
        return None
    met: dict[str, bool | None] = {}
    for sample in performance:
        name, verdict = str(sample["metric"]), sample.get("satisfied")
        # A metric that several components report is met where all of them meet it.
        met[name] = verdict if met.get(name, True) else met[name]
    result: dict[str, Any] = {"threshold": wanted.threshold, "relation": wanted.relation}
    weights = {item.metric_id: item.weight for item in wanted.achievement_weights}
    if weights and any(met.get(name) is not None for name in weights):
        value = round(sum(weight for name, weight in weights.items() if met.get(name)), 6)
        result |= {"value": value, "satisfied": is_satisfied(value, wanted.relation, wanted.threshold)}
    return {key: value for key, value in result.items() if value is not None}
