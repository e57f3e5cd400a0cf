"""What is in use on each node, kept up to date change by change: nobody adds up thousands of pods to place one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlsysops_core.model import Application

from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.placement import Resources
from mlsysops_agents.upper import APP

from .ledger import Ledger

__all__ = ["LABEL_APPLICATION", "LABEL_COMPONENT", "Usage", "node_of"]

LABEL_APPLICATION = "mlsysops.eu/app"
LABEL_COMPONENT = "mlsysops.eu/component"
_HOSTNAME = "kubernetes.io/hostname"
_DONE = ("Succeeded", "Failed")
_NEVER = (-1, -1)

#: Kind and name of what uses a node; in order they are Deployments, then Pods.
_Key = tuple[str, str]
#: Application and component.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Use:
    node: str
    resources: Resources
    pair: Pair | None = None


class Usage:
    """Adds up our Deployments where they are pinned, and other pods of the namespace where they run.

    Args:
        objects: The agent's objects.
        ledger: Reads what pods request.
        description: Returns an application's description: it says how much disk a component wants.
    """

    def __init__(
        self, objects: WatchedObjects, ledger: Ledger, description: Callable[[str], Application | None]
    ) -> None:
        self._objects = objects
        self._ledger = ledger
        self._description = description
        self._marks: dict[str, tuple[int, int]] = {}
        self._uses: dict[_Key, _Use] = {}
        self._on: defaultdict[str, dict[_Key, Resources]] = defaultdict(dict)
        self._of_pair: defaultdict[Pair, set[_Key]] = defaultdict(set)
        self._read: dict[str, Application | None] = {}
        self._totals: dict[str, Resources] = {}
        self._changed: set[str] = set()

    def refresh(self) -> set[str]:
        """Take up what changed; returns the nodes on which other amounts are in use than at the last call."""
        try:
            self._take_up()
        except BaseException:
            # What was not taken up must not be forgotten.
            self._marks.clear()
            raise
        changed, self._changed = self._changed, set()
        return changed

    def _take_up(self) -> None:
        for kind in ("Deployment", "Pod"):
            names = self._news(kind)
            if names is None:
                present = {str(obj["metadata"]["name"]) for obj in self._objects.items(kind)}
                names = present | {name for of, name in self._uses if of == kind}
            for name in names:
                self._look(kind, name)
        applications = self._news(APP)
        if applications is None:
            applications = {str(obj["metadata"]["name"]) for obj in self._objects.items(APP)} | self._read.keys()
        for name in applications:
            self._look_at_disk(name)

    def of(self, node: str) -> Resources | None:
        """Return what is in use on a node; None where nothing is."""
        total = self._totals.get(node)
        if total is None and self._on.get(node):
            total = self._totals[node] = _sum(self._on[node].items())
        return total

    def without(self, pairs: Iterable[Pair]) -> Mapping[str, Resources]:
        """Return what would be in use without some components, of the nodes that they are on."""
        keys = {key for pair in pairs for key in self._of_pair.get(pair, ())}
        nodes = {self._uses[key].node for key in keys}
        return {node: _sum(item for item in self._on[node].items() if item[0] not in keys) for node in nodes}

    def applications(self, node: str) -> set[str]:
        """Return the applications with a component on a node."""
        keys = self._on.get(node, {})
        return {use.pair[0] for key in keys if (use := self._uses[key]).pair is not None}

    def _news(self, kind: str) -> Iterable[str] | None:
        self._marks[kind], names = self._objects.changes(kind, self._marks.get(kind, _NEVER))
        return names

    def _look(self, kind: str, name: str) -> None:
        key, obj = (kind, name), self._objects.get(kind, name)
        now = (self._deployment(obj) if kind == "Deployment" else self._pod(obj)) if obj is not None else None
        if obj is None:
            self._ledger.forget(kind, name)
        before = self._uses.get(key)
        if now == before:
            return
        if before is not None:
            del self._uses[key]
            self._on[before.node].pop(key, None)
            if not self._on[before.node]:
                del self._on[before.node]
            if before.pair is not None:
                self._of_pair[before.pair].discard(key)
                if not self._of_pair[before.pair]:
                    del self._of_pair[before.pair]
            self._touch(before.node)
        if now is not None:
            self._uses[key] = now
            self._on[now.node][key] = now.resources
            if now.pair is not None:
                self._of_pair[now.pair].add(key)
            self._touch(now.node)

    def _touch(self, node: str) -> None:
        self._totals.pop(node, None)
        self._changed.add(node)

    def _look_at_disk(self, name: str) -> None:
        description = self._description(name)
        if description is not None and self._read.get(name) is description:
            return
        self._read[name] = description
        if description is None:
            del self._read[name]
        for deployment in self._objects.labelled("Deployment", LABEL_APPLICATION, name):
            self._look("Deployment", str(deployment["metadata"]["name"]))

    def _deployment(self, deployment: Mapping[str, Any]) -> _Use | None:
        labels = deployment["metadata"].get("labels") or {}
        node = node_of(deployment)
        if node is None or LABEL_APPLICATION not in labels or LABEL_COMPONENT not in labels:
            return None
        pair = (str(labels[LABEL_APPLICATION]), str(labels[LABEL_COMPONENT]))
        requested = self._ledger.requests(deployment, _template)
        disk = self._disk(*pair)
        return _Use(node, requested + Resources(disk=disk) if disk else requested, pair)

    def _pod(self, pod: Mapping[str, Any]) -> _Use | None:
        node = (pod.get("spec") or {}).get("nodeName")
        ours = LABEL_COMPONENT in (pod["metadata"].get("labels") or {})
        if not node or ours or (pod.get("status") or {}).get("phase") in _DONE:
            return None
        return _Use(str(node), self._ledger.requests(pod, _specification))

    def _disk(self, application: str, component: str) -> int:
        description = self._description(application)
        found = description.component(component) if description is not None else None
        return found.disk_request if found is not None else 0


def node_of(deployment: Mapping[str, Any]) -> str | None:
    """Return the node that a Deployment is pinned to."""
    selector = deployment["spec"]["template"]["spec"].get("nodeSelector") or {}
    return str(selector[_HOSTNAME]) if _HOSTNAME in selector else None


def _sum(items: Iterable[tuple[_Key, Resources]]) -> Resources:
    """Add up in one order, whatever the order in which they came: sums of cores are no integers."""
    total = Resources()
    for _, resources in sorted(items):
        total = total + resources
    return total


def _template(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def _specification(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(pod["spec"])
