"""What the continuum agent knows: clusters with their nodes, applications and where their components are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, PlacementOutcome, Rejected, Telemetry
from mlsysops_core.model import Application, Cluster, Datacenter, Node

from mlsysops_agents.adapters.health import since
from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.adapters.moments import Moments
from mlsysops_agents.placement import (
    ClusterFacts,
    NodeFacts,
    Resources,
    Weights,
    demands_of,
    place_on_clusters,
)
from mlsysops_agents.upper import APP, ASSET, UpperWorld, component_clusters

from .failover import Failover, Leaving
from .usage import Usage

__all__ = ["ContinuumWorld", "karmada_ready"]


class ContinuumWorld(UpperWorld):
    """Everything here is read from caches; nothing waits.

    Args:
        agent: The continuum agent.
        objects: Its caches.
        telemetry: The metrics that reach it.
        clock: Its time; None stands still at the begin of time, for what needs no failover.
        weights: What counts how much.
        failover: When components leave their clusters.
    """

    def __init__(
        self,
        agent: AgentIdentity,
        objects: WatchedObjects,
        telemetry: Telemetry,
        *,
        clock: Clock | None = None,
        weights: Weights | None = None,
        failover: Failover | None = None,
    ) -> None:
        super().__init__(agent, objects, telemetry, weights=weights)
        self._clock = clock
        self._moments = None if clock is None else Moments(clock)
        self.failover = failover or Failover()
        self._demands: dict[str, tuple[Application, list[tuple[str, Resources]]]] = {}
        self._usage = Usage(objects, lambda obj: self.descriptions.get(obj, Application), self._wants)
        self._facts: dict[str, tuple[tuple[Any, ...], NodeFacts]] = {}

    def placed(self, name: str) -> dict[str, str]:
        """Return component to cluster as the application's annotation has it."""
        return component_clusters(self._objects.get(APP, name))

    def clusters(self) -> list[ClusterFacts]:
        """Return the registered clusters with their nodes."""
        used = self._usage.totals()
        nodes: defaultdict[str, list[NodeFacts]] = defaultdict(list)
        members = self._members()
        for item in self._objects.items("MLSysOpsNode"):
            name = str(item["metadata"]["name"])
            description = self.descriptions.get(item, Node)
            cluster = (description.cluster_id if description is not None else None) or members.get(name)
            if cluster is not None:
                nodes[cluster].append(self._node(item, description, used.get((cluster, name))))
        datacenters: defaultdict[str, list[Datacenter]] = defaultdict(list)
        for item in self._objects.items("MLSysOpsDatacenter"):
            if (site := self.descriptions.get(item, Datacenter)) is not None:
                datacenters[site.cluster_id].append(site)
        found: list[ClusterFacts] = []
        for item in self._objects.items("MLSysOpsCluster"):
            name = str(item["metadata"]["name"])
            ready, why = karmada_ready(self._objects.get("Cluster", name))
            found.append(ClusterFacts(name, tuple(nodes[name]), ready, why, tuple(datacenters[name])))
        return found

    def _node(self, item: Mapping[str, Any], description: Node | None, used: Resources | None) -> NodeFacts:
        """Return the facts of a node, which are worked out once a version."""
        metadata = item["metadata"]
        name, version = str(metadata["name"]), (metadata.get("uid"), metadata.get("resourceVersion"))
        known = self._facts.get(name)
        if known is None or known[0] != version or None in version:
            facts = NodeFacts.gather(name, description=description, status=item.get("status"))
            known = self._facts[name] = (version, facts)
        return replace(known[1], used=used) if used is not None else known[1]

    def forget(self, obj: Mapping[str, Any]) -> None:
        """Drop what is known of an object that is gone."""
        self.descriptions.forget(obj)
        name = str(obj["metadata"]["name"])
        if obj.get("kind") == APP:
            self._demands.pop(name, None)
        elif obj.get("kind") == "MLSysOpsNode":
            self._facts.pop(name, None)

    def _members(self) -> dict[str, str]:
        """Return node to cluster as the clusters' descriptions list them."""
        found: dict[str, str] = {}
        for item in self._objects.items("MLSysOpsCluster"):
            description = self.descriptions.get(item, Cluster)
            for node in description.nodes if description is not None else ():
                found[node] = description.cluster_id if description is not None else ""
        return found

    def _wants(self, name: str, application: Application) -> list[tuple[str, Resources]]:
        """Return what each demand of an application, known by its first member, requests; worked out once a description."""
        known = self._demands.get(name)
        if known is None or known[0] is not application:
            wants = [(demand.members[0], demand.resources) for demand in demands_of(application)]
            known = self._demands[name] = (application, wants)
        return known[1]

    # -- placement ---------------------------------------------------------------------------------------------

    def place(self, name: str) -> PlacementOutcome:
        """Find a cluster for every component."""
        application = self.must_have(name)
        leaving = self.leaving(name)
        return place_on_clusters(
            application,
            [replace(cluster, refused=leaving.refused.get(cluster.name, "")) for cluster in self.clusters()],
            current=self.placed(name),
            leaving=leaving.components,
            weights=self.weights(),
        )

    def leaving(self, name: str) -> Leaving:
        """Return what of an application should leave its cluster."""
        application, placed = self.application(name), self.placed(name)
        if application is None or not placed or self._clock is None or self._moments is None:
            return Leaving()
        silent: dict[str, float | None] = {}
        ready: dict[str, float | None] = {}
        for obj in self._objects.items("Cluster"):
            well = karmada_ready(obj)[0]
            if well is not None:
                cluster, stated = (
                    str(obj["metadata"]["name"]),
                    since((obj.get("status") or {}).get("conditions") or (), "Ready"),
                )
                began = None if stated is None else self._moments.began(cluster, (well, stated), stated)
                (ready if well else silent)[cluster] = began
        said, _ = self.reports(APP, name)
        return self.failover.look(
            application, placed, silent=silent, clusters=ready, said=said, now=self._clock.monotonic()
        )

    def reports(self, kind: str, name: str) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        """Return cluster to status of an object there, and cluster to why it is not there."""
        statuses: dict[str, Mapping[str, Any]] = {}
        problems: dict[str, str] = {}
        # Karmada's name of a binding; a long one is hashed, and then all are looked at.
        likely = self._objects.get("ResourceBinding", f"{name}-{kind.lower()}")
        for binding in self._objects.items("ResourceBinding") if likely is None else [likely]:
            resource = (binding.get("spec") or {}).get("resource") or {}
            if resource.get("kind") != kind or resource.get("name") != name:
                continue
            for item in (binding.get("status") or {}).get("aggregatedStatus") or ():
                cluster = str(item.get("clusterName"))
                if item.get("status"):
                    statuses[cluster] = item["status"]
                if item.get("applied") is False:
                    problems[cluster] = f"cluster {cluster}: {item.get('appliedMessage') or 'not applied'}"
        return statuses, problems

    def recheck(self, name: str) -> dict[str, Rejected]:
        """Return components whose cluster is not theirs any more."""
        found = self.place(name)
        present = self.placed(name)
        return {
            component: Rejected(cluster, "cluster", "is no longer allowed", component)
            for component, cluster in present.items()
            if found.assignments.get(component) != cluster
        }

    def objection(self, name: str, component: str, host: str) -> Rejected | None:
        """Say why a cluster cannot take a component."""
        application = self.application(name)
        clusters = [cluster for cluster in self.clusters() if cluster.name == host]
        if application is None or not clusters:
            return Rejected(host, "cluster", "is not registered", component)
        found = place_on_clusters(application, clusters, current=self.placed(name), weights=self.weights())
        if component in found.assignments:
            return None
        return next((item for item in found.rejected), Rejected(host, "cluster", "does not fit", component))

    # -- what policies are shown -------------------------------------------------------------------------------

    def system_description(self, asset: str) -> dict[str, Any]:
        """Return the continuum's description, with the clusters that are registered."""
        described = self._objects.get("MLSysOpsContinuum", self._agent.name) or {}
        clusters = [item["metadata"]["name"] for item in self._objects.items("MLSysOpsCluster")]
        spec = {"name": self._agent.name, "continuum_id": self._agent.name, **(described.get("spec") or {})}
        return {"MLSysOpsContinuum": {**spec, "clusters": clusters}}

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Return the places and metric values that a decision was made from."""
        return {
            "metrics": self.measured(asset, metrics),
            "placed": self.placed(asset.removeprefix(ASSET)),
            "clusters": {cluster.name: len(cluster.nodes) for cluster in self.clusters()},
        }


def karmada_ready(cluster: Mapping[str, Any] | None) -> tuple[bool | None, str]:
    """Return what a Karmada Cluster's Ready condition says, and why not; (None, "") where there is none."""
    for item in ((cluster or {}).get("status") or {}).get("conditions") or ():
        if item.get("type") == "Ready":
            ready = item.get("status") == "True"
            return ready, "" if ready else str(item.get("message") or item.get("reason") or "not ready")
    return None, ""
