"""Placement as an integer programme: what the heuristic and the exact solver both minimise, to the last unit.

Everything is an integer, so that two solvers (and two machines) agree on every comparison. One unit of a goal at weight 1 is
`SCALE`. The objective, to be minimised after the number of items without a host:

    sum over items   linear[kind][host]  +  move, where the host is not the present one
    sum over pairs   weight * distance(host, host)
    sum over hosts   balance(load of cores) + balance(load of memory)
    sum over groups  spread * (members on a host beyond the first)

The distance is an ultrametric: 100 less what sharing a node, a site, a cluster saves. The balance is the convex, piecewise
linear function `Line` by `Line`; both forms are linear for an integer programme without any loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FORBIDDEN", "NOWHERE", "SCALE", "Anchor", "Level", "Line", "Problem", "balance", "objective", "violations"]

#: Units of the objective for a goal that counts 1.
SCALE = 10_000
#: Distance of two hosts that share nothing; weights of pairs are in hundredths too.
FAR = 100
#: Linear cost of a host that is not allowed.
FORBIDDEN = -1
#: Host of an item that has none.
NOWHERE = -1

#: ``slope * load - offset``.
Line = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the network's hierarchy.

    Attributes:
        zone: Zone of each host.
        saved: Hundredths of the distance that two items save by sharing a zone.
    """

    zone: tuple[int, ...]
    saved: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """A partner that is placed and not to be moved: its host and the weight of the interaction in hundredths."""

    host: int
    weight: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Items to be brought onto hosts.

    Attributes:
        free: What is free on each host, a resource at a time.
        needs: What each item needs: ``(resource, amount)``, amounts above zero.
        kinds: Kind of each item.
        linear: Cost of each host for each kind; `FORBIDDEN` where a hard constraint stands against it.
        current: Present host of each item, or `NOWHERE`.
        move: Price of moving each item away from its present host.
        pairs: ``(item, item, weight in hundredths)``.
        anchors: What each item is drawn to besides other items.
        levels: The network, nearest level first.
        groups: Group (application) of each item.
        present: Members of groups that are on hosts already: ``(group, host)`` to their number.
        spread: Price of each further member of a group on a host.
        loads: Load of each item on the balanced resources.
        base: Load on each host without the items.
        curves: Lines of each host's balance, a balanced resource at a time; the highest counts, and never less than 0.
        usual: Load of an item of the usual size.
    """

    free: tuple[tuple[int, ...], ...]
    needs: tuple[tuple[tuple[int, int], ...], ...]
    kinds: tuple[int, ...]
    linear: tuple[tuple[int, ...], ...]
    current: tuple[int, ...]
    move: tuple[int, ...]
    pairs: tuple[tuple[int, int, int], ...]
    anchors: tuple[tuple[Anchor, ...], ...]
    levels: tuple[Level, ...]
    groups: tuple[int, ...]
    present: dict[tuple[int, int], int]
    spread: int
    loads: tuple[tuple[int, int], ...]
    base: tuple[tuple[int, int], ...]
    curves: tuple[tuple[tuple[Line, ...], tuple[Line, ...]], ...]
    usual: tuple[int, int] = (0, 0)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.needs)

    @property
    def hosts(self) -> int:
        """Number of hosts."""
        return len(self.free)

    def allowed(self, item: int) -> list[int]:
        """Return the hosts that may take an item and have room for it while they are empty."""
        costs, needs, free = self.linear[self.kinds[item]], self.needs[item], self.free
        return [
            host
            for host, cost in enumerate(costs)
            if cost != FORBIDDEN and all(free[host][resource] >= amount for resource, amount in needs)
        ]


def balance(lines: Sequence[Line], load: int) -> int:
    """Return the cost of a load."""
    cost = 0
    for slope, offset in lines:
        value = slope * load - offset
        if value > cost:
            cost = value
    return cost


def objective(problem: Problem, hosts: Sequence[int]) -> tuple[int, int]:
    """Return how many items have no host, and the cost of the rest.

    Args:
        problem: The problem.
        hosts: Host of each item, or `NOWHERE`.
    """
    cost = 0
    counts: Counter[tuple[int, int]] = Counter(problem.present)
    before = sum(problem.spread * (count - 1) for count in counts.values() if count > 1)
    load: dict[int, list[int]] = {}
    for item, host in enumerate(hosts):
        if host == NOWHERE:
            continue
        cost += problem.linear[problem.kinds[item]][host]
        if problem.current[item] not in (NOWHERE, host):
            cost += problem.move[item]
        for anchor in problem.anchors[item]:
            cost += anchor.weight * distance(problem, host, anchor.host)
        counts[problem.groups[item], host] += 1
        here = load.setdefault(host, list(problem.base[host]))
        for resource, amount in enumerate(problem.loads[item]):
            here[resource] += amount
    for first, second, weight in problem.pairs:
        if hosts[first] != NOWHERE and hosts[second] != NOWHERE:
            cost += weight * distance(problem, hosts[first], hosts[second])
    cost += sum(problem.spread * (count - 1) for count in counts.values() if count > 1) - before
    for host, now in load.items():
        lines, base = problem.curves[host], problem.base[host]
        cost += sum(balance(lines[kind], now[kind]) - balance(lines[kind], base[kind]) for kind in (0, 1))
    return sum(host == NOWHERE for host in hosts), cost


def distance(problem: Problem, first: int, second: int) -> int:
    """Return the distance of two hosts, 0 to 100."""
    return FAR - sum(level.saved for level in problem.levels if level.zone[first] == level.zone[second])


def violations(problem: Problem, hosts: Sequence[int]) -> list[str]:
    """Return which hard constraints a plan breaks; used by tests and before a solver's plan is believed."""
    found: list[str] = []
    left = [list(free) for free in problem.free]
    for item, host in enumerate(hosts):
        if host == NOWHERE:
            continue
        if problem.linear[problem.kinds[item]][host] == FORBIDDEN:
            found.append(f"item {item} is not allowed on host {host}")
        for resource, amount in problem.needs[item]:
            left[host][resource] -= amount
            if left[host][resource] < 0:
                found.append(f"host {host} is overbooked in resource {resource} by item {item}")
    return found
