"""What the continuum agent knows: clusters with their nodes, applications and where their components are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, Objects, PlacementOutcome, Rejected, Telemetry
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Application, Cluster, Datacenter, Node
from mlsysops_core.plugins import LoadedPolicy

from mlsysops_agents.adapters.telemetry import TelemetryStore, telemetry_argument
from mlsysops_agents.placement import (
    ClusterFacts,
    Descriptions,
    NodeFacts,
    Resources,
    Weights,
    demands_of,
    place_on_clusters,
    with_targets,
)

from .failover import Failover, Leaving, since

__all__ = ["APP", "ContinuumWorld", "karmada_ready"]

APP = "MLSysOpsApp"
COMPONENT_CLUSTERS = "mlsysops.eu/component-clusters"
_ASSET = "application/"


class ContinuumWorld:
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
        objects: Objects,
        telemetry: Telemetry,
        *,
        clock: Clock | None = None,
        weights: Weights | None = None,
        failover: Failover | None = None,
    ) -> None:
        self._clock = clock
        self._weights = weights or Weights()
        self.failover = failover or Failover()
        #: Targets of the slice, as the settings have them.
        self.targets: Callable[[], Sequence[Mapping[str, Any]]] = tuple
        self._agent = agent
        self._objects = objects
        self._telemetry = telemetry
        self.descriptions = Descriptions()

    def application(self, name: str) -> Application | None:
        """Return an application's description; None where it is gone or does not validate."""
        return self.descriptions.get(self._objects.get(APP, name), Application)

    def placed(self, name: str) -> dict[str, str]:
        """Return component to cluster as the application's annotation has it."""
        obj = self._objects.get(APP, name)
        text = (obj["metadata"].get("annotations") or {}).get(COMPONENT_CLUSTERS) if obj is not None else None
        try:
            value = json.loads(text) if text else {}
        except ValueError:
            return {}
        return {str(key): str(cluster) for key, cluster in value.items()} if isinstance(value, dict) else {}

    def clusters(self) -> list[ClusterFacts]:
        """Return the registered clusters with their nodes."""
        used = self._used()
        nodes: defaultdict[str, list[NodeFacts]] = defaultdict(list)
        members = self._members()
        for item in self._objects.items("MLSysOpsNode"):
            name = str(item["metadata"]["name"])
            description = self.descriptions.get(item, Node)
            cluster = (description.cluster_id if description is not None else None) or members.get(name)
            if cluster is not None:
                facts = NodeFacts.gather(
                    name, description=description, status=item.get("status"), used=used.get((cluster, name))
                )
                nodes[cluster].append(facts)
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

    def _members(self) -> dict[str, str]:
        """Return node to cluster as the clusters' descriptions list them."""
        found: dict[str, str] = {}
        for item in self._objects.items("MLSysOpsCluster"):
            description = self.descriptions.get(item, Cluster)
            for node in description.nodes if description is not None else ():
                found[node] = description.cluster_id if description is not None else ""
        return found

    def _used(self) -> Mapping[tuple[str, str], Resources]:
        """Return what applications request on each node, as far as their statuses say where they are."""
        used: defaultdict[tuple[str, str], Resources] = defaultdict(Resources)
        for item in self._objects.items(APP):
            application = self.descriptions.get(item, Application)
            if application is None:
                continue
            places = {
                entry.get("name"): (str(entry.get("cluster")), str(entry.get("node")))
                for entry in (item.get("status") or {}).get("components") or ()
                if entry.get("cluster") and entry.get("node")
            }
            for demand in demands_of(application):
                place = places.get(demand.members[0])
                if place is not None:
                    used[place] = used[place] + demand.resources
        return used

    # -- placement ---------------------------------------------------------------------------------------------

    def place(self, name: str) -> PlacementOutcome:
        """Find a cluster for every component."""
        application = self.application(name)
        if application is None:
            fault = self.descriptions.fault(self._objects.get(APP, name))
            raise InvalidInput(f"application {name}: {fault or 'is gone'}")
        leaving = self.leaving(name)
        return place_on_clusters(
            application,
            [replace(cluster, refused=leaving.refused.get(cluster.name, "")) for cluster in self.clusters()],
            current=self.placed(name),
            leaving=leaving.components,
            weights=self.weights(),
        )

    def weights(self) -> Weights:
        """Return what counts how much under the slice's targets."""
        return with_targets(self._weights, [str(item.get("metric")) for item in self.targets()])

    def leaving(self, name: str) -> Leaving:
        """Return what of an application should leave its cluster."""
        application, placed = self.application(name), self.placed(name)
        if application is None or not placed or self._clock is None:
            return Leaving()
        silent: dict[str, float | None] = {}
        for cluster in set(placed.values()):
            obj = self._objects.get("Cluster", cluster)
            if karmada_ready(obj)[0] is False:
                silent[cluster] = since(((obj or {}).get("status") or {}).get("conditions") or (), "Ready")
        said, _ = self.reports(APP, name)
        return self.failover.look(application, placed, silent=silent, said=said, now=self._clock.time())

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

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        """Return the application of an asset; all of them where the asset is no application."""
        wanted = asset.removeprefix(_ASSET) if asset.startswith(_ASSET) else None
        return [
            {"name": item["metadata"]["name"], "spec": item.get("spec") or {}}
            for item in self._objects.items(APP)
            if wanted is None or item["metadata"]["name"] == wanted
        ]

    def system_description(self, asset: str) -> dict[str, Any]:
        """Return the continuum's description, with the clusters that are registered."""
        described = self._objects.get("MLSysOpsContinuum", self._agent.name) or {}
        clusters = [item["metadata"]["name"] for item in self._objects.items("MLSysOpsCluster")]
        spec = {"name": self._agent.name, "continuum_id": self._agent.name, **(described.get("spec") or {})}
        return {"MLSysOpsContinuum": {**spec, "clusters": clusters}}

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        """Return the telemetry argument."""
        if isinstance(self._telemetry, TelemetryStore):
            return telemetry_argument(self._telemetry, policy.declaration.metrics)
        return {"query": self._telemetry.latest, "dataframe": None}

    def ml_connector(self) -> Any:
        """Return None: there is no connector to models yet."""
        return None

    def snapshot(self, asset: str) -> dict[str, Any]:
        """Return the places that a decision was made from."""
        return {
            "placed": self.placed(asset.removeprefix(_ASSET)),
            "clusters": {cluster.name: len(cluster.nodes) for cluster in self.clusters()},
        }


def karmada_ready(cluster: Mapping[str, Any] | None) -> tuple[bool | None, str]:
    """Return what a Karmada Cluster's Ready condition says, and why not; (None, "") where there is none."""
    for item in ((cluster or {}).get("status") or {}).get("conditions") or ():
        if item.get("type") == "Ready":
            ready = item.get("status") == "True"
            return ready, "" if ready else str(item.get("message") or item.get("reason") or "not ready")
    return None, ""
