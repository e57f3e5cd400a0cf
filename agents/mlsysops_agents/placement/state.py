"""A plan in the making: what each further item would cost on each host, kept up to date item by item."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .problem import FAR, FORBIDDEN, NOWHERE, Problem, balance

__all__ = ["State"]


class State:
    """Hosts of items, with everything that the cost of a change depends on.

    Args:
        problem: The problem; the state begins with every item without a host.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.at = [NOWHERE] * problem.items
        # Most hosts of a large problem never see an item.
        self.on: defaultdict[int, set[int]] = defaultdict(set)
        self.evaluations = 0
        # Shared with the problem until an item comes: most hosts of a large problem never change.
        self._free: list[Sequence[int]] = list(problem.free)
        self._load: list[tuple[int, int]] = list(problem.base)
        self._balance = [0] * problem.hosts
        #: What the balance asks on each host for one more item of the usual size.
        self.pressure = [0] * problem.hosts
        self._weigh()
        self._count: defaultdict[int, int] = defaultdict(int)
        for (group, host), number in problem.present.items():
            self._count[group * problem.hosts + host] = number
        self._partners: list[list[tuple[int, int]]] = [[] for _ in range(problem.items)]
        for first, second, weight in problem.pairs:
            self._partners[first].append((second, weight))
            self._partners[second].append((first, weight))

    def add(self, item: int, host: int) -> None:
        """Put an item onto a host."""
        self._change(item, host, 1)
        self.at[item] = host
        self.on[host].add(item)

    def remove(self, item: int) -> int:
        """Take an item off its host, which is returned."""
        host = self.at[item]
        self._change(item, host, -1)
        self.at[item] = NOWHERE
        self.on[host].discard(item)
        return host

    def restore(self, hosts: Sequence[int]) -> None:
        """Bring every item to where another plan has it."""
        changed = [item for item, host in enumerate(hosts) if self.at[item] != host]
        for item in changed:
            if self.at[item] != NOWHERE:
                self.remove(item)
        for item in changed:
            if hosts[item] != NOWHERE:
                self.add(item, hosts[item])

    def fits(self, item: int, host: int) -> bool:
        """Say whether a host is allowed and has room now."""
        problem = self.problem
        if problem.linear[problem.kinds[item]][host] == FORBIDDEN:
            return False
        free = self._free[host]
        return all(free[resource] >= amount for resource, amount in problem.needs[item])

    def lacks(self, item: int, host: int) -> list[tuple[int, int]]:
        """Return how much of which resource a host lacks for an item."""
        free = self._free[host]
        return [
            (resource, amount - free[resource])
            for resource, amount in self.problem.needs[item]
            if free[resource] < amount
        ]

    def partners(self, item: int) -> list[int]:
        """Return the items that an item talks to."""
        return [other for other, _ in self._partners[item]]

    def best(self, item: int, hosts: Iterable[int]) -> tuple[int, int]:
        """Return the cheapest host that is allowed and has room, and its price; ``(NOWHERE, 0)`` where none has.

        Of equal ones the first counts.
        """
        found, least = NOWHERE, 0
        for host, cost in self.costs(item, hosts):
            if found == NOWHERE or cost < least:
                found, least = host, cost
        return found, least

    def costs(self, item: int, hosts: Iterable[int]) -> list[tuple[int, int]]:
        """Return ``(host, price)`` of those hosts that are allowed and have room for an item which has no host now."""
        problem = self.problem
        linear, needs = problem.linear[problem.kinds[item]], problem.needs[item]
        base, near = self._attraction(item)
        (node, by_node), (site, by_site), (cluster, by_cluster) = near
        current, move = problem.current[item], problem.move[item]
        if current == NOWHERE:
            move = 0
        spread, count, row = problem.spread, self._count, problem.groups[item] * problem.hosts
        cores, memory = problem.loads[item]
        free, load, curves, charged = self._free, self._load, problem.curves, self._balance
        found: list[tuple[int, int]] = []
        number = 0
        for host in hosts:
            number += 1
            cost = linear[host]
            if cost < 0:
                continue
            room = free[host]
            for resource, amount in needs:
                if room[resource] < amount:
                    break
            else:
                first, second = load[host]
                first += cores
                second += memory
                lines = curves[host]
                extra = 0
                for slope, offset in lines[0]:
                    value = slope * first - offset
                    if value > extra:
                        extra = value
                more = 0
                for slope, offset in lines[1]:
                    value = slope * second - offset
                    if value > more:
                        more = value
                cost += base + extra + more - charged[host]
                if by_node:
                    cost -= by_node.get(node[host], 0)
                if by_site:
                    cost -= by_site.get(site[host], 0) + by_cluster.get(cluster[host], 0)
                if spread and count.get(row + host, 0):
                    cost += spread
                if move and host != current:
                    cost += move
                found.append((host, cost))
        self.evaluations += number
        return found

    def _attraction(self, item: int) -> tuple[int, list[tuple[tuple[int, ...], dict[int, int]]]]:
        """Return what partners cost from afar, and what each zone of each level saves of it."""
        levels = self.problem.levels
        saves: list[dict[int, int]] = [{} for _ in levels]
        base = 0
        anchors = self.problem.anchors[item]
        known = [(self.at[other], weight) for other, weight in self._partners[item] if self.at[other] != NOWHERE]
        for host, weight in (*known, *((anchor.host, anchor.weight) for anchor in anchors)):
            base += weight * FAR
            for level, save in zip(levels, saves, strict=True):
                zone = level.zone[host]
                save[zone] = save.get(zone, 0) + weight * level.saved
        return base, [(level.zone, save) for level, save in zip(levels, saves, strict=True)]

    def _change(self, item: int, host: int, sign: int) -> None:
        problem = self.problem
        room, load, lines = list(self._free[host]), self._load[host], problem.curves[host]
        for resource, amount in problem.needs[item]:
            room[resource] -= sign * amount
        cores, memory = problem.loads[item]
        load = (load[0] + sign * cores, load[1] + sign * memory)
        self._free[host], self._load[host] = room, load
        self._balance[host] = balance(lines[0], load[0]) + balance(lines[1], load[1])
        self.pressure[host] = self._pressure(host)
        self._count[problem.groups[item] * problem.hosts + host] += sign

    def _weigh(self) -> None:
        """Work out what the balance costs now and for one more item, once for all hosts that are alike in one of the two."""
        usual = self.problem.usual
        known: tuple[dict[tuple[int, int], tuple[int, int]], ...] = ({}, {})
        for host, (lines, load) in enumerate(zip(self.problem.curves, self.problem.base, strict=True)):
            now = more = 0
            for kind in (0, 1):
                # The curves live as long as the problem does, so their identity is as good as their value, and cheaper.
                key = (id(lines[kind]), load[kind])
                pair = known[kind].get(key)
                if pair is None:
                    cost = balance(lines[kind], load[kind])
                    pair = known[kind][key] = (cost, balance(lines[kind], load[kind] + usual[kind]) - cost)
                now += pair[0]
                more += pair[1]
            self._balance[host], self.pressure[host] = now, more

    def _pressure(self, host: int) -> int:
        load, lines, usual = self._load[host], self.problem.curves[host], self.problem.usual
        return balance(lines[0], load[0] + usual[0]) + balance(lines[1], load[1] + usual[1]) - self._balance[host]
