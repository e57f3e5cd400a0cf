"""Which nodes can take a pod, which of them suits best, and why the others cannot: pure functions.

Reasons are kube-scheduler's own words, so that tools that read them keep working.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import selector_matches
from mlsysops_embedded.machinery.selectors import selector_from_object
from mlsysops_embedded.scheduler.predicates import (
    node_term_matches,
    required_node_match,
    tolerates,
    untolerated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.scheduler.cache import Cache, NodeInfo, PodInfo

__all__ = ["PodRules", "explain", "fits", "score"]

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_HOST = "kubernetes.io/hostname"


def _term_matches(term: Object, pod: PodInfo, own_namespace: str) -> bool:
    namespaces = term.get("namespaces") or ([] if term.get("namespaceSelector") is not None else [own_namespace])
    # An empty namespaceSelector means every namespace; others would need namespaces' labels, which pods lack.
    if namespaces and pod.key[0] not in namespaces:
        return False
    return selector_matches(term.get("labelSelector"), pod.labels)


class PodRules:
    """Rules between pods, worked out once a pod over all nodes: affinity, anti-affinity, topology spread."""

    def __init__(self, pod: PodInfo, cache: Cache) -> None:
        self._pod = pod
        self._cache = cache
        self._affinity = [(term, self._domains(term)) for term in pod.affinity]
        self._anti = [(term, self._domains(term)) for term in pod.anti_affinity]
        self._refused = self._refusals() if cache.anti_affine else set()
        self._spread = [
            (constraint, self._counts(constraint))
            for constraint in pod.spec.get("topologySpreadConstraints") or ()
            if constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
        ]

    def _domains(self, term: Object) -> set[str]:
        key = term["topologyKey"]
        return {
            info.labels[key]
            for info in self._cache.nodes.values()
            if key in info.labels and any(_term_matches(term, p, self._pod.key[0]) for p in info.pods.values())
        }

    def _refusals(self) -> set[tuple[str, str]]:
        """Topology domains where a pod that is there already does not want this one."""
        return {
            (term["topologyKey"], info.labels.get(term["topologyKey"], ""))
            for info in self._cache.nodes.values()
            for other in info.pods.values()
            for term in other.anti_affinity
            if _term_matches(term, self._pod, other.key[0])
        }

    def _counts(self, constraint: Object) -> Counter[str]:
        key, selector = constraint["topologyKey"], selector_from_object(constraint.get("labelSelector"))
        counts: Counter[str] = Counter()
        for info in self._cache.nodes.values():
            if key in info.labels and required_node_match(self._pod.spec, info.node):
                counts[info.labels[key]] += sum(
                    p.key[0] == self._pod.key[0] and selector.matches_labels(p.labels) for p in info.pods.values()
                )
        return counts

    def check(self, info: NodeInfo) -> str | None:
        """The reason why a node is out, or None."""
        labels = info.labels
        for term, domains in self._affinity:
            # The first pod of a group that wants to be with itself may start anywhere.
            alone = not domains and _term_matches(term, self._pod, self._pod.key[0])
            if labels.get(term["topologyKey"]) not in domains and not (alone and term["topologyKey"] in labels):
                return "node(s) didn't match pod affinity rules"
        if any(labels.get(term["topologyKey"]) in domains for term, domains in self._anti):
            return "node(s) didn't match pod anti-affinity rules"
        if any(labels.get(key) == value for key, value in self._refused):
            return "node(s) didn't satisfy existing pods anti-affinity rules"
        for constraint, counts in self._spread:
            value = labels.get(constraint["topologyKey"])
            if value is None:
                return "node(s) didn't match pod topology spread constraints (missing required label)"
            own = selector_matches(constraint.get("labelSelector"), self._pod.labels)
            if counts[value] + own - min(counts.values(), default=0) > constraint["maxSkew"]:
                return "node(s) didn't match pod topology spread constraints"
        return None


def _resources(pod: PodInfo, info: NodeInfo) -> list[str]:
    reasons = []
    if len(info.pods) + 1 > info.allocatable.get("pods", 110):
        reasons.append("Too many pods")
    for name, amount in pod.requests.items():
        # A billionth of room: sums of decimal fractions are not exact in binary.
        if amount and amount > info.allocatable.get(name, 0.0) - info.requested.get(name, 0.0) + 1e-9:
            reasons.append(f"Insufficient {name}")
    return reasons


def _ports_clash(pod: PodInfo, info: NodeInfo) -> bool:
    taken = {port for other in info.pods.values() for port in other.ports}
    return any(
        protocol == other_protocol and number == other_number and (address == other or "0.0.0.0" in (address, other))
        for address, protocol, number in pod.ports
        for other, other_protocol, other_number in taken
    )


def fits(pod: PodInfo, info: NodeInfo, rules: PodRules) -> list[str]:
    """Reasons why a node cannot take a pod; empty where it can. The order is kube-scheduler's."""
    node = info.node
    tolerations = pod.spec.get("tolerations")
    if node["spec"].get("unschedulable") and not any(tolerates(t, _UNSCHEDULABLE) for t in tolerations or ()):
        return ["node(s) were unschedulable"]
    taints = node["spec"].get("taints")
    if taints and (taint := untolerated(tolerations, taints, ("NoSchedule", "NoExecute"))):
        return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"]
    if not required_node_match(pod.spec, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if pod.ports and _ports_clash(pod, info):
        return ["node(s) didn't have free ports for the requested pod ports"]
    if short := _resources(pod, info):
        return short
    reason = rules.check(info)
    return [reason] if reason else []


def score(pod: PodInfo, info: NodeInfo) -> float:
    """How well a node suits, 0 to about 400: least allocated, preferred affinity and taints, fewest pods of the same kind."""
    total, known = 0.0, 0
    # Pods without requests count a little, as kube-scheduler has it (100m, 200 MB).
    for name, least in (("cpu", 0.1), ("memory", 2e8)):
        capacity = info.allocatable.get(name, 0.0)
        if capacity:
            known += 1
            taken = info.requested.get(name, 0.0) + (pod.requests.get(name) or least)
            total += max(0.0, (capacity - taken) / capacity)
    total *= 100 / known if known else 0.0
    if affinity := pod.spec.get("affinity"):
        for preferred in (affinity.get("nodeAffinity") or {}).get(
            "preferredDuringSchedulingIgnoredDuringExecution"
        ) or ():
            if node_term_matches(preferred["preference"], info.node):
                total += preferred["weight"]
        total += _pod_preference(pod, info)
    taints = info.node["spec"].get("taints")
    if taints and untolerated(pod.spec.get("tolerations"), taints, ("PreferNoSchedule",)):
        total -= 100
    if pod.labels:
        total += 100 / (1 + info.families[pod.family])
    return total - len(info.pods) * 0.01


def _pod_preference(pod: PodInfo, info: NodeInfo) -> float:
    """Preferred (anti-)affinity between pods, by host only."""
    total = 0.0
    affinity = pod.spec.get("affinity") or {}
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for entry in (affinity.get(kind) or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            term = entry["podAffinityTerm"]
            if term["topologyKey"] == _HOST and any(_term_matches(term, p, pod.key[0]) for p in info.pods.values()):
                total += sign * entry["weight"]
    return total


def explain(total: int, reasons: Mapping[str, int] | Iterable[str]) -> str:
    """Say it as kube-scheduler: ``0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.``."""
    counted = reasons if isinstance(reasons, Counter) else Counter(reasons)
    if not total:
        return "no nodes available to schedule pods"
    texts = sorted(f"{count} {reason}" for reason, count in counted.items())
    return f"0/{total} nodes are available: {', '.join(texts)}."
