"""What the plan says of a host for the commands that change a running slice: join, leave, upgrade, backup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED

from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE
from mlsysops_cli.render.k3s_plan import own_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["agent_lease", "continuum_access", "farewell_request", "host_life"]

Plan = dict[str, Any]
_LEASE = "coordination.k8s.io/v1"
_NODE_LEASES = "kube-node-lease"
_DESCRIPTIONS = "continuum/40-descriptions"


def host_life(layout: SliceLayout, host: HostLayout, rendered: Path) -> Plan:
    """Return the part ``life`` of a host's plan.

    ``server`` and ``kubeconfig`` say where and with what its cluster's API is asked; ``leases`` and ``conditions`` what
    must be renewed and true while it is well; ``objects`` what of it goes from that API when it leaves; ``descriptions``
    which rendered files speak of it; ``farewell`` how its agent is told to put settings back where that is a pod; ``data`` what a
    backup of it holds.

    Args:
        layout: The slice, placed.
        host: The host.
        rendered: Where the rendered tree lies.
    """
    if layout.slice.engine != "embedded":
        return _kubernetes_life(layout, host, rendered)
    name, role, cluster = host.host.name, host.host.role, host.host.cluster
    lead = layout.server(cluster) if role == "worker" else host
    leases = [agent_lease(layout, host)]
    life: Plan = {
        "server": lead.host.name,
        "kubeconfig": str(lead.kubeconfig("admin")),
        "leases": leases,
        "conditions": [],
        "objects": [],
        "descriptions": [],
        "farewell": {},
        "data": {},
    }
    if role == "worker":
        node = _object("v1", "Node", "", name)
        life["leases"] = [_object(_LEASE, "Lease", _NODE_LEASES, name), *leases]
        life["conditions"] = [node | {"condition": "Ready"}]
        life["objects"] = [node, *life["leases"]]
        life["descriptions"] = _descriptions(host, rendered)
        # Where the server keeps what it made for the node; on one machine it is the node's own directory.
        life["credentials"] = "" if host.host.local else str(host.directory)
    else:
        token = [str(host.token_file.relative_to(host.directory))] if role == "management" else []
        life["data"] = {
            "root": str(host.directory),
            "paths": [str(host.pki.relative_to(host.directory)), *token],
            "config": str(host.directory / "controlplane.yaml"),
            "file": str(host.directory / "backup.tar.gz"),
        }
    return life


def agent_lease(layout: SliceLayout, host: HostLayout) -> Plan:
    """Return the Lease that a host's agent renews while it is well."""
    tier, agent = {
        "management": ("continuum", layout.slice.continuum),
        "server": ("cluster", host.host.cluster),
        "worker": ("node", host.host.name),
    }[host.host.role]
    return _object(_LEASE, "Lease", FRAMEWORK_NAMESPACE, f"mlsysops-{tier}-{agent}")


def _kubernetes_life(layout: SliceLayout, host: HostLayout, rendered: Path) -> Plan:
    """Return the same for a host of the other engines: its APIs are asked from here, with kubeconfigs of this machine.

    Of k3s the node is ours, of clusters that exist what runs on it. ``own`` is where the host is a node itself, which for the
    management host is another API than the one its agent talks to.
    """
    name, role, cluster = host.host.name, host.host.role, host.host.cluster
    k3s = layout.slice.engine == "k3s"
    lead = host if role == "management" else layout.server(cluster)
    node = _object("v1", "Node", "", name)
    life: Plan = {
        "server": lead.host.name,
        "kubeconfig": str(lead.admin_kubeconfig),
        "own": str(own_kubeconfig(lead) if k3s else lead.admin_kubeconfig),
        "leases": [agent_lease(layout, host)] if host is lead or role == "worker" else [],
        "conditions": [],
        "objects": [],
        "descriptions": _descriptions(host, rendered) if role == "worker" else [],
        "credentials": "",
        "farewell": {},
        "drained": k3s,
        "etcd": layout.slice.cluster(cluster).servers if k3s and role == "server" else [],
        "data": _kubernetes_data(layout, host) if host is lead else {},
    }
    if k3s:
        life["conditions"] = [node | {"condition": "Ready"}]
        # k3s keeps a node's password, and lets no other host in under its name (https://docs.k3s.io/architecture).
        life["objects"] = [node, _object("v1", "Secret", "kube-system", f"{name}.node-password.k3s")]
    if role == "worker":
        life["objects"] += life["leases"]
        if k3s:
            life["farewell"] = _farewell(name, life["leases"][0])
            life["objects"].append(life["farewell"]["request"])
    return life


def farewell_request(node: str = "") -> Plan:
    """Return the ConfigMap that tells the agent of a node, or all of them, that it is uninstalled, where agents are pods."""
    return _object("v1", "ConfigMap", FRAMEWORK_NAMESPACE, f"{UNINSTALL}-{node}" if node else UNINSTALL)


def _farewell(node: str, lease: Plan) -> Plan:
    return {"request": farewell_request(node), "lease": lease, "annotation": UNINSTALLED}


def _kubernetes_data(layout: SliceLayout, host: HostLayout) -> Plan:
    """Return what a backup of a host that stands for an API needs; see the playbooks ``backup`` and ``restore``."""
    files = []
    if host.host.role == "management" and not layout.continuum_in_pods:
        files = [str(path.relative_to(host.directory)) for path in (host.pki, host.token_file)]
    return {
        "root": str(host.directory),
        "paths": files,
        "file": str(host.directory / "backup.tar.gz"),
        "karmada_etcd": "/var/lib/karmada-etcd" if host.host.role == "management" else "/nonexistent",
    }


def _descriptions(host: HostLayout, rendered: Path) -> list[str]:
    files = (f"clusters-{host.host.cluster}", f"nodes-{host.host.name}")
    return [str(rendered / _DESCRIPTIONS / f"{file}.yaml") for file in files]


def continuum_access(layout: SliceLayout, rendered: Path) -> Plan:
    """Return how the continuum's API is reached from this machine, and which rendered file describes each cluster."""
    clusters = {c.name: str(rendered / _DESCRIPTIONS / f"clusters-{c.name}.yaml") for c in layout.slice.clusters}
    return {"kubeconfig": str(layout.management.admin_kubeconfig), "clusters": clusters}


def _object(version: str, kind: str, namespace: str, name: str) -> Plan:
    return {"api_version": version, "kind": kind, "namespace": namespace, "name": name}
