"""What applications request on the nodes of all clusters, kept up to date change by change: thousands change at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlsysops_core.model import Application

from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.placement import Resources
from mlsysops_agents.upper import APP

__all__ = ["Place", "Usage"]

#: Cluster and node.
Place = tuple[str, str]
#: What the demands of an application request, each known by its first member.
Wants = Sequence[tuple[str, Resources]]
_NEVER = (-1, -1)


class Usage:
    """Adds up what applications request, as far as their statuses say where they are.

    Args:
        objects: The agent's objects.
        description: Reads an application's description.
        wants: Returns what an application's demands request.
    """

    def __init__(
        self,
        objects: WatchedObjects,
        description: Callable[[Mapping[str, Any]], Application | None],
        wants: Callable[[str, Application], Wants],
    ) -> None:
        self._objects = objects
        self._description = description
        self._wants = wants
        self._mark = _NEVER
        self._on: defaultdict[Place, dict[str, Resources]] = defaultdict(dict)
        self._places: dict[str, frozenset[Place]] = {}
        self._totals: dict[Place, Resources] = {}

    def totals(self) -> Mapping[Place, Resources]:
        """Take up what changed; return what is requested at each place where something is."""
        mark, changed = self._objects.changes(APP, self._mark)
        if changed is None:
            changed = frozenset(
                {str(obj["metadata"]["name"]) for obj in self._objects.items(APP)} | self._places.keys()
            )
        touched: set[Place] = set()
        for name in changed:
            touched |= self._look(name)
        for place in touched:
            self._add_up(place)
        # Only now: what was not taken up because of a fault must not be forgotten.
        self._mark = mark
        return self._totals

    def _look(self, name: str) -> frozenset[Place]:
        """Take up one application; returns the places at which it requests something else than before."""
        found = self._requests(self._objects.get(APP, name))
        before = self._places.pop(name, frozenset())
        for place in before:
            self._on[place].pop(name, None)
        for place, resources in found.items():
            self._on[place][name] = resources
        if found:
            self._places[name] = frozenset(found)
        return before | found.keys()

    def _requests(self, obj: Mapping[str, Any] | None) -> dict[Place, Resources]:
        application = self._description(obj) if obj is not None else None
        if obj is None or application is None:
            return {}
        places = {
            entry.get("name"): (str(entry.get("cluster")), str(entry.get("node")))
            for entry in (obj.get("status") or {}).get("components") or ()
            if entry.get("cluster") and entry.get("node")
        }
        found: dict[Place, Resources] = {}
        for member, resources in self._wants(obj["metadata"]["name"], application) if places else ():
            place = places.get(member)
            if place is not None:
                found[place] = found.get(place, Resources()) + resources
        return found

    def _add_up(self, place: Place) -> None:
        # Added up anew, and in one order: taking away and adding floats for days would leave crumbs.
        total = Resources()
        for _, resources in sorted(self._on[place].items(), key=lambda item: item[0]):
            total = total + resources
        if self._on[place]:
            self._totals[place] = total
        else:
            del self._on[place]
            self._totals.pop(place, None)
