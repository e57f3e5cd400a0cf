"""Components onto nodes: filter, score, take the best; and say of every other node why not.

A greedy pass, the component with the fewest places first. Where one is left without a place, the pass is done again with that
one first, which undoes the commonest mistakes of greed without a search.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mlsysops_core.contracts import PlacementOutcome, Rejected

from .demand import Demand
from .explain import explain
from .facts import NodeFacts, Resources
from .filters import first_objection
from .scores import Weights, score

__all__ = ["place", "place_elsewhere"]


def place(
    demands: Sequence[Demand],
    nodes: Sequence[NodeFacts],
    *,
    current: Mapping[str, str] | None = None,
    fixed: Mapping[str, str] | None = None,
    interactions: Sequence[tuple[str, str]] = (),
    weights: Weights | None = None,
    what: str = "nodes",
) -> PlacementOutcome:
    """Find a node for each demand.

    Args:
        demands: What is to be placed, together.
        nodes: The candidates; what they have in use must not include the demands themselves.
        current: Component to node of what is among the demands and placed already; it stays where it still fits.
        fixed: Component to node of what is not among the demands: its use is in the facts, and it counts in scores.
        interactions: Pairs of components that talk to each other.
        weights: What counts how much.
        what: What candidates are called in explanations.
    """
    order = _order(demands, nodes, current or {})
    best = _Pass(nodes, current or {}, fixed or {}, interactions, weights or Weights(), what)
    failed = best.run(order)
    for _ in order:
        if failed is None or order[0] is failed:
            break
        order = [failed, *(demand for demand in order if demand is not failed)]
        attempt = _Pass(nodes, current or {}, fixed or {}, interactions, weights or Weights(), what)
        failed = attempt.run(order)
        if len(attempt.assignments) > len(best.assignments):
            best = attempt
    return best.outcome()


def place_elsewhere(
    demand: Demand,
    nodes: Sequence[NodeFacts],
    *,
    present: str,
    placed: Mapping[str, str],
    interactions: Sequence[tuple[str, str]] = (),
    weights: Weights | None = None,
) -> PlacementOutcome:
    """Find the best node for a placed demand other than its present one, whose score is given too where it still fits.

    Args:
        demand: What is placed.
        nodes: The candidates; what they have in use must not include the demand itself.
        present: Its node.
        placed: Component to node of the rest of the application.
        interactions: Pairs of components that talk to each other.
        weights: What counts how much; staying counts nothing by itself here.
    """
    others_placed = {name: host for name, host in placed.items() if name not in demand.members}
    taken = _Pass(nodes, placed, others_placed, interactions, weights or Weights(stay=0.0), "nodes")
    scores, rejected = taken.candidates(demand)
    others = {name: value for name, value in scores.items() if name != present}
    best = max(others, key=lambda name: (others[name], name), default=None)
    text = explain(rejected, len(nodes), "nodes")
    return PlacementOutcome(
        assignments=dict.fromkeys(demand.members, best) if best is not None else {},
        rejected=[Rejected(item.candidate, item.filter, item.reason, demand.members[0]) for item in rejected],
        explain=dict.fromkeys(demand.members, text),
        scores=dict.fromkeys(demand.members, scores),
    )


class _Pass:
    """One greedy pass."""

    def __init__(
        self,
        nodes: Sequence[NodeFacts],
        current: Mapping[str, str],
        fixed: Mapping[str, str],
        interactions: Sequence[tuple[str, str]],
        weights: Weights,
        what: str,
    ) -> None:
        self._nodes = nodes
        self._what = what
        self._current = current
        self._weights = weights
        self._used: dict[str, Resources] = {node.name: node.used for node in nodes}
        self._partners: defaultdict[str, list[str]] = defaultdict(list)
        for first, second in interactions:
            self._partners[first].append(second)
            self._partners[second].append(first)
        self.assignments: dict[str, str] = dict(fixed)
        self._rejected: list[Rejected] = []
        self._explain: dict[str, str] = {}
        self._scores: dict[str, dict[str, float]] = {}

    def run(self, demands: Sequence[Demand]) -> Demand | None:
        """Place all; returns the first demand that found no place."""
        first_failed: Demand | None = None
        for demand in demands:
            scores, rejected = self.candidates(demand)
            text = explain(rejected, len(self._nodes), self._what)
            for member in demand.members:
                self._scores[member] = scores
                self._explain[member] = text
                self._rejected.extend(Rejected(item.candidate, item.filter, item.reason, member) for item in rejected)
            if not scores:
                first_failed = first_failed or demand
                continue
            present = {self._current.get(member) for member in demand.members}
            # Equal scores: the first name, so that the same facts always give the same plan.
            chosen = min(scores, key=lambda name: (name not in present, -scores[name], name))
            self._used[chosen] = self._used[chosen] + demand.resources
            self.assignments.update(dict.fromkeys(demand.members, chosen))
        return first_failed

    def candidates(self, demand: Demand) -> tuple[dict[str, float], list[Rejected]]:
        """Return the scores of the nodes that fit, and the rest with their reasons."""
        scores: dict[str, float] = {}
        rejected: list[Rejected] = []
        for node in self._nodes:
            used = self._used[node.name]
            objection = first_objection(demand, node, used)
            if objection is not None:
                rejected.append(Rejected(node.name, *objection))
                continue
            stays = all(self._current.get(member) == node.name for member in demand.members)
            scores[node.name] = score(
                demand,
                node,
                used,
                placed=self.assignments,
                partners=self._partners,
                stays=stays,
                weights=self._weights,
            )
        return scores, rejected

    def outcome(self) -> PlacementOutcome:
        """Return what came of it."""
        return PlacementOutcome(
            assignments=self.assignments,
            rejected=self._rejected,
            explain=self._explain,
            scores=self._scores,
        )


def _order(demands: Sequence[Demand], nodes: Sequence[NodeFacts], current: Mapping[str, str]) -> list[Demand]:
    """What is placed already keeps its room; then the fewest places first, then the biggest."""
    places = {demand.members: sum(first_objection(demand, node) is None for node in nodes) for demand in demands}

    def rank(demand: Demand) -> tuple[bool, int, float, int, tuple[str, ...]]:
        placed = any(member in current for member in demand.members)
        return (
            not placed,
            places[demand.members],
            -demand.resources.cpu,
            -demand.resources.memory,
            demand.members,
        )

    return sorted(demands, key=rank)
