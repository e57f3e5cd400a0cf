"""Proves how good a plan of the published instances can be: proofs.py [--seconds S] [NAME …]; writes proofs.json.

The integer programme of `mlsysops_agents.placement.problem` goes to SCIP (Achterberg, "SCIP: solving constraint integer
programs", 2009), which comes with OR-tools and closes these better than CP-SAT does: branch and bound over the linear relaxation
suits costs that are sums. What it finds in a long time is kept, so that the benchmark holds each plan against the same floor on
every machine; an entry counts only for exactly the problem it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from instances import INSTANCES, Instance
from mlsysops_agents.placement import Weights
from mlsysops_agents.placement.build import build
from mlsysops_agents.placement.heuristic import solve
from mlsysops_agents.placement.problem import FAR, NOWHERE, Problem, objective, violations

FILE = Path(__file__).parent / "proofs.json"
#: Amounts of a resource are told SCIP in these many millionths and bytes, which keeps its numbers near one.
_UNITS = (1e6, 1e9, 1e9, 1e6)


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of an instance.

    Attributes:
        digest: Of the problem.
        cost: Of the best plan known.
        bound: No plan costs less.
        plan: The best plan known: host of each item.
    """

    digest: str
    cost: int
    bound: int
    plan: list[int]

    @property
    def proved(self) -> bool:
        """Whether the plan is the best there is, as exactly as a solver with floating point says it."""
        return self.cost - self.bound <= 1e-6 * self.cost


def problem_of(instance: Instance) -> Problem:
    """The instance as all solvers see it."""
    return build(
        instance.demands,
        instance.nodes,
        current={},
        fixed={},
        interactions=instance.interactions,
        weights=Weights(),
    ).problem


def digest(problem: Problem) -> str:
    """A problem's fingerprint."""
    return hashlib.sha256(repr(astuple(problem)).encode()).hexdigest()[:16]


def known() -> dict[str, Proof]:
    """All proofs that are kept."""
    return {name: Proof(**entry) for name, entry in json.loads(FILE.read_text()).items()} if FILE.exists() else {}


def prove(problem: Problem, start: Sequence[int], seconds: float) -> Proof:
    """Look for the best plan, and for the least that any can cost.

    Args:
        problem: A problem whose items all have a host.
        start: The best plan known.
        seconds: Wall time there is.
    """
    from ortools.linear_solver import pywraplp

    solver = pywraplp.Solver.CreateSolver("SCIP")
    places = [{host: solver.BoolVar("") for host in problem.allowed(item)} for item in range(problem.items)]
    costs: list[Any] = []
    for item, row in enumerate(places):
        solver.Add(sum(row.values()) == 1)
        costs += [problem.linear[problem.kinds[item]][host] * variable for host, variable in row.items()]
    for host in range(problem.hosts):
        costs += _host(solver, problem, host, [(item, row[host]) for item, row in enumerate(places) if host in row])
    for first, second, weight in problem.pairs:
        costs += _pair(solver, problem, places[first], places[second], weight)
    solver.Minimize(sum(costs))
    solver.SetHint(
        [variable for row in places for variable in row.values()],
        [float(start[item] == host) for item, row in enumerate(places) for host in row],
    )
    solver.SetTimeLimit(round(seconds * 1000))
    parameters = pywraplp.MPSolverParameters()
    parameters.SetDoubleParam(pywraplp.MPSolverParameters.RELATIVE_MIP_GAP, 0.0)
    status = solver.Solve(parameters)
    plan = list(start)
    if status in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        found = [max(row, key=lambda host: row[host].solution_value()) for row in places]
        if not violations(problem, found) and objective(problem, found) < objective(problem, plan):
            plan = found
    cost = objective(problem, plan)[1]
    bound = min(cost, max(0, math.ceil(solver.Objective().BestBound() - 1e-6 * cost)))
    return Proof(digest(problem), cost, bound, plan)


def _host(solver: Any, problem: Problem, host: int, here: list[tuple[int, Any]]) -> list[Any]:
    """Return what a host costs: its balance, and the spread of each group."""
    costs: list[Any] = []
    for resource, unit in enumerate(_UNITS):
        amounts = [(dict(problem.needs[item]).get(resource, 0), variable) for item, variable in here]
        if any(amount for amount, _ in amounts):
            used = sum(amount / unit * variable for amount, variable in amounts if amount)
            solver.Add(used <= problem.free[host][resource] / unit)
    for kind, lines in enumerate(problem.curves[host]):
        load = problem.base[host][kind] + sum(problem.loads[item][kind] * variable for item, variable in here)
        cost = solver.NumVar(0, solver.infinity(), "")
        for slope, offset in lines:
            solver.Add(cost >= slope * load - offset)
        costs.append(cost)
    groups: defaultdict[int, list[Any]] = defaultdict(list)
    for item, variable in here:
        groups[problem.groups[item]].append(variable)
    for members in groups.values():
        if problem.spread and len(members) > 1:
            beyond = solver.NumVar(0, len(members), "")
            solver.Add(beyond >= sum(members) - 1)
            costs.append(problem.spread * beyond)
    return costs


def _pair(solver: Any, problem: Problem, ours: dict[int, Any], theirs: dict[int, Any], weight: int) -> list[Any]:
    """Return what the distance of two items costs: all of it, less what each shared zone saves."""
    one = solver.NumVar(1, 1, "")
    costs: list[Any] = [weight * FAR * one]
    for level in problem.levels:
        for zone in {level.zone[host] for host in ours} & {level.zone[host] for host in theirs}:
            shared = solver.NumVar(0, 1, "")
            for row in (ours, theirs):
                solver.Add(shared <= sum(variable for host, variable in row.items() if level.zone[host] == zone))
            costs.append(-weight * level.saved * shared)
    return costs


def main() -> None:
    """Prove what is asked for, keeping the better of old and new."""
    parser = argparse.ArgumentParser(description="Prove how good a plan of the published instances can be.")
    parser.add_argument("--seconds", type=float, default=600.0, help="wall time for each instance")
    parser.add_argument("names", nargs="*", help="instances (all by default)")
    arguments = parser.parse_args()
    for instance in INSTANCES:
        if arguments.names and instance.name not in arguments.names:
            continue
        problem = problem_of(instance)
        before = known().get(instance.name)
        if before is not None and before.digest != digest(problem):
            before = None
        if before is not None and before.proved:
            continue
        start = solve(problem) if before is None else before.plan
        if NOWHERE in start or any(problem.base[host] != (0, 0) for host in range(problem.hosts)) or problem.present:
            parser.exit(1, f"{instance.name}: only whole plans on empty hosts are proved here\n")
        begin = time.monotonic()
        proof = prove(problem, start, arguments.seconds)
        if before is not None:
            proof = Proof(proof.digest, proof.cost, max(proof.bound, before.bound), proof.plan)
        entries = {**known(), instance.name: proof}
        text = ",\n".join(f"  {json.dumps(name)}: {json.dumps(asdict(item))}" for name, item in entries.items())
        FILE.write_text(f"{{\n{text}\n}}\n")
        gap = 100 * (proof.cost / proof.bound - 1)
        print(f"{instance.name}: {proof.cost}, bound {proof.bound} ({gap:.2f} %), {time.monotonic() - begin:.0f} s")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
