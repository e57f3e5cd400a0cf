"""The exact way to a plan: the same objective as an integer programme for OR-tools' CP-SAT (extra ``optimize``).

The library is imported when it is asked for and never at start-up: it takes an agent some 60 MB.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlsysops_core.errors import InvalidInput

from .problem import FAR, NOWHERE, Problem, objective, violations

__all__ = ["Exact", "Stop", "has_solver", "solve_exactly"]

_BOUND = 10**12


def has_solver() -> bool:
    """Whether OR-tools is installed; it is never imported to find out."""
    return importlib.util.find_spec("ortools") is not None


class Stop:
    """Ends a search from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._solver: Any = None

    def set(self) -> None:
        """End the search that there is, or that will be."""
        with self._lock:
            self._set = True
            if self._solver is not None:
                self._solver.stop_search()

    def guard(self, solver: Any) -> bool:
        """Say whether a solver may begin; from then on it will be stopped."""
        with self._lock:
            self._solver = solver
            return not self._set


@dataclass(frozen=True, slots=True)
class Exact:
    """What the exact solver found.

    Attributes:
        hosts: Host of each item.
        cost: Cost of that plan.
        bound: No plan with as many items placed costs less.
        proved: Whether the plan is the best there is.
    """

    hosts: tuple[int, ...]
    cost: int
    bound: int
    proved: bool


def solve_exactly(
    problem: Problem,
    start: Sequence[int],
    *,
    seconds: float = 10.0,
    workers: int = 1,
    work: float | None = None,
    stop: Stop | None = None,
) -> Exact:
    """Improve a plan to the optimum, or as far as the time lasts.

    Args:
        problem: The problem.
        start: A plan that breaks no constraint; what it cannot place is not placed here either.
        seconds: Wall time there is.
        workers: Threads. With one the result is deterministic as long as the time suffices.
        stop: Ends the search early; what is found until then counts.
        work: Limit that does not depend on the machine's load, in CP-SAT's deterministic seconds; None sets none.

    Raises:
        InvalidInput: OR-tools is not installed.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError as exc:
        raise InvalidInput("exact placement needs OR-tools: install the extra 'optimize'") from exc
    model = cp_model.CpModel()
    wanted = [item for item in range(problem.items) if start[item] != NOWHERE]
    places = _places(model, problem, wanted, start)
    terms: list[Any] = []
    _linear(problem, places, terms)
    _room(model, problem, places)
    _pairs(model, problem, places, terms)
    _spread(model, problem, places, terms)
    constant = _balance(model, problem, places, terms)
    model.minimize(sum(terms) - constant)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    if work is not None:
        solver.parameters.max_deterministic_time = work
    solver.parameters.linearization_level = 2
    solver.parameters.random_seed = 1
    # OR-tools names its codes in an enumeration of its own.
    known = objective(problem, start)
    if stop is not None and not stop.guard(solver):
        return Exact(tuple(start), known[1], min(known[1], 0), False)
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Exact(tuple(start), known[1], min(known[1], 0), False)
    hosts = [NOWHERE] * problem.items
    for item, row in places.items():
        hosts[item] = next(host for host, variable in row.items() if solver.boolean_value(variable))
    found = objective(problem, hosts)
    if found > known or violations(problem, hosts):
        hosts, found = list(start), known
    # Costs are whole numbers; the solver tells its bound as a float, which may be a hair below one.
    bound = math.ceil(solver.best_objective_bound - 1e-6)
    return Exact(tuple(hosts), found[1], bound, status == cp_model.OPTIMAL)


def _places(model: Any, problem: Problem, wanted: Sequence[int], start: Sequence[int]) -> dict[int, dict[int, Any]]:
    places: dict[int, dict[int, Any]] = {}
    for item in wanted:
        row = {host: model.new_bool_var(f"x{item},{host}") for host in problem.allowed(item)}
        model.add_exactly_one(row.values())
        for host, variable in row.items():
            model.add_hint(variable, start[item] == host)
        places[item] = row
    return places


def _linear(problem: Problem, places: dict[int, dict[int, Any]], terms: list[Any]) -> None:
    for item, row in places.items():
        costs = problem.linear[problem.kinds[item]]
        for host, variable in row.items():
            cost = costs[host]
            if problem.current[item] not in (NOWHERE, host):
                cost += problem.move[item]
            for anchor in problem.anchors[item]:
                cost += anchor.weight * FAR
                for level in problem.levels:
                    if level.zone[anchor.host] == level.zone[host]:
                        cost -= anchor.weight * level.saved
            if cost:
                terms.append(cost * variable)


def _room(model: Any, problem: Problem, places: dict[int, dict[int, Any]]) -> None:
    use: defaultdict[tuple[int, int], list[tuple[int, Any]]] = defaultdict(list)
    for item, row in places.items():
        for resource, amount in problem.needs[item]:
            for host, variable in row.items():
                use[host, resource].append((amount, variable))
    for (host, resource), amounts in use.items():
        # Whole multiples of the common divisor stay exact, and small numbers make strong cuts.
        unit = math.gcd(*(amount for amount, _ in amounts))
        model.add(
            sum(amount // unit * variable for amount, variable in amounts) <= problem.free[host][resource] // unit
        )


def _pairs(model: Any, problem: Problem, places: dict[int, dict[int, Any]], terms: list[Any]) -> None:
    for index, (first, second, weight) in enumerate(problem.pairs):
        if first not in places or second not in places:
            continue
        terms.append(weight * FAR)
        for number, level in enumerate(problem.levels):
            if not level.saved:
                continue
            zones: defaultdict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
            for side, item in enumerate((first, second)):
                for host, variable in places[item].items():
                    zones[level.zone[host]][side].append(variable)
            for zone, (ours, theirs) in zones.items():
                if ours and theirs:
                    shared = model.new_bool_var(f"s{index},{number},{zone}")
                    model.add(shared <= sum(ours))
                    model.add(shared <= sum(theirs))
                    terms.append(-weight * level.saved * shared)


def _spread(model: Any, problem: Problem, places: dict[int, dict[int, Any]], terms: list[Any]) -> None:
    if not problem.spread:
        return
    members: defaultdict[tuple[int, int], list[Any]] = defaultdict(list)
    for item, row in places.items():
        for host, variable in row.items():
            members[problem.groups[item], host].append(variable)
    for (group, host), variables in members.items():
        there = problem.present.get((group, host), 0)
        if len(variables) + there < 2:
            continue
        beyond = model.new_int_var(0, len(variables), f"g{group},{host}")
        model.add(beyond >= sum(variables) - (0 if there else 1))
        terms.append(problem.spread * beyond)


def _balance(model: Any, problem: Problem, places: dict[int, dict[int, Any]], terms: list[Any]) -> int:
    """Add the balance; returns what of it is there without the items."""
    loads: defaultdict[tuple[int, int], list[Any]] = defaultdict(list)
    for item, row in places.items():
        for resource, amount in enumerate(problem.loads[item]):
            if amount:
                for host, variable in row.items():
                    loads[host, resource].append(amount * variable)
    constant = 0
    for (host, resource), amounts in loads.items():
        lines, base = problem.curves[host][resource], problem.base[host][resource]
        if not lines:
            continue
        cost = model.new_int_var(0, _BOUND, f"b{host},{resource}")
        for slope, offset in lines:
            model.add(cost >= slope * sum(amounts) + slope * base - offset)
        terms.append(cost)
        constant += max(0, *(slope * base - offset for slope, offset in lines))
    return constant
