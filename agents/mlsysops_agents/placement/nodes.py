"""Components onto nodes: the best plan that can be found, and of every other node why not.

What a plan is worth is defined in `problem`; how one is found in `heuristic` and, where it is asked for, `exact`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlsysops_core.contracts import PlacementOutcome, Rejected

from .build import Built, build
from .demand import Demand
from .exact import solve_exactly
from .explain import explain
from .facts import NodeFacts, Resources
from .filters import first_objection
from .goals import GOALS, Weights
from .heuristic import EFFORT, solve
from .problem import FAR, NOWHERE, SCALE
from .state import State

__all__ = ["Search", "place", "place_elsewhere"]

#: Pairs of demand and node up to which every rejection and score is told; beyond, only those of what found no place.
_TELL_ALL = 1_000


@dataclass(frozen=True, slots=True)
class Search:
    """How hard to look for a plan.

    Attributes:
        effort: Looks at a node that improving the first plan may cost; about two million a second.
        exact_seconds: Wall time for the exact solver after the heuristic; 0 leaves it out.
        workers: Threads of the exact solver.
    """

    effort: int = EFFORT
    exact_seconds: float = 0.0
    workers: int = 1


def place(
    demands: Sequence[Demand],
    nodes: Sequence[NodeFacts],
    *,
    current: Mapping[str, str] | None = None,
    fixed: Mapping[str, str] | None = None,
    interactions: Sequence[tuple[str, str, float]] = (),
    weights: Weights | None = None,
    search: Search | None = None,
    what: str = "nodes",
) -> PlacementOutcome:
    """Find a node for each demand.

    Args:
        demands: What is to be placed, together.
        nodes: The candidates; what they have in use must not include the demands themselves.
        current: Component to node of what is among the demands and placed already; it moves only where that pays for the
            disruption (`Weights.stay`), or where it cannot stay.
        fixed: Component to node of what is not among the demands: its use is in the facts, and it counts in scores.
        interactions: Pairs of components that talk to each other, and how much their distance matters.
        weights: What counts how much.
        search: How hard to look.
        what: What candidates are called in explanations.
    """
    built = build(
        demands,
        nodes,
        current=current or {},
        fixed=fixed or {},
        interactions=interactions,
        weights=weights or Weights(),
    )
    how = search or Search()
    hosts = solve(built.problem, effort=how.effort)
    if how.exact_seconds > 0 and any(host != NOWHERE for host in hosts):
        hosts = list(solve_exactly(built.problem, hosts, seconds=how.exact_seconds, workers=how.workers).hosts)
    return _outcome(built, hosts, fixed or {}, weights or Weights(), what)


def place_elsewhere(
    demand: Demand,
    nodes: Sequence[NodeFacts],
    *,
    present: str,
    placed: Mapping[str, str],
    interactions: Sequence[tuple[str, str, float]] = (),
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
    built = build(
        [demand], nodes, current={}, fixed=others_placed, interactions=interactions, weights=weights or Weights()
    )
    state = State(built.problem)
    scores = _scores(built, state, 0, weights or Weights())
    # Where it fits nothing stands against it: of a thousand nodes that is mostly soon said.
    rejected = _rejections(demand, [node for node in nodes if node.name not in scores], {})
    others = {name: value for name, value in scores.items() if name != present}
    best = min(others, key=lambda name: (-others[name], name), default=None)
    text = explain(rejected, len(nodes), "nodes")
    return PlacementOutcome(
        assignments=dict.fromkeys(demand.members, best) if best is not None else {},
        rejected=[Rejected(item.candidate, item.filter, item.reason, demand.members[0]) for item in rejected],
        explain=dict.fromkeys(demand.members, text),
        scores=dict.fromkeys(demand.members, scores),
    )


def _outcome(
    built: Built, hosts: Sequence[int], fixed: Mapping[str, str], weights: Weights, what: str
) -> PlacementOutcome:
    """Say where everything goes, and of the other nodes why not."""
    nodes, demands = built.nodes, built.demands
    tell_all = len(demands) * len(nodes) <= _TELL_ALL
    # Nothing needs to be told of a large problem in which everything has its place.
    quiet = not tell_all and NOWHERE not in hosts
    state = State(built.problem) if not quiet else None
    if state is not None:
        state.restore(hosts)
    used: dict[str, Resources] = {}
    for demand, host in zip(demands, hosts, strict=True):
        if host != NOWHERE:
            node = nodes[host]
            used[node.name] = used.get(node.name, node.used) + demand.resources
    assignments = dict(fixed)
    rejected: list[Rejected] = []
    texts: dict[str, str] = {}
    scores: dict[str, dict[str, float]] = {}
    for item, (demand, host) in enumerate(zip(demands, hosts, strict=True)):
        if host != NOWHERE:
            assignments.update(dict.fromkeys(demand.members, nodes[host].name))
            if not tell_all or state is None:
                texts.update(dict.fromkeys(demand.members, f"placed on {nodes[host].name} of {len(nodes)} {what}"))
                continue
            state.remove(item)
            mine = nodes[host].name
            without = Resources(
                used[mine].cpu - demand.resources.cpu,
                used[mine].memory - demand.resources.memory,
                used[mine].disk - demand.resources.disk,
                used[mine].gpu - demand.resources.gpu,
            )
            told = _rejections(demand, nodes, {**used, mine: without}, but=mine)
        else:
            told = _rejections(demand, nodes, used)
        table = _scores(built, state, item, weights) if state is not None else {}
        if host != NOWHERE and state is not None:
            state.add(item, host)
        text = explain(told, len(nodes), what)
        for member in demand.members:
            texts[member] = text
            scores[member] = table
            rejected.extend(Rejected(entry.candidate, entry.filter, entry.reason, member) for entry in told)
    return PlacementOutcome(assignments=assignments, rejected=rejected, explain=texts, scores=scores)


def _rejections(
    demand: Demand, nodes: Sequence[NodeFacts], used: Mapping[str, Resources], *, but: str | None = None
) -> list[Rejected]:
    return [
        Rejected(node.name, *objection)
        for node in nodes
        if node.name != but and (objection := first_objection(demand, node, used.get(node.name))) is not None
    ]


def _scores(built: Built, state: State, item: int, weights: Weights) -> dict[str, float]:
    """Return what each node that fits is worth for an item without a host: 1 costs nothing, 0 all that it can."""
    problem, demand = built.problem, built.demands[item]
    most = sum(getattr(weights, goal) * matters for goal, matters in zip(GOALS, demand.importance, strict=True))
    most += weights.least_allocated + weights.spread
    partners = sum(weight for first, second, weight in problem.pairs if item in (first, second))
    partners += sum(anchor.weight for anchor in problem.anchors[item])
    if problem.current[item] != NOWHERE:
        most += problem.move[item] / SCALE
    whole = (most + partners * FAR / SCALE) * SCALE or 1.0
    return {
        built.nodes[host].name: round(min(1.0, max(0.0, 1.0 - cost / whole)), 6)
        for host, cost in state.costs(item, range(problem.hosts))
    }
