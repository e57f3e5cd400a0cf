"""The fast way to a plan: greedy insertion, repair, the optimum of what is small, and neighbourhood search for the rest.

Sources: best-fit decreasing insertion with fewest places first; ejection of one item as in generalised assignment (Yagiura,
Ibaraki, Glover, "An ejection chain approach for the generalized assignment problem", 2004); ruin and recreate (Schrimpf et al.,
"Record breaking optimization results using the ruin and recreate principle", 2000) under a falling threshold (Dueck, Scheuer,
"Threshold accepting", 1990). Effort is counted in looks at a host, never in seconds, and chance has a fixed seed, so that the
same problem always has the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .branch import complete as branch_and_bound
from .candidates import Candidates
from .feasible import feasible_plan
from .problem import NOWHERE, Problem, objective
from .state import State

__all__ = ["EFFORT", "solve"]

#: Looks at a host that improvement may cost when nothing is said: a third of a second for 200 items, and less for fewer.
EFFORT = 300_000
_LOOKS_AN_ITEM = 1_500
_LOOKS_A_PAIR = 200
_WIDE = 40
#: Over many hosts first sweeps take most of the time, and bring most.
_LOOKS_IF_WIDE = 60_000
#: Items up to which the optimum is tried for, and the looks that the last attempt may cost.
_FEW = 16
_LOOKS_FOR_FEW = 20_000
#: What an attempt costs besides its looks, in looks.
_OVERHEAD = 10
_MOST_RUINED = 10
_SWEEPS = 4
#: Threshold at the begin, as a share of the mean cost of an item.
_THRESHOLD = 0.2


def solve(problem: Problem, *, effort: int = EFFORT, start: Sequence[int] | None = None) -> list[int]:
    """Return a host for each item, `NOWHERE` where there is none.

    Args:
        problem: The problem.
        effort: How many looks at a host improvement may cost.
        start: A plan to begin with that breaks no constraint.
    """
    state = State(problem)
    candidates = Candidates(state)
    a_item = min(_LOOKS_AN_ITEM, _LOOKS_A_PAIR * min(problem.hosts, _WIDE))
    effort = min(effort, a_item * problem.items)
    if not candidates.small:
        effort = min(effort, _LOOKS_IF_WIDE)
    if start is not None:
        state.restore(start)
    missing = _insert(state, candidates)
    if missing:
        missing = _eject(state, candidates, missing)
    if missing and (complete := feasible_plan(problem)) is not None:
        state.restore(complete)
    if problem.items > 1 or missing:
        state.evaluations = 0
        few = problem.items <= _FEW
        if few and _optimum(state, candidates, effort // 2) and not missing:
            return state.at
        # A sweep looks at everything once; what is left is for larger steps.
        for _ in range(_SWEEPS):
            if not _descend(state, candidates) or state.evaluations > effort:
                break
        _ruin_and_recreate(state, candidates, effort)
        candidates.refresh()
        missing = [item for item in range(problem.items) if state.at[item] == NOWHERE]
        for item in missing:
            host, _ = candidates.best(item)
            if host != NOWHERE:
                state.add(item, host)
        if few:
            _optimum(state, candidates, _LOOKS_FOR_FEW)
    elif problem.items == 1:
        _descend(state, candidates)
    return state.at


def _insert(state: State, candidates: Candidates) -> list[int]:
    """Place everything once: what has its place keeps it, then the fewest places first, then the biggest."""
    problem = state.problem
    for item in range(problem.items):
        host = problem.current[item]
        if state.at[item] == NOWHERE and host != NOWHERE and state.fits(item, host):
            state.add(item, host)
    size = _sizes(problem)
    waiting = [item for item in range(problem.items) if state.at[item] == NOWHERE]
    waiting.sort(key=lambda item: (min(len(candidates.allowed(problem.kinds[item])), 3), -size[item], item))
    missing: list[int] = []
    for item in waiting:
        host, _ = candidates.best(item)
        if host == NOWHERE:
            missing.append(item)
        else:
            state.add(item, host)
    return missing


def _sizes(problem: Problem) -> list[float]:
    """Return each item's share of the mean capacity of its scarcest resource."""
    if not problem.hosts:
        return [0.0] * problem.items
    columns = zip(*problem.free, strict=True)
    mean = [max(1.0, sum([free for free in column if free > 0]) / problem.hosts) for column in columns]
    return [max((amount / mean[resource] for resource, amount in needs), default=0.0) for needs in problem.needs]


def _eject(state: State, candidates: Candidates, missing: Sequence[int]) -> list[int]:
    """Make room for what has no host by moving one other item."""
    problem, left = state.problem, []
    for item in missing:
        host, _ = candidates.best(item)
        if host == NOWHERE:
            host = _room_for(state, candidates, item)
        if host == NOWHERE:
            left.append(item)
        else:
            state.add(item, host)
    return [item for item in left if state.at[item] == NOWHERE and problem.hosts]


def _room_for(state: State, candidates: Candidates, item: int) -> int:
    problem = state.problem
    for host in candidates.allowed(problem.kinds[item]):
        lacking = state.lacks(item, host)
        for other in sorted(state.on[host]):
            needs = dict(problem.needs[other])
            if any(needs.get(resource, 0) < amount for resource, amount in lacking):
                continue
            state.remove(other)
            state.add(item, host)
            elsewhere, _ = candidates.best(other)
            if elsewhere != NOWHERE:
                state.remove(item)
                state.add(other, elsewhere)
                return host
            state.remove(item)
            state.add(other, host)
    return NOWHERE


def _descend(state: State, candidates: Candidates) -> bool:
    """Give each item its best host, the others staying where they are; says whether anything changed."""
    changed = False
    candidates.refresh()
    for item in range(state.problem.items):
        if state.at[item] == NOWHERE:
            continue
        host = state.remove(item)
        (_, price), *_ = state.costs(item, (host,))
        better, cost = state.best(item, candidates.of(item))
        if better == NOWHERE or cost >= price:
            better = host
        changed |= better != host
        state.add(item, better)
    return changed


def _optimum(state: State, candidates: Candidates, looks: int) -> bool:
    """Bring what has a host to its best hosts; says whether there is no better plan for these items."""
    items = [item for item, host in enumerate(state.at) if host != NOWHERE]
    places = [candidates.of(item) for item in items]
    before, price = list(state.at), 0
    for item in items:
        host = state.remove(item)
        (_, cost), *_ = state.costs(item, (host,))
        price += cost
    found, complete = branch_and_bound(state, places, items, price, looks)
    plan = before
    for item, host in zip(items, found or (), strict=False):
        plan[item] = host
    state.restore(plan)
    return complete


def _ruin_and_recreate(state: State, candidates: Candidates, effort: int) -> None:
    """Take related items off their hosts and put them back in another order, as long as the effort lasts."""
    problem = state.problem
    # Deterministic on purpose: the same problem must always have the same plan.
    chance = random.Random(problem.items * 1009 + problem.hosts)  # noqa: S311 - no secret depends on it
    missing, cost = objective(problem, state.at)
    best, best_at = (missing, cost), list(state.at)
    placed = max(1, problem.items - missing)
    scale = _THRESHOLD * cost / placed
    size = _sizes(problem)
    while state.evaluations < effort:
        ruined = _choose(state, chance)
        old = [(item, state.at[item]) for item in ruined]
        saved = 0
        for item, host in old:
            if host != NOWHERE:
                state.remove(item)
                saved += state.costs(item, (host,))[0][1]
        state.evaluations += _OVERHEAD * len(ruined)
        paid, lost = _recreate(state, candidates, ruined, size, chance)
        threshold = scale * (1.0 - state.evaluations / effort)
        gained = sum(host == NOWHERE for _, host in old) - lost
        # What runs is not stopped so that something else may start.
        stopped = any(problem.current[item] != NOWHERE and host != NOWHERE == state.at[item] for item, host in old)
        if not stopped and (gained > 0 or (gained == 0 and paid - saved <= threshold)):
            missing, cost = missing - gained, cost + paid - saved
            if (missing, cost) < best:
                best, best_at = (missing, cost), list(state.at)
        else:
            for item in ruined:
                if state.at[item] != NOWHERE:
                    state.remove(item)
            for item, host in old:
                if host != NOWHERE:
                    state.add(item, host)
    state.restore(best_at)
    candidates.refresh()
    _descend(state, candidates)


def _recreate(
    state: State, candidates: Candidates, ruined: list[int], size: Sequence[float], chance: random.Random
) -> tuple[int, int]:
    """Put items back, each onto its best host; returns what that costs and how many found none."""
    order = list(ruined)
    if chance.random() < 0.5:
        order.sort(key=lambda item: (-size[item], item))
    else:
        chance.shuffle(order)
    paid = lost = 0
    for item in order:
        host, price = candidates.best(item)
        if host == NOWHERE:
            lost += 1
        else:
            state.add(item, host)
            paid += price
    return paid, lost


def _choose(state: State, chance: random.Random) -> list[int]:
    """Return items that have to do with each other: partners, neighbours on their hosts, or nothing but luck."""
    problem = state.problem
    most = min(_MOST_RUINED, problem.items)
    number = chance.randint(min(2, most), most)
    waiting = [item for item in range(problem.items) if state.at[item] == NOWHERE] if chance.random() < 0.3 else []
    first = chance.choice(waiting) if waiting else chance.randrange(problem.items)
    chosen = {first: None}
    way = chance.random()
    if way < 0.4:
        frontier = [first]
        while frontier and len(chosen) < number:
            others = [other for other in state.partners(frontier.pop(0)) if other not in chosen]
            for other in others[: number - len(chosen)]:
                chosen[other] = None
                frontier.append(other)
    elif way < 0.8:
        hosts = [state.at[first], chance.randrange(problem.hosts)] if problem.hosts else []
        for host in hosts:
            if host != NOWHERE:
                here = sorted(state.on[host])
                for other in chance.sample(here, min(len(here), number // 2)):
                    chosen[other] = None
    while len(chosen) < min(number, 3):
        chosen[chance.randrange(problem.items)] = None
    if way >= 0.8:
        for other in chance.sample(range(problem.items), number):
            chosen[other] = None
    return list(chosen)
