"""Names of the API resources that the agents touch: group, version, plural, kind and scope."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CLUSTERS",
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "EVENTS",
    "LEASES",
    "MLSYSOPS_APPS",
    "MLSYSOPS_CLUSTERS",
    "MLSYSOPS_CONTINUUMS",
    "MLSYSOPS_DATACENTERS",
    "MLSYSOPS_NODES",
    "NODES",
    "PODS",
    "PROPAGATION_POLICIES",
    "REPLICA_SETS",
    "RESOURCE_BINDINGS",
    "SERVICES",
    "WELL_KNOWN",
    "Resource",
]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a Kubernetes API (a "GVR" with its kind and scope).

    Attributes:
        group: API group; empty for the core group.
        version: API version, e.g. ``v1``.
        plural: Lower-case plural as it appears in URLs.
        kind: Kind as it appears in objects.
        namespaced: Whether objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Value of ``apiVersion`` in objects of this resource."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path below the server's root (Kubernetes API concepts, "Resource URIs").

        Args:
            namespace: Namespace; None addresses all of them (lists and watches only).
            name: Object name; None addresses the collection.
            subresource: E.g. ``status``; needs a name.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
            if subresource:
                parts.append(subresource)
        return "/" + "/".join(parts)


_OURS = ("mlsysops.eu", "v1")

MLSYSOPS_APPS = Resource(*_OURS, "mlsysopsapps", "MLSysOpsApp")
MLSYSOPS_NODES = Resource(*_OURS, "mlsysopsnodes", "MLSysOpsNode")
MLSYSOPS_CLUSTERS = Resource(*_OURS, "mlsysopsclusters", "MLSysOpsCluster")
MLSYSOPS_CONTINUUMS = Resource(*_OURS, "mlsysopscontinuums", "MLSysOpsContinuum")
MLSYSOPS_DATACENTERS = Resource(*_OURS, "mlsysopsdatacenters", "MLSysOpsDatacenter")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS = Resource("", "v1", "events", "Event")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
PROPAGATION_POLICIES = Resource("policy.karmada.io", "v1alpha1", "propagationpolicies", "PropagationPolicy")
RESOURCE_BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", "ResourceBinding")
CLUSTERS = Resource("cluster.karmada.io", "v1alpha1", "clusters", "Cluster", namespaced=False)

#: The resources above by kind; our kinds and Karmada's cannot collide, so the kind alone is enough.
WELL_KNOWN: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        MLSYSOPS_APPS,
        MLSYSOPS_NODES,
        MLSYSOPS_CLUSTERS,
        MLSYSOPS_CONTINUUMS,
        MLSYSOPS_DATACENTERS,
        NODES,
        PODS,
        SERVICES,
        CONFIG_MAPS,
        EVENTS,
        DEPLOYMENTS,
        REPLICA_SETS,
        ENDPOINT_SLICES,
        LEASES,
        PROPAGATION_POLICIES,
        RESOURCE_BINDINGS,
        CLUSTERS,
    )
}
