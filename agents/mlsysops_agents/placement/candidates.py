"""Which hosts are worth a look for an item: all of them in small problems, the promising ones in large ones."""

from __future__ import annotations

import heapq

from .problem import NOWHERE
from .state import State

__all__ = ["Candidates"]

#: Up to this many hosts each is looked at.
_ALL_HOSTS = 128
#: Hosts that are looked at in a large problem, besides those near partners.
_PROMISING = 20
#: A site with more hosts than this is not looked at as a whole.
_SMALL_SITE = 16


class Candidates:
    """Hosts for items, the promising first.

    For each kind of item a heap holds the allowed hosts by linear cost plus the pressure of the balance. Pressure grows while
    items are placed, so an entry's key is a lower bound and is brought up to date when it comes to the top (lazy evaluation;
    Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978).

    Args:
        state: The plan in the making.
    """

    def __init__(self, state: State) -> None:
        problem = state.problem
        self._state = state
        self.small = problem.hosts <= _ALL_HOSTS or problem.items == 1
        self._allowed: dict[int, list[int]] = {}
        self._heaps: dict[int, list[tuple[int, int]]] = {}
        self._site = problem.levels[1].zone if len(problem.levels) > 1 else ()
        self._site_hosts: dict[int, list[int]] = {}
        for host, site in enumerate(self._site):
            self._site_hosts.setdefault(site, []).append(host)

    def allowed(self, kind: int) -> list[int]:
        """Return all hosts that may take a kind of item."""
        found = self._allowed.get(kind)
        if found is None:
            costs = self._state.problem.linear[kind]
            found = self._allowed[kind] = [host for host, cost in enumerate(costs) if cost >= 0]
        return found

    def of(self, item: int) -> list[int]:
        """Return the hosts to look at for an item."""
        kind = self._state.problem.kinds[item]
        if self.small:
            return self.allowed(kind)
        found = self._promising(kind)
        known = set(found)
        present = self._state.problem.current[item]
        near = [present] if present != NOWHERE else []
        hosts = [self._state.at[other] for other in self._state.partners(item)]
        hosts += [anchor.host for anchor in self._state.problem.anchors[item]]
        for host in hosts:
            if host != NOWHERE:
                peers = self._site_hosts.get(self._site[host], []) if self._site else []
                near += peers if len(peers) <= _SMALL_SITE else [host]
        for host in near:
            if host not in known:
                known.add(host)
                found.append(host)
        return found

    def refresh(self) -> None:
        """Forget keys: pressure has fallen somewhere, so they are no lower bounds any more."""
        self._heaps.clear()

    def best(self, item: int) -> tuple[int, int]:
        """Return the best host and its price, looking further where none of the promising has room."""
        host, cost = self._state.best(item, self.of(item))
        if host == NOWHERE and not self.small:
            return self._state.best(item, self.allowed(self._state.problem.kinds[item]))
        return host, cost

    def _promising(self, kind: int) -> list[int]:
        linear, pressure = self._state.problem.linear[kind], self._state.pressure
        heap = self._heaps.get(kind)
        if heap is None:
            heap = self._heaps[kind] = [(linear[host] + pressure[host], host) for host in self.allowed(kind)]
            heapq.heapify(heap)
        taken: list[tuple[int, int]] = []
        while heap and len(taken) < _PROMISING:
            key, host = heap[0]
            now = linear[host] + pressure[host]
            if now > key:
                heapq.heapreplace(heap, (now, host))
                continue
            taken.append(heapq.heappop(heap))
        for entry in taken:
            heapq.heappush(heap, entry)
        return [host for _, host in taken]
