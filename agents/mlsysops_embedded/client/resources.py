"""The built-in kinds that controllers, scheduler, kubelet and propagation work with."""

from __future__ import annotations

from mlsysops_embedded.client.protocol import Resource

__all__ = [
    "CLUSTERS",
    "CLUSTER_OVERRIDE_POLICIES",
    "CLUSTER_POLICIES",
    "CLUSTER_RESOURCE_BINDINGS",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CUSTOM_RESOURCE_DEFINITIONS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "OVERRIDE_POLICIES",
    "PODS",
    "POLICIES",
    "REPLICA_SETS",
    "RESOURCE_BINDINGS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "WORKS",
]

NAMESPACES = Resource("", "v1", "namespaces", False, "Namespace")
NODES = Resource("", "v1", "nodes", False, "Node")
PODS = Resource("", "v1", "pods", True, "Pod")
SERVICES = Resource("", "v1", "services", True, "Service")
ENDPOINTS = Resource("", "v1", "endpoints", True, "Endpoints")
CONFIG_MAPS = Resource("", "v1", "configmaps", True, "ConfigMap")
SECRETS = Resource("", "v1", "secrets", True, "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", True, "ServiceAccount")
EVENTS = Resource("", "v1", "events", True, "Event")
DEPLOYMENTS = Resource("apps", "v1", "deployments", True, "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", True, "ReplicaSet")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", True, "ControllerRevision")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", True, "DaemonSet")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", True, "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", True, "Lease")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", False, "CustomResourceDefinition"
)
# Karmada: https://karmada.io/docs/reference/ (policy/v1alpha1, work/v1alpha1 and v1alpha2, cluster/v1alpha1).
CLUSTERS = Resource("cluster.karmada.io", "v1alpha1", "clusters", False, "Cluster")
POLICIES = Resource("policy.karmada.io", "v1alpha1", "propagationpolicies", True, "PropagationPolicy")
CLUSTER_POLICIES = Resource(
    "policy.karmada.io", "v1alpha1", "clusterpropagationpolicies", False, "ClusterPropagationPolicy"
)
OVERRIDE_POLICIES = Resource("policy.karmada.io", "v1alpha1", "overridepolicies", True, "OverridePolicy")
CLUSTER_OVERRIDE_POLICIES = Resource(
    "policy.karmada.io", "v1alpha1", "clusteroverridepolicies", False, "ClusterOverridePolicy"
)
WORKS = Resource("work.karmada.io", "v1alpha1", "works", True, "Work")
RESOURCE_BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", True, "ResourceBinding")
CLUSTER_RESOURCE_BINDINGS = Resource(
    "work.karmada.io", "v1alpha2", "clusterresourcebindings", False, "ClusterResourceBinding"
)
