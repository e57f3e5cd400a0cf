"""Who the parts of a slice are to its APIs, and what each of them may do there.

The embedded engine knows them as users with client certificates; the Kubernetes engines as ServiceAccounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, NAMESPACE

if TYPE_CHECKING:
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["account_of", "continuum_accounts", "continuum_rbac", "member_accounts", "member_rbac"]

Variables = dict[str, Any]


def account_of(layout: SliceLayout, host: HostLayout) -> str:
    """Return the ServiceAccount of a host's agent."""
    role = host.host.role
    if role == "worker":
        # The pods of one DaemonSet share one account; a process has one of its own.
        return "mlsysops-node-agent" if layout.slice.agents == "pods" else f"mlsysops-node-agent-{host.host.name}"
    return "mlsysops-cluster-agent" if role == "server" else "mlsysops-continuum-agent"


def continuum_accounts() -> Variables:
    """Return the accounts of the continuum's API: nothing runs in it, so all of them have a token."""
    return _accounts({"mlsysops-continuum-agent": "continuum-agent", "mlsysops-northbound": "northbound"})


def member_accounts(layout: SliceLayout, cluster: str) -> Variables:
    """Return the accounts of a cluster's API for agents that are processes; pods bring their own."""
    if layout.slice.agents == "pods":
        return _accounts({})
    workers = layout.slice.cluster(cluster).workers
    return _accounts(
        {
            account_of(layout, layout.server(cluster)): "cluster-agent",
            **{account_of(layout, layout.hosts[name]): "node-agent" for name in workers},
        }
    )


def continuum_rbac(layout: SliceLayout) -> Variables:
    """Return what the template ``kubernetes/rbac-continuum.yaml.j2`` needs."""
    embedded = layout.slice.engine == "embedded"
    # Karmada brings its own agents' permissions; on the embedded engine they are ours to give.
    members = layout.slice.clusters if embedded else []
    return {
        "namespace": NAMESPACE,
        "framework_namespace": FRAMEWORK_NAMESPACE,
        "continuum_agent": _user("mlsysops:continuum-agent") if embedded else _account("mlsysops-continuum-agent"),
        "northbound": _user("mlsysops:northbound") if embedded else _account("mlsysops-northbound"),
        "members": [
            {"name": c.name, "namespace": f"karmada-es-{c.name}", "subjects": _user(f"karmada:agent:{c.name}")}
            for c in members
        ],
    }


def member_rbac(layout: SliceLayout, cluster: str) -> Variables:
    """Return what the template ``kubernetes/rbac-member.yaml.j2`` needs."""
    workers = layout.slice.cluster(cluster).workers
    if layout.slice.engine == "embedded":
        cluster_agent = _user("mlsysops:cluster-agent")
        nodes = {name: _user(f"mlsysops:node-agent:{name}") for name in workers}
    else:
        cluster_agent = _account(account_of(layout, layout.server(cluster)))
        nodes = {name: _account(account_of(layout, layout.hosts[name])) for name in workers}
    every = [subject for subjects in nodes.values() for subject in subjects]
    return {
        "namespace": NAMESPACE,
        "framework_namespace": FRAMEWORK_NAMESPACE,
        "cluster_agent": cluster_agent,
        "node_agents": [subject for number, subject in enumerate(every) if subject not in every[:number]],
        "nodes": [{"name": name, "subjects": subjects} for name, subjects in nodes.items()],
    }


def _user(name: str) -> list[dict[str, str]]:
    return [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]


def _account(name: str) -> list[dict[str, str]]:
    return [{"kind": "ServiceAccount", "name": name, "namespace": FRAMEWORK_NAMESPACE}]


def _accounts(components: dict[str, str]) -> Variables:
    return {
        "framework_namespace": FRAMEWORK_NAMESPACE,
        "accounts": [{"name": name, "component": component} for name, component in components.items()],
    }
