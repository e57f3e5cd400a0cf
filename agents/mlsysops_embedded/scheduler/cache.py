"""What the scheduler knows of nodes and of the pods on them, kept up to date change by change."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import quantity
from mlsysops_embedded.validation.amounts import held_requests

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["Cache", "NodeInfo", "PodInfo"]

_IGNORED_PHASES = ("Succeeded", "Failed")


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0.0) + amount


@dataclass(slots=True)
class PodInfo:
    """A pod with what filters ask of it worked out once."""

    key: tuple[str, str]
    uid: str
    spec: Object
    labels: dict[str, str]
    requests: dict[str, float]
    ports: frozenset[tuple[str, str, int]]
    priority: int
    #: Equal for pods of one namespace with equal labels.
    family: tuple[str, frozenset[tuple[str, str]]]

    @classmethod
    def of(cls, pod: Object, *, placed: bool = False) -> PodInfo:
        """Work out a pod; of one that has its node, others ask for nothing of its spec but its affinity."""
        spec = pod["spec"]
        kept = {key: spec[key] for key in ("affinity",) if key in spec} if placed else spec
        ports = frozenset(
            (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
            for container in spec.get("containers") or ()
            for port in container.get("ports") or ()
            if port.get("hostPort")
        )
        metadata = pod["metadata"]
        return cls(
            (metadata["namespace"], metadata["name"]),
            metadata["uid"],
            kept,
            metadata.get("labels") or {},
            held_requests(pod),
            ports,
            int(spec.get("priority") or 0),
            (metadata["namespace"], frozenset((metadata.get("labels") or {}).items())),
        )

    @property
    def anti_affinity(self) -> list[Object]:
        """Required pod anti-affinity terms."""
        return self._terms("podAntiAffinity")

    @property
    def affinity(self) -> list[Object]:
        """Required pod affinity terms."""
        return self._terms("podAffinity")

    def _terms(self, kind: str) -> list[Object]:
        rules = (self.spec.get("affinity") or {}).get(kind) or {}
        return rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []


@dataclass(slots=True)
class NodeInfo:
    """A node, the pods on it, and what is taken."""

    node: Object
    allocatable: dict[str, float] = field(default_factory=dict)
    requested: dict[str, float] = field(default_factory=dict)
    pods: dict[str, PodInfo] = field(default_factory=dict)
    families: Counter[tuple[str, frozenset[tuple[str, str]]]] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """Name of the node."""
        return str(self.node["metadata"]["name"])

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the node."""
        return self.node["metadata"].get("labels") or {}

    def set_node(self, node: Object) -> None:
        """Take over a new version of the node."""
        self.node = node
        amounts = (node.get("status") or {}).get("allocatable") or (node.get("status") or {}).get("capacity") or {}
        self.allocatable = {name: quantity(value) for name, value in amounts.items()}

    def add(self, pod: PodInfo) -> None:
        """Account for a pod."""
        self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self.families[pod.family] += 1
        _add(self.requested, pod.requests)

    def remove(self, uid: str) -> None:
        """Forget a pod."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        self.families[pod.family] -= 1
        if not self.families[pod.family]:
            del self.families[pod.family]
        if not self.pods:
            self.requested = {}  # floats must not drift
        for name, amount in pod.requests.items():
            if name in self.requested:
                self.requested[name] -= amount


def _promised(pod: Object) -> list[Object]:
    """What of a pod's status counts for its node: what its containers have, and that a resize was refused."""
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    pending = [c.get("reason") for c in status.get("conditions") or () if c.get("type") == "PodResizePending"]
    return [*((s.get("resources"), s.get("allocatedResources")) for s in statuses), *pending]


def _unmoved(new: Object, old: Object) -> bool:
    """Whether a change of a pod is none to its node: most are of its status."""
    ended = [(pod.get("status") or {}).get("phase") in _IGNORED_PHASES for pod in (new, old)]
    return bool(
        ended[0] == ended[1]
        and new["spec"] == old["spec"]
        and _promised(new) == _promised(old)
        and all(new["metadata"].get(key) == old["metadata"].get(key) for key in ("uid", "labels"))
    )


class Cache:
    """All nodes; pods bound to a node that is not known (yet) are kept for when it is."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self._placed: dict[str, str] = {}
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        #: Whether any pod has anti-affinity: where none has, nobody needs to look at other pods' rules.
        self.anti_affine = 0

    def node_changed(self, new: Object | None, old: Object | None) -> None:
        """Informer handler for nodes."""
        if new is None:
            info = self.nodes.pop((old or {})["metadata"]["name"], None)
            if info is not None and info.pods:
                self._homeless[info.name] = dict(info.pods)
            return
        name = new["metadata"]["name"]
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = NodeInfo(new)
            for pod in self._homeless.pop(name, {}).values():
                info.add(pod)
        info.set_node(new)

    def pod_changed(self, new: Object | None, old: Object | None) -> None:
        """Informer handler for pods."""
        if new is not None and old is not None and _unmoved(new, old):
            return
        for gone in (old, new):
            if gone is not None:
                self.remove(gone["metadata"]["uid"])
        if new is None or not new["spec"].get("nodeName"):
            return
        if (new.get("status") or {}).get("phase") in _IGNORED_PHASES:
            return
        self.assume(PodInfo.of(new, placed=True), new["spec"]["nodeName"])

    def assume(self, pod: PodInfo, node: str) -> None:
        """Account for a pod on a node, also before the API server says so."""
        self._placed[pod.uid] = node
        self.anti_affine += bool(pod.anti_affinity)
        info = self.nodes.get(node)
        if info is None:
            self._homeless.setdefault(node, {})[pod.uid] = pod
        else:
            info.add(pod)

    def remove(self, uid: str) -> None:
        """Forget a pod."""
        name = self._placed.pop(uid, None)
        if name is None:
            return
        info = self.nodes.get(name)
        pods = info.pods if info else self._homeless.get(name, {})
        if pod := pods.get(uid):
            self.anti_affine -= bool(pod.anti_affinity)
        if info is not None:
            info.remove(uid)
        else:
            pods.pop(uid, None)
            if not pods:
                self._homeless.pop(name, None)
