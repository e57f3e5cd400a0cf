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
from .facts import NodeFacts, Resources, fingerprint_of
from .filters import FILTERS
from .goals import GOALS, Weights, node_costs
from .problem import FAR, FORBIDDEN, NOWHERE, SCALE, Anchor, Level, Line, Problem

__all__ = ["Built", "build"]

#: Filters that depend on what is in use: the solvers keep account of that themselves.
_ACCOUNTED = frozenset({"cpu", "memory", "disk"})
_STATIC = tuple(check for name, check in FILTERS.items() if name not in _ACCOUNTED)
_EMPTY = Resources()
#: Hundredths of the distance that are saved by sharing a node, a site (datacenter or place), a cluster.
_SAVED = (50, 25, 25)
#: Utilisation at which the balance gets steeper; it follows u * u / 2, whose slope is the share in use.
_BENDS = (0.0, 0.3, 0.55, 0.75, 0.9, 1.0)
_MICRO = 1_000_000
#: Load of an item of the usual (mean) size. Loads are counted in parts of it, which keeps the programme's numbers small.
_USUAL = 50
#: Tolerance of sums of cores, as in the filter `cpu`.
_EPSILON = 1e-3


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
    index = {node.name: host for host, node in enumerate(nodes)}
    groups = {name: number for number, name in enumerate(dict.fromkeys(demand.application for demand in demands))}
    kinds, linear = _linear(demands, nodes, weights)
    units = _units(demands)
    loads = tuple((round(d.resources.cpu / units[0]), round(d.resources.memory / units[1])) for d in demands)
    base = tuple((round(n.used.cpu / units[0]), round(n.used.memory / units[1])) for n in nodes)
    item_of = {member: item for item, demand in enumerate(demands) for member in demand.members}
    pairs, anchors = _interactions(interactions, item_of, index, fixed, weights.affinity)
    present: Counter[tuple[int, int]] = Counter()
    if len(groups) == 1:
        # Fixed components are those of the one application that is being placed.
        present.update((0, index[host]) for host in fixed.values() if host in index)
    problem = Problem(
        free=tuple(_free(node) for node in nodes),
        needs=tuple(_needs(demand.resources) for demand in demands),
        kinds=kinds,
        linear=linear,
        current=tuple(
            index.get(next((current[m] for m in demand.members if m in current), ""), NOWHERE) for demand in demands
        ),
        move=tuple(round(SCALE * weights.stay * len(demand.members)) for demand in demands),
        pairs=pairs,
        anchors=tuple(tuple(anchors.get(item, ())) for item in range(len(demands))),
        levels=_levels(nodes),
        groups=tuple(groups[demand.application] for demand in demands),
        present=dict(present),
        spread=round(SCALE * weights.spread),
        loads=loads,
        base=base,
        curves=_curves(nodes, units, weights.least_allocated),
        usual=(_USUAL, _USUAL),
    )
    return Built(problem, demands, nodes)


def _linear(
    demands: Sequence[Demand], nodes: Sequence[NodeFacts], weights: Weights
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return the kind of each demand, and each kind's cost of each node."""
    labels = frozenset(label for demand in demands for place in demand.placements for label in place.labels)
    labels |= {item.runtime_class_name for demand in demands for item in demand.components if item.runtime_class_name}
    names = frozenset(place.node for demand in demands for place in demand.placements if place.node is not None)
    classes: dict[Any, int] = {}
    examples: list[NodeFacts] = []
    node_class: list[int] = []
    for node in nodes:
        key = _node_key(node, labels, names)
        if key not in classes:
            classes[key] = len(examples)
            examples.append(node)
        node_class.append(classes[key])
    costs = node_costs(nodes)
    factors = tuple(SCALE * getattr(weights, goal) for goal in GOALS)
    numbers: dict[Any, int] = {}
    allowed: dict[Any, list[bool]] = {}
    rows: list[tuple[int, ...]] = []
    kinds: list[int] = []
    for demand in demands:
        wish = _wish(demand)
        key = (wish, demand.importance)
        if key not in numbers:
            if wish not in allowed:
                allowed[wish] = [not any(check(demand, node, _EMPTY) for check in _STATIC) for node in examples]
            fits = allowed[wish]
            weighted = [factor * matters for factor, matters in zip(factors, demand.importance, strict=True)]
            numbers[key] = len(rows)
            rows.append(
                tuple(
                    round(sum(map(_times, weighted, cost))) if fits[kind] else FORBIDDEN
                    for kind, cost in zip(node_class, costs, strict=True)
                )
            )
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


def _node_key(node: NodeFacts, labels: frozenset[str], names: frozenset[str]) -> tuple[Any, ...]:
    """Return all that a filter may look at, as far as it can make a difference to these demands."""
    description = node.description
    return (
        node.name if node.name in names else None,
        node.labels & labels,
        node.ready,
        node.unschedulable,
        node.taints,
        node.architecture,
        node.os,
        node.container_runtimes,
        node.runtime_classes,
        node.gpus,
        None
        if description is None
        else (
            description.continuum_layer,
            description.mobile,
            description.environment.node_type,
            node.fingerprint or fingerprint_of(description),
        ),
    )


def _text(model: Any) -> str:
    return "" if model is None else str(model.model_dump_json())


def _free(node: NodeFacts) -> tuple[int, ...]:
    """Return free cores (millionths), memory and disk (bytes), GPUs (millionths); what is unknown is none."""
    used = node.used
    return (
        -1 if node.cpu is None else math.floor((node.cpu - used.cpu) * _MICRO + _EPSILON),
        -1 if node.memory is None else node.memory - used.memory,
        -1 if node.disk is None else node.disk - used.disk,
        -1 if node.gpus is None else math.floor((node.gpus - used.gpu) * _MICRO + _EPSILON),
    )


def _needs(resources: Resources) -> tuple[tuple[int, int], ...]:
    amounts = (
        math.ceil(resources.cpu * _MICRO - _EPSILON),
        resources.memory,
        resources.disk,
        math.ceil(resources.gpu * _MICRO - _EPSILON),
    )
    return tuple((resource, amount) for resource, amount in enumerate(amounts) if amount > 0)


def _units(demands: Sequence[Demand]) -> tuple[float, float]:
    """Return the cores and bytes that are one unit of load."""
    number = max(1, len(demands)) * _USUAL
    cores, memory = (sum(d.resources.cpu for d in demands), sum(d.resources.memory for d in demands))
    return (cores / number or 1.0, memory / number or 1.0)


def _curves(
    nodes: Sequence[NodeFacts], units: tuple[float, float], weight: float
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

    return tuple((lines(int((node.cpu or 0) / units[0])), lines(int((node.memory or 0) / units[1]))) for node in nodes)


def _levels(nodes: Sequence[NodeFacts]) -> tuple[Level, ...]:
    """Return the network's hierarchy: node, site, cluster."""
    sites: dict[Any, int] = {}
    clusters: dict[str, int] = {}
    site_of: list[int] = []
    cluster_of: list[int] = []
    for node in nodes:
        description = node.description
        # Where nodes of several clusters take part, their names say which is whose: cluster/node.
        cluster, slash, _ = node.name.partition("/")
        if not slash:
            cluster = (description.cluster_id if description is not None else None) or ""
        place: Any = None
        if description is not None:
            place = description.datacenter_id or (tuple(description.location) if description.location else None)
        site_of.append(sites.setdefault((cluster, place), len(sites)))
        cluster_of.append(clusters.setdefault(cluster, len(clusters)))
    zones = (tuple(range(len(nodes))), tuple(site_of), tuple(cluster_of))
    return tuple(Level(zone, saved) for zone, saved in zip(zones, _SAVED, strict=True))


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
