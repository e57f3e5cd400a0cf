"""Which policy a template belongs to, which clusters it goes to, and how many replicas each gets: pure functions.

Source: Karmada's user guide, "Resource Propagating": priorities, preemption, cluster affinity and replica scheduling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import quantity, selector_matches, terms_match
from mlsysops_embedded.scheduler.predicates import untolerated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlsysops_embedded.client import Object

__all__ = ["choose_policy", "cluster_matches", "divide", "match_rank", "target_clusters"]


def match_rank(selectors: Iterable[Object], template: Object, *, namespace: str | None = None) -> int:
    """How closely resource selectors match: 0 not at all, 1 the kind, 2 by labels, 3 by name.

    Args:
        selectors: ``resourceSelectors`` of a policy.
        template: An object with apiVersion and kind.
        namespace: Namespace of a namespaced policy, which selects nowhere else.
    """
    metadata = template["metadata"]
    best = 0
    for selector in selectors:
        if (selector.get("apiVersion"), selector.get("kind")) != (template["apiVersion"], template["kind"]):
            continue
        wanted = namespace or selector.get("namespace")
        if wanted and metadata.get("namespace") != wanted:
            continue
        if selector.get("name"):
            rank = 3 if selector["name"] == metadata["name"] else 0
        elif selector.get("labelSelector") is not None:
            rank = 2 if selector_matches(selector["labelSelector"], metadata.get("labels")) else 0
        else:
            rank = 1
        best = max(best, rank)
    return best


def _rank(policy: Object, template: Object) -> int:
    selectors = policy["spec"].get("resourceSelectors") or ()
    return match_rank(selectors, template, namespace=policy["metadata"].get("namespace"))


def _priority(policy: Object) -> int:
    return int(policy["spec"].get("priority") or 0)


def _best(policies: Iterable[Object], template: Object) -> Object | None:
    """Highest explicit priority, then closest match, then first by name."""
    ranked = [(policy, rank) for policy in policies if (rank := _rank(policy, template))]
    ranked.sort(key=lambda entry: (-_priority(entry[0]), -entry[1], entry[0]["metadata"]["name"]))
    return ranked[0][0] if ranked else None


def choose_policy(
    template: Object, policies: Sequence[Object], cluster_policies: Sequence[Object], claimed: Object | None
) -> Object | None:
    """The policy that a template belongs to.

    Args:
        template: The template.
        policies: PropagationPolicies of its namespace.
        cluster_policies: All ClusterPropagationPolicies.
        claimed: The policy it belongs to now; it stays with that unless it no longer matches or is preempted.
    """
    if claimed is None or not _rank(claimed, template):
        return _best(policies, template) or _best(cluster_policies, template)
    clusterwide = "namespace" not in claimed["metadata"] or not claimed["metadata"]["namespace"]
    eager = [p for p in policies if p["spec"].get("preemption") == "Always"]
    if clusterwide:
        if taker := _best(eager, template):
            return taker
        eager = [p for p in cluster_policies if p["spec"].get("preemption") == "Always"]
    taker = _best([p for p in eager if _priority(p) > _priority(claimed)], template)
    return taker or claimed


def cluster_matches(affinity: Object | None, cluster: Object) -> bool:
    """Whether a cluster fits a ClusterAffinity; no affinity fits all."""
    if not affinity:
        return True
    name = cluster["metadata"]["name"]
    if name in (affinity.get("exclude") or affinity.get("excludeClusters") or ()):
        return False
    if affinity.get("clusterNames") and name not in affinity["clusterNames"]:
        return False
    selector = affinity.get("labelSelector")
    if selector is not None and not selector_matches(selector, cluster["metadata"].get("labels")):
        return False
    expressions = (affinity.get("fieldSelector") or {}).get("matchExpressions") or ()
    return all(_field_matches(expression, cluster["spec"]) for expression in expressions)


def _zones(spec: Object) -> list[str]:
    """Zones of a cluster: ``zones``, or the older ``zone``."""
    return list(spec.get("zones") or ()) or ([spec["zone"]] if spec.get("zone") else [])


def _field_matches(expression: Object, spec: Object) -> bool:
    """One expression about provider, region or zone; one of several zones is enough for a match."""
    key = expression["key"]
    if key != "zone":
        return terms_match([expression], {key: spec[key]} if spec.get(key) else {})
    found = not set(_zones(spec)).isdisjoint(expression.get("values") or ())
    return found is (expression["operator"] == "In")


def target_clusters(placement: Object | None, clusters: Sequence[Object], present: Iterable[str]) -> list[Object]:
    """Clusters a template goes to, by name; several affinity groups are tried in turn.

    A cluster that is not ready is tainted and gets nothing new, but what it has stays: being away is no reason to lose it.
    """
    placement = placement or {}
    groups = placement.get("clusterAffinities") or [placement.get("clusterAffinity")]
    tolerations, kept = placement.get("clusterTolerations"), set(present)
    for affinity in groups:
        found = [
            cluster
            for cluster in clusters
            if cluster_matches(affinity, cluster)
            and not cluster["metadata"].get("deletionTimestamp")
            and (
                cluster["metadata"]["name"] in kept
                or untolerated(tolerations, cluster["spec"].get("taints"), ("NoSchedule", "NoExecute")) is None
            )
        ]
        if found:
            return sorted(found, key=lambda cluster: str(cluster["metadata"]["name"]))
    return []


def divide(replicas: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share replicas in the ratio of weights: whole shares first, the rest one by one from the heaviest on."""
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    shares = {name: replicas * weight // total for name, weight in weights.items()}
    rest = replicas - sum(shares.values())
    for name in sorted(weights, key=lambda n: (-weights[n], n))[:rest]:
        shares[name] += 1
    return shares


def assign_replicas(placement: Object | None, clusters: Sequence[Object], replicas: int | None) -> list[Object]:
    """``spec.clusters`` of a binding: each target with its replicas, where the template has any."""
    names = [cluster["metadata"]["name"] for cluster in clusters]
    if replicas is None:
        return [{"name": name} for name in names]
    scheduling = (placement or {}).get("replicaScheduling") or {}
    if not scheduling or scheduling.get("replicaSchedulingType") == "Duplicated":
        return [{"name": name, "replicas": replicas} for name in names]
    if scheduling.get("replicaDivisionPreference") == "Aggregated":
        roomiest = max(clusters, key=_free_cpu, default=None)
        weights = {name: int(roomiest is not None and name == roomiest["metadata"]["name"]) for name in names}
    else:
        weights = _weights((scheduling.get("weightPreference") or {}).get("staticWeightList"), clusters)
    shares = divide(replicas, weights)
    return [{"name": name, "replicas": share} for name, share in shares.items() if share or not replicas]


def _weights(listed: Sequence[Object] | None, clusters: Sequence[Object]) -> dict[str, int]:
    """The weight of each cluster: the largest of the entries that match; clusters no entry names get nothing."""
    if not listed:
        return {cluster["metadata"]["name"]: 1 for cluster in clusters}
    weights = {}
    for cluster in clusters:
        fitting = [int(e["weight"]) for e in listed if cluster_matches(e.get("targetCluster"), cluster)]
        weights[cluster["metadata"]["name"]] = max(fitting, default=0)
    return weights


def _free_cpu(cluster: Object) -> float:
    summary = (cluster.get("status") or {}).get("resourceSummary") or {}
    total = quantity((summary.get("allocatable") or {}).get("cpu", 0))
    return total - quantity((summary.get("allocated") or {}).get("cpu", 0))
