"""Which nodes that are not ready may lose their components now, and who is to be woken when more may."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_core.contracts import Clock

from mlsysops_agents.adapters.health import since
from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.adapters.moments import Moments
from mlsysops_agents.placement.disruption import LARGE, SLOW_SECONDS, is_disrupted, returned

__all__ = ["Brake"]

_NODE = "Node"
_NEVER = (-1, -1)
_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
#: Conditions carry whole seconds.
_MARGIN = 1.0
_EVER = float("-inf")


class Brake:
    """Holds components on nodes that are not ready while it is likelier that this agent, or its API, was cut off.

    Args:
        objects: The agent's objects.
        clock: Its time; None stands still.
        grace: Seconds that nodes get to be heard of after nobody was.
    """

    def __init__(self, objects: WatchedObjects, clock: Clock | None, *, grace: float = 40.0) -> None:
        self._objects = objects
        self._clock = clock
        self._grace = grace
        self._mark = _NEVER
        self._zones: dict[str, str] = {}
        self._total: Counter[str] = Counter()
        #: Since when each node is ready, and since when each other is not (monotonic seconds); None where nobody knows.
        self._ready: dict[str, float | None] = {}
        self._went: dict[str, float | None] = {}
        #: Since when one of them is ready that is so for longest.
        self._first: float | None = None
        self._moments = None if clock is None else Moments(clock)
        self._looked = 0.0
        self._well: Counter[str] = Counter()
        #: Zone to when its next node may be left, and the nodes that may (seconds, monotonic).
        self._next: dict[str, float] = {}
        self._granted: set[str] = set()
        #: Nodes that are held, and when they may not be any more; None where only a change of nodes can tell.
        self._held: dict[str, float | None] = {}
        self._changed = asyncio.Event()

    def hold(self, node: str) -> str:
        """Say why the components of a node that is not ready stay for now; empty where they may leave."""
        self._refresh()
        reason, left = self._reason(node)
        if not reason:
            self._held.pop(node, None)
            return ""
        self._held[node] = None if left is None or self._clock is None else self._clock.monotonic() + left
        self._changed.set()
        return reason

    def freed(self) -> set[str]:
        """Return the nodes that were held and are not any more, each once; that a node is ready itself is no news here."""
        if not self._held:
            return set()
        self._refresh()
        found = {node for node in self._held if not self._reason(node, ask=False)[0]}
        for node in found:
            del self._held[node]
        return found

    async def run(self, wake: Callable[[str], None]) -> None:
        """Tell of nodes whose time has come, until cancelled.

        Args:
            wake: Called with the node.
        """
        while self._clock is not None:
            self._changed.clear()
            due = {node: at for node, at in self._held.items() if at is not None}
            if not due:
                await self._changed.wait()
                continue
            first = min(due, key=lambda node: (due[node], node))
            left = due[first] - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
                continue
            # Who still has to wait is held again when its applications are looked at.
            self._held.pop(first, None)
            wake(first)

    def _reason(self, node: str, *, ask: bool = True) -> tuple[str, float | None]:
        """Return why a node's components stay, and for how many seconds; without asking, no turn is taken."""
        zone = self._zones.get(node)
        # A node without an object was removed by somebody who knows.
        if zone is None or node in self._ready or node in self._granted:
            return "", None
        now = 0.0 if self._clock is None else self._clock.monotonic()
        back = returned(self._went.get(node), self._first)
        if back is not None and now - back < self._grace:
            text = (
                f"no node was ready when {node} fell silent; it may be back within {self._grace:g} s of the first one"
            )
            return text, back + self._grace - now + _MARGIN
        silent, total = self._total[zone] - self._well[zone], self._total[zone]
        if not is_disrupted(self._well[zone], total):
            return "", None
        text = f"{silent} of {total} nodes{f' of zone {zone}' if zone else ''} are not ready at once"
        if total <= LARGE or self._clock is None:
            return f"{text}: it is likelier that they cannot be heard than that they are gone", None
        left = self._next.get(zone, now) - now
        if left <= 0:
            if ask:
                self._next[zone] = now + SLOW_SECONDS
                self._granted.add(node)
            return "", None
        return f"{text}: they are left one in {SLOW_SECONDS:g} s", left

    def _refresh(self) -> None:
        """Take in the nodes that changed: after an outage a thousand come back one by one."""
        self._mark, changed = self._objects.changes(_NODE, self._mark)
        now = 0.0 if self._clock is None else self._clock.monotonic()
        unseen, self._looked = now - self._looked, now
        if changed is not None and not changed:
            return
        if changed is None:
            nodes = {str(node["metadata"]["name"]): node for node in self._objects.items(_NODE)}
            changed = frozenset(nodes.keys() | self._zones.keys())
        for name in changed:
            self._put(name, self._objects.get(_NODE, name), unseen)
        self._first = min((_EVER if at is None else at for at in self._ready.values()), default=None)

    def _put(self, name: str, node: Mapping[str, Any] | None, unseen: float) -> None:
        zone = self._zones.pop(name, None)
        if zone is not None:
            self._total[zone] -= 1
            self._well[zone] -= name in self._ready
        self._ready.pop(name, None)
        self._went.pop(name, None)
        if node is None and self._moments is not None:
            self._moments.forget(name)
        if node is not None:
            zone = self._zones[name] = _zone(node)
            self._total[zone] += 1
            ready = _is_ready(node)
            self._well[zone] += ready
            (self._ready if ready else self._went)[name] = self._since(name, node, ready, unseen)
        if node is None or name in self._ready:
            self._granted.discard(name)
            self._held.pop(name, None)

    def _since(self, name: str, node: Mapping[str, Any], ready: bool, unseen: float) -> float | None:
        """Return since when a node is ready, or is not (monotonic seconds): nobody knows what was in ``unseen`` seconds but its writer."""
        stated = since(_conditions(node), "Ready")
        if stated is None or self._moments is None:
            return None
        return self._moments.began(name, (ready, stated), stated, unseen=unseen)


def _conditions(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((node.get("status") or {}).get("conditions") or ())


def _is_ready(node: Mapping[str, Any]) -> bool:
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in _conditions(node))


def _zone(node: Mapping[str, Any]) -> str:
    labels = node["metadata"].get("labels") or {}
    return "/".join(str(labels[name]) for name in _LABELS if labels.get(name))
