"""How fast placement is, and how far from the optimum.

Times are seconds of CPU: placement is one thread of pure computing, and other programs' load is not its speed. A gap is held
against the proved optimum or, where CP-SAT did not prove one in its time, against its lower bound, which can only make the
gap look larger. Instances whose applications talk have no useful bound in such a time; their gap is the one to the best plan
that CP-SAT found from the heuristic's.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Iterator

from figure import Figure
from instances import SIZES, Instance, mixed, trace
from mlsysops_agents.placement import NodeFacts, Resources, Weights, place
from mlsysops_agents.placement.build import build
from mlsysops_agents.placement.exact import Exact, solve_exactly
from mlsysops_agents.placement.heuristic import solve
from mlsysops_agents.placement.problem import Problem, objective, violations

#: What the exact solver may work on an instance: its deterministic seconds, which do not depend on the machine's load.
WORK = float(os.environ.get("MLS_BENCH_EXACT_WORK", "20"))
#: Wall time after which it is stopped all the same.
SECONDS = 60.0
#: A lower bound below this share of the cost says nothing.
_USEFUL = 0.5


def problem_of(instance: Instance) -> Problem:
    """The instance as both solvers see it."""
    return build(
        instance.demands,
        instance.nodes,
        current={},
        fixed={},
        interactions=instance.interactions,
        weights=Weights(),
    ).problem


def compare(instance: Instance) -> tuple[int, Exact]:
    """What the heuristic's plan costs, and what the exact solver says."""
    problem = problem_of(instance)
    plan = solve(problem)
    missing, cost = objective(problem, plan)
    if missing or violations(problem, plan):
        raise AssertionError(f"{instance.name}: {missing} components have no node")
    return cost, solve_exactly(problem, plan, seconds=SECONDS, workers=os.cpu_count() or 1, work=WORK)


def figures() -> Iterator[Figure]:
    """Time at scale first, then gaps."""
    for name, instance in (
        ("placement_10000x1000", mixed(10_000, 1_000, talk=0.7)),
        ("placement_trace_10000x1000", trace(10_000, 1_000, talk=0.7)),
    ):
        start = time.process_time()
        outcome = place(instance.demands, instance.nodes, interactions=instance.interactions)
        seconds = time.process_time() - start
        note = f"{len(outcome.unplaced)} of 10000 components without a node"
        yield Figure(name, seconds, "s CPU", 5.0, note=note)
    yield lost_node(instance, dict(outcome.assignments))
    try:
        yield from gaps()
    except ImportError as error:
        yield Figure("placement_gap_median", None, "%", 2.0, note=str(error))


def lost_node(instance: Instance, placed: dict[str, str]) -> Figure:
    """Re-placement of what was on one node of a thousand, worst of ten nodes; the rest keeps its place."""
    worst, moved = 0.0, 0
    # The ten thousand descriptions around it are the bench's, not the placement's: the collector need not walk them.
    gc.collect()
    gc.freeze()
    by_member = {member: demand for demand in instance.demands for member in demand.members}
    for lost in sorted(set(placed.values()))[:10]:
        orphans = [demand for demand in instance.demands if placed[demand.members[0]] == lost]
        used: dict[str, Resources] = {}
        for member, host in placed.items():
            used[host] = used.get(host, Resources()) + by_member[member].resources
        nodes = [
            NodeFacts.gather(node.name, description=node.description, used=used.get(node.name))
            for node in instance.nodes
            if node.name != lost
        ]
        gone = {demand.members[0] for demand in orphans}
        talks = [item for item in instance.interactions if gone & {item[0], item[1]}]
        fixed = {name: host for name, host in placed.items() if name not in gone}
        start = time.process_time()
        outcome = place(orphans, nodes, fixed=fixed, interactions=talks)
        worst = max(worst, time.process_time() - start)
        moved += len(orphans)
        if outcome.unplaced:
            raise AssertionError(f"{outcome.unplaced} found no new node")
    gc.unfreeze()
    return Figure("placement_lost_node_of_1000", worst * 1000, "ms CPU", 200.0, note=f"{moved} components of 10 nodes")


def gaps() -> Iterator[Figure]:
    """Percent above the optimum (or its bound) on the published instances."""
    found: list[float] = []
    known: list[float] = []
    proved = 0
    instances = [*(mixed(components, nodes) for components, nodes in SIZES), trace(150, 30)]
    for instance in instances:
        cost, exact = compare(instance)
        floor = exact.cost if exact.proved else exact.bound
        gap = 100.0 * (cost - floor) / floor
        found.append(gap)
        known.append(100.0 * (cost / exact.cost - 1))
        proved += exact.proved
        note = (
            "optimum proved"
            if exact.proved
            else f"to the bound; {100 * (cost / exact.cost - 1):.2f} % to CP-SAT's best"
        )
        yield Figure(f"placement_gap_{instance.name.replace(' ', '_')}", gap, "%", 6.0, note=note)
    note = f"to the best plan known, proved optimal for {proved} of {len(found)}"
    yield Figure("placement_gap_median", statistics.median(known), "%", 2.0, note=note)
    yield Figure("placement_gap_worst", max(known), "%", 6.0, note=note)
    note = "to the proved optimum or else the lower bound: no plan can show a larger gap"
    yield Figure("placement_gap_median_to_bound", statistics.median(found), "%", 2.0, note=note)
    yield Figure("placement_gap_worst_to_bound", max(found), "%", 6.0, note=note)
    talking = [mixed(components, nodes, talk=0.5) for components, nodes in (SIZES[0], SIZES[4], SIZES[8], SIZES[-1])]
    apart = [100.0 * (cost / exact.cost - 1) for cost, exact in map(compare, talking)]
    note = f"to CP-SAT's best within {WORK:g} s of work, started from the heuristic's plan"
    yield Figure("placement_gap_talking_worst", max(apart), "%", 6.0, note=note)
