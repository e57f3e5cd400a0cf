"""The nodes of a cluster as placement sees them, kept up to date change by change."""

from __future__ import annotations

from collections.abc import Iterable

from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.placement import Fleet, NodeFacts, Resources

from .ledger import Ledger
from .usage import Pair, Usage

__all__ = ["Nodes"]

_KIND = "MLSysOpsNode"
_NEVER = (-1, -1)
_NOTHING = Resources()


class Nodes:
    """The described nodes.

    Args:
        objects: The agent's objects.
        ledger: Reads them.
        usage: What is in use on them.
    """

    def __init__(self, objects: WatchedObjects, ledger: Ledger, usage: Usage) -> None:
        self._objects = objects
        self._ledger = ledger
        self._usage = usage
        self._marks = {_KIND: _NEVER, "Node": _NEVER}
        self._fleet = Fleet(())

    def fleet(self, without: Iterable[Pair] = ()) -> Fleet:
        """Return the nodes; the same object as long as nothing changed.

        Args:
            without: ``(application, component)`` pairs whose use does not count.
        """
        self._refresh()
        used = self._usage.without(without)
        here = {name: self._fleet[self._fleet.hosts[name]] for name in used if name in self._fleet.hosts}
        return self._fleet.updated({name: facts.using(used[name]) for name, facts in here.items()})

    def facts(self, name: str, without: Iterable[Pair] = ()) -> NodeFacts | None:
        """Return one node; None where it is not described."""
        self._refresh()
        host = self._fleet.hosts.get(name)
        if host is None:
            return None
        used = self._usage.without(without)
        return self._fleet[host].using(used[name]) if name in used else self._fleet[host]

    def applications(self, name: str) -> set[str]:
        """Return the applications with a component on a node."""
        self._refresh()
        return self._usage.applications(name)

    def _refresh(self) -> None:
        names: set[str] | None = self._usage.refresh()
        for kind in self._marks:
            self._marks[kind], changed = self._objects.changes(kind, self._marks[kind])
            names = names | changed if names is not None and changed is not None else None
        if names is not None and not names:
            return
        index, fleet = self._fleet.hosts, self._fleet
        updated: dict[str, NodeFacts] = {}
        for name in names or ():
            described = self._objects.get(_KIND, name)
            if (described is None) != (name not in index):
                names = None
                break
            if described is not None:
                facts = self._ledger.node(described, self._usage.of(name) or _NOTHING)
                if facts != fleet[index[name]]:
                    updated[name] = facts
        if names is not None:
            self._fleet = fleet.updated(updated)
            return
        everything = self._objects.items(_KIND)
        self._fleet = Fleet(
            [self._ledger.node(item, self._usage.of(str(item["metadata"]["name"])) or _NOTHING) for item in everything]
        )
        self._ledger.keep(self._fleet.hosts)
