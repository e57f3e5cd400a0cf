"""Soft goals: what makes a node a better place for a component, and how much each goal counts.

A goal costs between 0 (as good as it gets here) and 1. Weights come from three places: `Weights` (configuration), the slice's
system targets (`with_targets`), and the application's description (`importance`, `interaction_weights`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from mlsysops_core.model import Application, Component, Node

from .facts import NodeFacts

__all__ = ["GOALS", "Weights", "importance", "interaction_weights", "node_costs", "with_targets"]

#: Cost of what nobody knows: neither good nor bad.
_UNKNOWN = 0.5
#: How many times a goal counts that the slice has a target for.
_TARGETED = 4.0
_CRITICALITY = {"low": 0.5, "medium": 1.0, "high": 2.0}
_TRUST = "mlsysops.eu/trust"
_COST = "mlsysops.eu/cost"
#: Energy units in kWh, power units in W.
_ENERGY = {"wh": 0.001, "kwh": 1.0, "Mwh": 1000.0}
_POWER = {"w": 1.0, "kw": 1000.0, "Mw": 1_000_000.0}

#: Goals of a node by itself, in the order of `node_costs`.
GOALS = ("energy", "carbon", "cost", "trust", "data_locality", "mobility", "performance")


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts how much.

    Attributes:
        least_allocated: Even use of cores and memory: what the last core costs a component of the usual size.
        spread: Each further component of an application on one node.
        affinity: Distance of two components that interact (1: different clusters, 0: one node).
        stay: Price of moving a component; it outweighs any two other goals, so that only a clear gain moves anything.
        energy: Power of a core.
        carbon: CO2 of the node's energy.
        cost: Price of the node, or of its energy.
        trust: Lack of trust, for components whose data matters.
        data_locality: Node outside the distributed storage, for components with buckets.
        mobility: Node that moves or comes and goes, for components that do not ask for one.
        performance: Slow processor, for components with quality targets.
    """

    least_allocated: float = 1.0
    spread: float = 0.25
    affinity: float = 1.0
    stay: float = 2.0
    energy: float = 0.25
    carbon: float = 0.25
    cost: float = 0.25
    trust: float = 0.5
    data_locality: float = 0.5
    mobility: float = 0.25
    performance: float = 0.25


#: Words in the name of a system target -> goal.
_WORDS = (
    (("carbon", "co2", "emission"), "carbon"),
    (("energy", "power", "watt"), "energy"),
    (("cost", "price"), "cost"),
    (("latency", "delay", "distance"), "affinity"),
    (("trust",), "trust"),
    (("utilisation", "utilization", "balance", "load"), "least_allocated"),
    (("availability", "spread"), "spread"),
    (("performance", "throughput"), "performance"),
)


def with_targets(weights: Weights, metrics: Iterable[str]) -> Weights:
    """Return weights in which goals that the slice has a target for count four times as much.

    Args:
        weights: The weights without targets.
        metrics: Names of the targets' metrics (``mls manage set-system-target --metric``).
    """
    wanted: set[str] = set()
    for metric in metrics:
        name = metric.lower()
        wanted |= {goal for words, goal in _WORDS if any(word in name for word in words)}
    known = {field.name for field in fields(Weights)}
    return replace(weights, **{goal: getattr(weights, goal) * _TARGETED for goal in sorted(wanted & known)})


def importance(components: Sequence[Component], achievement: Mapping[str, float]) -> tuple[float, ...]:
    """Return how much each goal of `GOALS` matters to components, 0 where it does not.

    Args:
        components: Those that must share a node.
        achievement: Metric to its weight in ``global_satisfaction``.
    """
    trust = max(
        max(_CRITICALITY.get(item.data_criticality or "", 0.0), 1.0 if item.data_sensitivity else 0.0)
        for item in components
    )
    buckets = any(item.storage is not None and item.storage.buckets for item in components)
    mobile = any(item.node_placement is not None and item.node_placement.mobile for item in components)
    metrics = [metric.application_metric_id for item in components for metric in item.qos_metrics]
    quality = 1.0 + sum(achievement.get(name, 0.0) for name in metrics) if metrics else 0.0
    return (1.0, 1.0, 1.0, trust, float(buckets), 0.0 if mobile else 1.0, quality)


def interaction_weights(application: Application, prefix: str = "") -> list[tuple[str, str, float]]:
    """Return the pairs of components that talk to each other, and how much their distance matters.

    Criticality low, medium, high counts 0.5, 1, 2; each metric with a target adds a half and its share of the satisfaction.

    Args:
        application: The application.
        prefix: Goes before each name.
    """
    satisfaction = application.global_satisfaction
    shares = {item.metric_id: item.weight for item in satisfaction.achievement_weights} if satisfaction else {}
    found: list[tuple[str, str, float]] = []
    for item in application.component_interactions:
        weight = _CRITICALITY.get(item.interaction_criticality or "medium", 1.0)
        for metric in item.interaction_metrics:
            weight += (0.5 if metric.target is not None else 0.0) + shares.get(metric.system_metric_id or "", 0.0)
        found.append((prefix + item.component_name1, prefix + item.component_name2, weight))
    return found


def node_costs(nodes: Sequence[NodeFacts]) -> list[tuple[float, ...]]:
    """Return each node's costs in the order of `GOALS`: measured values stretched from the best (0) to the worst (1)."""
    columns = (
        _stretched([_watts_a_core(node) for node in nodes]),
        _stretched([_carbon(node.description) for node in nodes]),
        _stretched([_price(node) for node in nodes]),
        [_UNKNOWN if (value := _label(node, _TRUST)) is None else 1.0 - min(max(value, 0.0), 1.0) for node in nodes],
        [0.0 if _stores(node.description) else 1.0 for node in nodes],
        [_restless(node.description) for node in nodes],
        [_UNKNOWN if value is None else 1.0 - value for value in _shares([_speed(node) for node in nodes])],
    )
    return list(zip(*columns, strict=True))


def _stretched(values: Sequence[float | None]) -> list[float]:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    if high <= low:
        return [_UNKNOWN] * len(values)
    return [_UNKNOWN if value is None else (value - low) / (high - low) for value in values]


def _shares(values: Sequence[float | None]) -> list[float | None]:
    high = max((value for value in values if value is not None), default=0.0)
    return [value / high if value is not None and high else None for value in values]


def _watts_a_core(node: NodeFacts) -> float | None:
    power = node.description.power if node.description is not None else None
    most = power.max_consumption if power is not None else None
    if most is None or most.value is None or not node.cpu:
        return None
    return float(most.value) * _POWER.get(most.measurement_unit or "w", 1.0) / node.cpu


def _carbon(description: Node | None) -> float | None:
    """Return CO2 of a kWh (any unit, but one for all); 0 where only a renewable source feeds the node."""
    power = description.power if description is not None else None
    if power is None:
        return None
    if power.renewable and power.grid is False:
        return 0.0
    target = power.target.co2_emission if power.target is not None else None
    if target is None or target.value is None:
        return None
    unit = (target.measurement_unit or "kt/kwh").partition("/")[2]
    return float(target.value) / _ENERGY.get(unit, 1.0)


def _price(node: NodeFacts) -> float | None:
    """Return the price of a core (label) or else of a kWh (description)."""
    labelled = _label(node, _COST)
    if labelled is not None:
        return labelled
    power = node.description.power if node.description is not None else None
    target = power.target.cost if power is not None and power.target is not None else None
    if target is None or target.value is None:
        return None
    return float(target.value) / _ENERGY.get(target.measurement_unit or "kwh", 1.0)


def _stores(description: Node | None) -> bool:
    service = description.distributed_storage_service if description is not None else None
    return bool(service is not None and service.member)


def _restless(description: Node | None) -> float:
    if description is None:
        return _UNKNOWN
    return 0.5 * bool(description.mobile) + 0.5 * (description.availability == "transient")


def _speed(node: NodeFacts) -> float | None:
    processor = node.description.hardware.cpu if node.description is not None else None
    if processor is None:
        return None
    if processor.performance_indicator:
        return float(processor.performance_indicator)
    return None


def _label(node: NodeFacts, name: str) -> float | None:
    prefix = f"{name}="
    for label in node.labels:
        if label.startswith(prefix):
            try:
                value = float(label.removeprefix(prefix))
            except ValueError:
                return None
            # "nan" and "inf" are labels that Kubernetes takes, and no amounts.
            return value if math.isfinite(value) else None
    return None
