"""Components onto clusters: the filters of ``cluster_placement``, then what the nodes of each cluster can host.

An application stays in one cluster where one can host all of it, because its components reach each other there; only else is
it divided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mlsysops_core.contracts import PlacementOutcome, Rejected
from mlsysops_core.model import Application, Datacenter

from .demand import Demand, demands_of, interactions_of
from .explain import explain
from .facts import NodeFacts
from .fleet import Fleet
from .goals import Weights, node_costs
from .nodes import place

__all__ = ["CLUSTER_FILTERS", "ClusterFacts", "place_on_clusters"]


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster as the continuum knows it.

    Attributes:
        name: Its identifier.
        nodes: Its nodes.
        ready: Whether it is ready; None is unknown and does not stand in the way.
        not_ready: Why it is not.
        datacenters: The datacenters of the cluster.
        refused: Why it is not asked to take the application; empty where it is.
    """

    name: str
    nodes: tuple[NodeFacts, ...]
    ready: bool | None = None
    not_ready: str = ""
    datacenters: tuple[Datacenter, ...] = ()
    refused: str = ""


def _cluster_id(application: Application, cluster: ClusterFacts) -> str:
    allowed = application.cluster_placement.cluster_id if application.cluster_placement else []
    return f"needs {' or '.join(allowed)}" if allowed and cluster.name not in allowed else ""


def _ready(_application: Application, cluster: ClusterFacts) -> str:
    return (cluster.not_ready or "not ready") if cluster.ready is False else ""


def _refused(_application: Application, cluster: ClusterFacts) -> str:
    return cluster.refused


def _location(application: Application, cluster: ClusterFacts) -> str:
    location = application.cluster_placement.location if application.cluster_placement else None
    if location is None:
        return ""
    for field in ("continent", "country", "city"):
        wanted = getattr(location, field)
        given = {value for site in cluster.datacenters if (value := getattr(site, field)) is not None}
        if wanted and not given & set(wanted):
            return f"needs {' or '.join(wanted)}, is {', '.join(sorted(given)) or 'unknown'}"
    return ""


def _cloud_provider(application: Application, cluster: ClusterFacts) -> str:
    wanted = application.cluster_placement.cloud_provider if application.cluster_placement else None
    given = {site.cloud_provider for site in cluster.datacenters if site.cloud_provider is not None}
    if wanted is None or wanted in given:
        return ""
    return f"needs {wanted}, is {', '.join(sorted(given)) or 'unknown'}"


def _accelerators(application: Application, cluster: ClusterFacts) -> str:
    wanted = application.cluster_placement.accelerators if application.cluster_placement else []
    missing = [name for name in wanted if not any(_has_accelerator(node, name) for node in cluster.nodes)]
    return f"has no {' and no '.join(missing)}" if missing else ""


def _node_types(application: Application, cluster: ClusterFacts) -> str:
    wanted = application.cluster_placement.node_types if application.cluster_placement else []
    given = {node.description.continuum_layer for node in cluster.nodes if node.description is not None}
    missing = [layer for layer in wanted if layer not in given]
    return f"has no {' and no '.join(missing)} node" if missing else ""


def _has_accelerator(node: NodeFacts, name: str) -> bool:
    if name == "gpu" and node.gpus:
        return True
    if node.description is None:
        return False
    if getattr(node.description.hardware, name, None) is not None:
        return True
    return any(
        platform.name == name for call in node.description.acceleration_api for platform in call.supported_platforms
    )


CLUSTER_FILTERS: Mapping[str, Callable[[Application, ClusterFacts], str]] = {
    "cluster": _cluster_id,
    "ready": _ready,
    "location": _location,
    "cloud_provider": _cloud_provider,
    "accelerators": _accelerators,
    "node_types": _node_types,
    "refused": _refused,
}
#: Filters that speak of a cluster's present state; what is there already stays in spite of them.
_PASSING = frozenset({"ready", "refused"})


def place_on_clusters(
    application: Application,
    clusters: Sequence[ClusterFacts],
    *,
    current: Mapping[str, str] | None = None,
    leaving: Collection[str] = (),
    weights: Weights | None = None,
) -> PlacementOutcome:
    """Find a cluster for each component.

    Args:
        application: The application.
        clusters: The candidates.
        current: Component to cluster of what is placed already; it stays while its cluster is allowed.
        leaving: Components that should leave their cluster; they stay where no other takes them.
        weights: What counts how much.
    """
    demands = demands_of(application)
    names = [member for demand in demands for member in demand.members]
    # A cluster that is silent keeps what it has: nothing is taken from it because a link is down.
    keeps = {cluster.name for cluster in clusters if _objection(application, cluster, but=_PASSING) is None}
    stays = {member: host for member in names if (host := (current or {}).get(member)) in keeps and host is not None}
    moving = [demand for demand in demands if not set(demand.members) <= stays.keys() - set(leaving)]
    rejected: list[Rejected] = []
    allowed: list[ClusterFacts] = []
    for cluster in clusters:
        objection = _objection(application, cluster)
        if objection is None:
            allowed.append(cluster)
        else:
            rejected.append(Rejected(cluster.name, *objection))
    if not moving:
        return PlacementOutcome(
            assignments=stays, explain={name: explain(rejected, len(clusters), "clusters") for name in names}
        )
    settled = {name: host for name, host in stays.items() if name not in {m for d in moving for m in d.members}}
    outcomes = {
        cluster: place(moving, fleet, interactions=interactions_of(application), weights=weights)
        for cluster, fleet in _comparable(allowed).items()
    }
    whole = {name: outcome for name, outcome in outcomes.items() if not outcome.unplaced}
    if whole:
        home = _favourite(whole, settled)
        assignments = {name: settled.get(name, home) for name in names}
        others = rejected + _removed(outcomes, whole)
        text = explain(others, len(clusters), "clusters")
        return PlacementOutcome(assignments, others, dict.fromkeys(names, text), _scores(names, whole))
    found = _divided(application, moving, clusters, allowed, rejected, settled, weights)
    # Better where it is, even out of reach, than nowhere.
    return replace(found, assignments={**stays, **found.assignments})


def _comparable(clusters: Sequence[ClusterFacts]) -> dict[str, Fleet]:
    """Return each cluster's nodes with what they cost among the nodes of all: only so one cluster is cheaper than another."""
    costs = node_costs([node for cluster in clusters for node in cluster.nodes])
    found: dict[str, Fleet] = {}
    begin = 0
    for cluster in clusters:
        end = begin + len(cluster.nodes)
        found[cluster.name] = Fleet(cluster.nodes, costs[begin:end])
        begin = end
    return found


def _divided(
    application: Application,
    demands: Sequence[Demand],
    clusters: Sequence[ClusterFacts],
    allowed: Sequence[ClusterFacts],
    rejected: Sequence[Rejected],
    stays: Mapping[str, str],
    weights: Weights | None,
) -> PlacementOutcome:
    """Give each demand the cluster that has room for it, filling up one before the next."""
    nodes = [replace(node, name=f"{cluster.name}/{node.name}") for cluster in allowed for node in cluster.nodes]
    found = place(_without_nodes(demands, nodes), nodes, interactions=interactions_of(application), weights=weights)
    assignments = {name: host.partition("/")[0] for name, host in found.assignments.items()} | dict(stays)
    texts: dict[str, str] = {}
    reasons: list[Rejected] = []
    for demand in demands:
        for member in demand.members:
            alone: list[Rejected] = list(rejected)
            for cluster in allowed:
                inside = place([demand], cluster.nodes)
                if inside.unplaced:
                    first = next((item.filter for item in inside.rejected), "nodes")
                    alone.append(Rejected(cluster.name, first, f"{cluster.name}: {inside.explain[member]}"))
            if member not in assignments and len(alone) < len(clusters):
                alone.extend(
                    Rejected(cluster.name, "room", "not beside the other components")
                    for cluster in allowed
                    if cluster.name not in {item.candidate for item in alone}
                )
            texts[member] = explain(alone, len(clusters), "clusters")
            reasons.extend(replace(item, component=member) for item in alone)
    return PlacementOutcome(assignments, reasons, texts)


def _without_nodes(demands: Sequence[Demand], nodes: Sequence[NodeFacts]) -> list[Demand]:
    """Return the demands with node names as `_divided` writes them, where a component names its node."""
    full = {node.name.partition("/")[2]: node.name for node in nodes}
    return [
        replace(
            demand,
            placements=tuple(
                placement.model_copy(update={"node": full.get(placement.node, placement.node)})
                if placement.node is not None
                else placement
                for placement in demand.placements
            ),
        )
        for demand in demands
    ]


def _objection(application: Application, cluster: ClusterFacts, *, but: Collection[str] = ()) -> tuple[str, str] | None:
    for name, check in CLUSTER_FILTERS.items():
        if name not in but and (reason := check(application, cluster)):
            return name, reason
    return None


def _favourite(whole: Mapping[str, PlacementOutcome], stays: Mapping[str, str]) -> str:
    """Return the cluster where most of the application is already, else the one whose nodes score best."""

    def rank(name: str) -> tuple[int, float, str]:
        here = sum(cluster == name for cluster in stays.values())
        return (-here, -_mean_score(whole[name]), name)

    return min(whole, key=rank)


def _mean_score(outcome: PlacementOutcome) -> float:
    chosen = [outcome.scores[name][host] for name, host in outcome.assignments.items()]
    return sum(chosen) / len(chosen) if chosen else 0.0


def _scores(names: Sequence[str], whole: Mapping[str, PlacementOutcome]) -> dict[str, dict[str, float]]:
    table = {name: round(_mean_score(outcome), 6) for name, outcome in whole.items()}
    return dict.fromkeys(names, table)


def _removed(outcomes: Mapping[str, PlacementOutcome], whole: Mapping[str, PlacementOutcome]) -> list[Rejected]:
    found: list[Rejected] = []
    for name, outcome in outcomes.items():
        if name in whole:
            continue
        member = outcome.unplaced[0]
        first = next((item.filter for item in outcome.rejected if item.component == member), "nodes")
        found.append(Rejected(name, first, f"{name}, {member}: {outcome.explain[member]}"))
    return found
