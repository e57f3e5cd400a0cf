"""How fast placement is, and how far from the optimum.

Times are seconds of CPU: placement is one thread of pure computing, and other programs' load is not its speed. A gap is held
against the optimum where `proofs` has proved one, and else against the largest lower bound that is proved, which can only make
the gap look larger. An instance that is not the one of the kept proof is proved anew, as far as a minute lasts.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator

from figure import Figure
from instances import INSTANCES, Instance, mixed, trace
from mlsysops_agents.placement import NodeFacts, Resources, place
from mlsysops_agents.placement.heuristic import solve
from mlsysops_agents.placement.problem import objective, violations
from proofs import Proof, digest, known, problem_of, prove

#: Wall time for an instance of which no proof is kept.
SECONDS = 60.0
#: A lower bound below this share of the best cost says nothing.
_USEFUL = 0.5


def compare(instance: Instance) -> tuple[int, Proof]:
    """What the heuristic's plan costs, and what is known of the optimum."""
    problem = problem_of(instance)
    plan = solve(problem)
    missing, cost = objective(problem, plan)
    if missing or violations(problem, plan):
        raise AssertionError(f"{instance.name}: {missing} components have no node")
    proof = known().get(instance.name)
    if proof is None or proof.digest != digest(problem):
        proof = prove(problem, plan, SECONDS)
    elif violations(problem, proof.plan) or objective(problem, proof.plan) != (0, proof.cost):
        raise AssertionError(f"{instance.name}: the kept plan does not cost what is said")
    if cost < proof.bound:
        raise AssertionError(f"{instance.name}: costs {cost}, less than the proved bound {proof.bound}")
    return cost, proof


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
    known_best: list[float] = []
    proved = 0
    for instance in INSTANCES:
        cost, proof = compare(instance)
        known_best.append(100.0 * (cost / proof.cost - 1))
        if proof.bound < _USEFUL * proof.cost:
            name = f"placement_gap_{instance.name.replace(' ', '_')}_to_known"
            yield Figure(name, known_best[-1], "%", 6.0, note="to the best plan known: no useful bound was found")
            continue
        gap = 100.0 * (cost / proof.bound - 1)
        found.append(gap)
        proved += proof.proved
        note = "optimum proved" if proof.proved else f"to the bound; {known_best[-1]:.2f} % to the best plan known"
        yield Figure(f"placement_gap_{instance.name.replace(' ', '_')}", gap, "%", 6.0, note=note)
    note = f"to the proved optimum ({proved} of {len(found)}) or else to the lower bound: no plan can show a larger gap"
    yield Figure("placement_gap_median", statistics.median(found), "%", 2.0, note=note)
    yield Figure("placement_gap_worst", max(found), "%", 6.0, note=note)
    note = "to the best plan known"
    yield Figure("placement_gap_median_to_known", statistics.median(known_best), "%", 2.0, note=note)
    yield Figure("placement_gap_worst_to_known", max(known_best), "%", 6.0, note=note)
