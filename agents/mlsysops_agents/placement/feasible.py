"""Whether a small problem can be solved at all: depth first, the item with the fewest hosts next, alike hosts once."""

from __future__ import annotations

from .problem import NOWHERE, Problem

__all__ = ["feasible_plan"]

#: Steps after which the answer is not worth the time.
_STEPS = 2_000
_MOST_ITEMS = 64


def feasible_plan(problem: Problem) -> list[int] | None:
    """Return a plan that places everything; None where there is none or none was found in bounded time."""
    if problem.items > _MOST_ITEMS or not problem.hosts:
        return None
    resources = range(len(problem.free[0]))
    for resource in resources:
        wanted = sum(amount for needs in problem.needs for kind, amount in needs if kind == resource)
        if wanted > sum(max(0, free[resource]) for free in problem.free):
            return None
    allowed = [problem.allowed(item) for item in range(problem.items)]
    if not all(allowed):
        return None
    # Hosts that every kind of item sees alike and that have the same room are one choice, not many.
    alike = [tuple(costs[host] >= 0 for costs in problem.linear) for host in range(problem.hosts)]
    free = [list(amounts) for amounts in problem.free]
    at = [NOWHERE] * problem.items
    steps = 0

    def fits(item: int, host: int) -> bool:
        return all(free[host][resource] >= amount for resource, amount in problem.needs[item])

    def search() -> bool:
        nonlocal steps
        chosen, options, rank = NOWHERE, list[int](), (0, 0)
        for item in range(problem.items):
            if at[item] != NOWHERE:
                continue
            seen: set[tuple[object, ...]] = set()
            mine: list[int] = []
            for host in allowed[item]:
                if fits(item, host) and (key := (alike[host], *free[host])) not in seen:
                    seen.add(key)
                    mine.append(host)
            weight = sum(amount for _, amount in problem.needs[item])
            if chosen == NOWHERE or (len(mine), -weight) < rank:
                chosen, options, rank = item, mine, (len(mine), -weight)
            if not mine:
                return False
        if chosen == NOWHERE:
            return True
        for host in options:
            steps += 1
            if steps > _STEPS:
                return False
            at[chosen] = host
            for resource, amount in problem.needs[chosen]:
                free[host][resource] -= amount
            if search():
                return True
            at[chosen] = NOWHERE
            for resource, amount in problem.needs[chosen]:
                free[host][resource] += amount
        return False

    return list(at) if search() else None
