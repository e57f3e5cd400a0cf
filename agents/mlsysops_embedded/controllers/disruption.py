"""How fast nodes may lose their pods: when most of a zone falls silent at once, it is likelier that we are cut off.

Source: Kubernetes ``pkg/controller/nodelifecycle/node_lifecycle_controller.go`` (``ComputeZoneState``, ``handleDisruption``,
``setLimiterInZone``), ``component-helpers/node/topology`` (``GetZoneKey``) and the defaults of kube-controller-manager.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlsysops_embedded.client import Object

__all__ = ["Brake", "Rates", "ZoneState", "state_of", "zone_of"]

#: Partial disruption begins with more nodes than these that are not ready: two say nothing about a zone.
_FEW = 2
_LABELS = (
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
)

#: Region and zone; both empty where a node has no labels for them.
Zone = tuple[str, str]


class ZoneState(enum.Enum):
    """What is the matter with a zone."""

    NORMAL = "normal"
    PARTIAL = "partial disruption"
    FULL = "full disruption"


@dataclass(frozen=True, slots=True)
class Rates:
    """Flags of kube-controller-manager, with its defaults.

    Attributes:
        normal: Nodes a second whose pods may be evicted (``node-eviction-rate``).
        secondary: The same in a large zone in partial disruption (``secondary-node-eviction-rate``); a small one evicts nothing.
        threshold: Share of nodes that are not ready from which a zone is disrupted (``unhealthy-zone-threshold``).
        large: A zone with more nodes than these is large (``large-cluster-size-threshold``).
    """

    normal: float = 0.1
    secondary: float = 0.01
    threshold: float = 0.55
    large: int = 50


def zone_of(node: Object) -> Zone:
    """Return the zone of a node as its labels say it."""
    labels = node["metadata"].get("labels") or {}
    region, zone = (next((str(labels[name]) for name in names if labels.get(name)), "") for names in _LABELS)
    return region, zone


def state_of(ready: int, not_ready: int, threshold: float) -> ZoneState:
    """Return the state of a zone with so many nodes that are ready and that are not."""
    if not ready and not_ready:
        return ZoneState.FULL
    if not_ready > _FEW and not_ready / (ready + not_ready) >= threshold:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


class Brake:
    """Hands out turns to evict, a zone at a time.

    Args:
        rates: How fast.
        clock: Seconds that only grow.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self._pace: dict[Zone, float] = {}
        self._next: dict[Zone, float] = {}
        #: Whether no node of any zone is ready: nothing is evicted then, and what was to be is let be.
        self.blackout = False

    def look(self, nodes: Iterable[tuple[Zone, bool]]) -> bool:
        """Take in zone and readiness of all nodes; says whether a blackout began or ended."""
        sizes: Counter[Zone] = Counter()
        ready: Counter[Zone] = Counter()
        for zone, well in nodes:
            sizes[zone] += 1
            ready[zone] += well
        states = {
            zone: state_of(ready[zone], size - ready[zone], self._rates.threshold) for zone, size in sizes.items()
        }
        before, self.blackout = self.blackout, bool(states) and set(states.values()) == {ZoneState.FULL}
        now = self._clock()
        for zone, state in states.items():
            pace = self._rates.normal
            if self.blackout:
                pace = 0.0
            elif state is ZoneState.PARTIAL:
                pace = self._rates.secondary if sizes[zone] > self._rates.large else 0.0
            old = self._pace.get(zone)
            if pace and old is not None and pace != old and (not old or self._next.get(zone, now) > now):
                # Who waits for a turn waits anew, at the new pace (`RateLimitedTimedQueue.SwapLimiter`).
                self._next[zone] = now + 1 / pace
            self._pace[zone] = pace
        for zone in self._pace.keys() - states.keys():
            del self._pace[zone]
            self._next.pop(zone, None)
        return self.blackout != before

    def turn(self, zone: Zone) -> float | None:
        """Take a turn: 0 where it is had, else the seconds until there will be one; None where there will be none as it is."""
        pace = self._pace.get(zone, self._rates.normal)
        if not pace:
            return None
        now = self._clock()
        left = self._next.get(zone, now) - now
        if left > 0:
            return left
        self._next[zone] = now + 1 / pace
        return 0.0
