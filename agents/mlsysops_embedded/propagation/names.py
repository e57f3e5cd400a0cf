"""Karmada's well-known labels, annotations, finalizers and names."""

from __future__ import annotations

from mlsysops_embedded.client.objects import safe_hash

__all__ = ["binding_name", "cluster_of", "execution_namespace", "reserved_namespace", "work_name"]

POLICY_ID = "propagationpolicy.karmada.io/permanent-id"
POLICY_NAMESPACE = "propagationpolicy.karmada.io/namespace"
POLICY_NAME = "propagationpolicy.karmada.io/name"
CLUSTER_POLICY_ID = "clusterpropagationpolicy.karmada.io/permanent-id"
CLUSTER_POLICY_NAME = "clusterpropagationpolicy.karmada.io/name"
BINDING_ID = "resourcebinding.karmada.io/permanent-id"
BINDING_NAMESPACE = "resourcebinding.karmada.io/namespace"
BINDING_NAME = "resourcebinding.karmada.io/name"
CLUSTER_BINDING_ID = "clusterresourcebinding.karmada.io/permanent-id"
CLUSTER_BINDING_NAME = "clusterresourcebinding.karmada.io/name"
WORK_NAMESPACE = "work.karmada.io/namespace"
WORK_NAME = "work.karmada.io/name"
CONFLICT = "work.karmada.io/conflict-resolution"
TEMPLATE_UID = "resourcetemplate.karmada.io/uid"
TEMPLATE_GENERATION = "resourcetemplate.karmada.io/generation"
MANAGED = "karmada.io/managed"
SKIP_NAMESPACE = "namespace.karmada.io/skip-auto-propagation"
BINDING_FINALIZER = "karmada.io/binding-controller"
CLUSTER_BINDING_FINALIZER = "karmada.io/cluster-resource-binding-controller"
WORK_FINALIZER = "karmada.io/execution-controller"
CLUSTER_FINALIZER = "karmada.io/cluster-controller"
LEASE_NAMESPACE = "karmada-cluster"
_EXECUTION = "karmada-es-"


def execution_namespace(cluster: str) -> str:
    """Namespace of a cluster's Works."""
    return f"{_EXECUTION}{cluster}"


def cluster_of(namespace: str) -> str:
    """The cluster of an execution namespace; empty for any other namespace."""
    return namespace.removeprefix(_EXECUTION) if namespace.startswith(_EXECUTION) else ""


def reserved_namespace(name: str) -> bool:
    """Namespaces that are never propagated by themselves."""
    return name == "default" or name.startswith(("kube-", "karmada-"))


def binding_name(kind: str, name: str) -> str:
    """``<name>-<kind>``; RBAC names may hold colons and capitals, which object names may not."""
    return f"{name.lower().replace(':', '.')}-{kind.lower()}"


def work_name(kind: str, name: str, namespace: str) -> str:
    """Name of the Work of a template, the same in each execution namespace."""
    return f"{name.lower().replace(':', '.')[:200]}-{safe_hash([namespace, name, kind])}"
