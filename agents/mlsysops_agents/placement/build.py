"""Descriptions made into a `Problem`: filters asked once for each kind of component and kind of node, goals made integers.

Components that are alike in all that a filter looks at are one kind, and so are nodes: thousands of components on a thousand
nodes cost as many questions as there are kinds of both (equivalence classes, as Borg's scheduler has them: Verma et al.,
"Large-scale cluster management at Google with Borg", 2015, section 3.4).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .demand import Demand
from .facts import NodeFacts, Resources
from .filters import FILTERS
from .fleet import EPSILON, MICRO, Fleet
from .goals import GOALS, Weights
from .problem import FAR, FORBIDDEN, NOWHERE, SCALE, Anchor, Line, Problem

__all__ = ["Built", "build"]

#: Filters that depend on what is in use: the solvers keep account of that themselves.
_ACCOUNTED = frozenset({"cpu", "memory", "disk"})
_STATIC = tuple(check for name, check in FILTERS.items() if name not in _ACCOUNTED)
_EMPTY = Resources()
#: Utilisation at which the balance gets steeper; it follows u * u / 2, whose slope is the share in use.
_BENDS = (0.0, 0.3, 0.55, 0.75, 0.9, 1.0)
#: Load of an item of the usual (mean) size. Loads are counted in parts of it, which keeps the programme's numbers small.
_USUAL = 50
#: Units that the biggest node has at most: a solver's numbers have 64 bits.
_MOST_UNITS = 1e8


@dataclass(frozen=True, slots=True)
class Built:
    """A problem, and what its numbers stand for.

    Attributes:
        problem: The problem; item i is demand i, host h is node h.
        demands: The demands.
        nodes: The nodes.
    """

    problem: Problem
    demands: Sequence[Demand]
    nodes: Sequence[NodeFacts]


def build(
    demands: Sequence[Demand],
    nodes: Sequence[NodeFacts],
    *,
    current: Mapping[str, str],
    fixed: Mapping[str, str],
    interactions: Sequence[tuple[str, str, float]],
    weights: Weights,
) -> Built:
    """Make a problem.

    Args:
        demands: What is to be placed.
        nodes: The candidates.
        current: Component to node of what is among the demands and placed already.
        fixed: Component to node of what is not among the demands.
        interactions: Pairs of components, and how much their distance matters.
        weights: What counts how much.
    """
    fleet = Fleet.of(nodes)
    index = fleet.hosts
    groups = {name: number for number, name in enumerate(dict.fromkeys(demand.application for demand in demands))}
    kinds, linear = _linear(demands, fleet, weights)
    units = _units(demands, fleet)
    loads = tuple((round(d.resources.cpu / units[0]), round(d.resources.memory / units[1])) for d in demands)
    base = tuple((round(n.used.cpu / units[0]), round(n.used.memory / units[1])) for n in fleet)
    item_of = {member: item for item, demand in enumerate(demands) for member in demand.members}
    pairs, anchors = _interactions(interactions, item_of, index, fixed, weights.affinity)
    present: Counter[tuple[int, int]] = Counter()
    if len(groups) == 1:
        # Fixed components are those of the one application that is being placed.
        present.update((0, index[host]) for host in fixed.values() if host in index)
    problem = Problem(
        free=fleet.free,
        needs=tuple(_needs(demand.resources) for demand in demands),
        kinds=kinds,
        linear=linear,
        current=tuple(
            index.get(next((current[m] for m in demand.members if m in current), ""), NOWHERE) for demand in demands
        ),
        move=tuple(round(SCALE * weights.stay * len(demand.members)) for demand in demands),
        pairs=pairs,
        anchors=tuple(tuple(anchors.get(item, ())) for item in range(len(demands))),
        levels=fleet.levels,
        groups=tuple(groups[demand.application] for demand in demands),
        present=dict(present),
        spread=round(SCALE * weights.spread),
        loads=loads,
        base=base,
        curves=_curves(fleet, units, weights.least_allocated),
        usual=(_USUAL, _USUAL),
    )
    return Built(problem, demands, fleet)


def _linear(
    demands: Sequence[Demand], fleet: Fleet, weights: Weights
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return the kind of each demand, and each kind's cost of each node."""
    labels = frozenset(label for demand in demands for place in demand.placements for label in place.labels)
    labels |= {item.runtime_class_name for demand in demands for item in demand.components if item.runtime_class_name}
    names = frozenset(place.node for demand in demands for place in demand.placements if place.node is not None)
    factors = tuple(SCALE * getattr(weights, goal) for goal in GOALS)
    numbers: dict[Any, int] = {}
    rows: list[tuple[int, ...]] = []
    kinds: list[int] = []
    allowed: dict[Any, list[bool]] = {}
    node_kinds: tuple[int, ...] | None = None
    examples: list[NodeFacts] = []
    for demand in demands:
        wish = _wish(demand)
        key = (wish, demand.importance)
        if key not in numbers:
            numbers[key] = len(rows)
            row = fleet.rows.known.get((key, factors))
            if row is None:
                if node_kinds is None:
                    node_kinds, examples = fleet.kinds(labels, names)
                if wish not in allowed:
                    allowed[wish] = [not any(check(demand, node, _EMPTY) for check in _STATIC) for node in examples]
                fits = allowed[wish]
                weighted = [factor * matters for factor, matters in zip(factors, demand.importance, strict=True)]
                made = tuple(
                    round(sum(map(_times, weighted, cost))) if fits[kind] else FORBIDDEN
                    for kind, cost in zip(node_kinds, fleet.costs, strict=True)
                )
                row = fleet.rows.keep((key, factors), made)
            rows.append(row)
        kinds.append(numbers[key])
    return tuple(kinds), tuple(rows)


def _wish(demand: Demand) -> tuple[Any, ...]:
    """Return all that a filter looks at of a demand, but amounts that the solvers keep account of."""
    return (
        tuple((p.node, tuple(p.continuum_layer), p.mobile, tuple(p.labels)) for p in demand.placements),
        tuple(
            (tuple(map(_text, c.sensors)), c.node_type, c.os, c.container_runtime, c.runtime_class_name)
            for c in demand.components
        ),
        tuple((tuple(cpu.architecture), cpu.frequency, cpu.performance_indicator) for cpu in demand.cpus),
        tuple(map(_text, demand.mcus)),
        tuple(map(_text, demand.gpus)),
        tuple(map(_text, demand.fpgas)),
        demand.resources.gpu,
    )


def _times(first: float, second: float) -> float:
    return first * second


def _text(model: Any) -> str:
    return "" if model is None else str(model.model_dump_json())


def _needs(resources: Resources) -> tuple[tuple[int, int], ...]:
    amounts = (
        math.ceil(resources.cpu * MICRO - EPSILON),
        resources.memory,
        resources.disk,
        math.ceil(resources.gpu * MICRO - EPSILON),
    )
    return tuple((resource, amount) for resource, amount in enumerate(amounts) if amount > 0)


def _units(demands: Sequence[Demand], fleet: Fleet) -> tuple[float, float]:
    """Return the cores and bytes that are one unit of load; even next to nothing is some of the biggest node."""
    number = max(1, len(demands)) * _USUAL
    cores, memory = (sum(d.resources.cpu for d in demands), sum(d.resources.memory for d in demands))
    sizes, _ = fleet.sizes
    least = [max((size[kind] for size in sizes), default=0) / _MOST_UNITS for kind in (0, 1)]
    return (max(cores / number, least[0]) or 1.0, max(memory / number, least[1]) or 1.0)


def _curves(
    fleet: Fleet, units: tuple[float, float], weight: float
) -> tuple[tuple[tuple[Line, ...], tuple[Line, ...]], ...]:
    """Return each node's balance: u * u / 2 for each of cores and memory, for as many usual items as the node holds.

    So the last piece of room costs an item of the usual size ``weight`` / 2 for each of the two, however big the node is.
    """
    made: dict[int, tuple[Line, ...]] = {}

    def lines(capacity: int) -> tuple[Line, ...]:
        if capacity <= 0 or not weight:
            return ()
        if capacity not in made:
            found: list[Line] = []
            value = start = 0
            for low, high in pairwise(_BENDS):
                slope = round(SCALE * weight / 2 / _USUAL * (low + high) / 2)
                found.append((slope, slope * start - value))
                end = round(high * capacity)
                value += slope * (end - start)
                start = end
            made[capacity] = tuple(found)
        return made[capacity]

    sizes, which = fleet.sizes
    pairs = [(lines(int(cores / units[0])), lines(int(memory / units[1]))) for cores, memory in sizes]
    return tuple(map(pairs.__getitem__, which))


def _interactions(
    interactions: Sequence[tuple[str, str, float]],
    item_of: Mapping[str, int],
    index: Mapping[str, int],
    fixed: Mapping[str, str],
    affinity: float,
) -> tuple[tuple[tuple[int, int, int], ...], dict[int, list[Anchor]]]:
    weights: Counter[tuple[int, int]] = Counter()
    anchors: defaultdict[int, list[Anchor]] = defaultdict(list)
    for first, second, weight in interactions:
        amount = round(weight * affinity * SCALE / FAR)
        ours, theirs = item_of.get(first), item_of.get(second)
        if ours is not None and theirs is not None:
            if ours != theirs:
                weights[min(ours, theirs), max(ours, theirs)] += amount
            continue
        for item, other in ((ours, second), (theirs, first)):
            if item is not None and (host := index.get(fixed.get(other, ""))) is not None:
                anchors[item].append(Anchor(host, amount))
    return tuple((first, second, amount) for (first, second), amount in sorted(weights.items())), anchors
