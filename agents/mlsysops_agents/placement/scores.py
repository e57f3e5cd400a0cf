"""Soft goals: how good a node is for a demand, 0 (bad) to 1 (good), and how much each goal counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .demand import Demand
from .facts import NodeFacts, Resources

__all__ = ["Weights", "score"]

#: Score of a resource whose capacity is unknown: neither good nor bad.
_UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts how much. Staying outweighs the rest, so that only a clear gain moves a component."""

    least_allocated: float = 1.0
    spread: float = 0.5
    affinity: float = 0.75
    stay: float = 2.0


def score(
    demand: Demand,
    node: NodeFacts,
    used: Resources,
    *,
    placed: Mapping[str, str],
    partners: Mapping[str, Sequence[str]],
    stays: bool,
    weights: Weights,
) -> float:
    """Return the weighted mean of all goals.

    Args:
        demand: What is to be placed.
        node: A node that passed all filters.
        used: What is in use on it.
        placed: Component to node of the same application so far.
        partners: Component to those it talks to.
        stays: Whether the demand is on that node now.
        weights: What counts how much.
    """
    here = [name for name, host in placed.items() if host == node.name and name not in demand.members]
    talks_to = {partner for member in demand.members for partner in partners.get(member, ())} & placed.keys()
    affinity = len(talks_to & set(here)) / len(talks_to) if talks_to else 0.0
    goals = (
        (weights.least_allocated, _least_allocated(demand.resources, node, used)),
        (weights.spread, 1.0 / (1 + len(here))),
        (weights.affinity, affinity),
        (weights.stay, float(stays)),
    )
    return sum(weight * value for weight, value in goals) / sum(weight for weight, _ in goals)


def _least_allocated(resources: Resources, node: NodeFacts, used: Resources) -> float:
    """Return the share of cores and memory left free (kube-scheduler, NodeResourcesFit, LeastAllocated)."""
    left: list[float] = []
    for capacity, in_use, wanted in (
        (node.cpu, used.cpu, resources.cpu),
        (node.memory, used.memory, resources.memory),
    ):
        left.append(max(0.0, 1.0 - (in_use + wanted) / capacity) if capacity else _UNKNOWN)
    return sum(left) / len(left)
