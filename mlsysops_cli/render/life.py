"""What the plan says of a host for the commands that change a running slice: join, leave, upgrade, backup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["continuum_access", "host_life"]

Plan = dict[str, Any]
_LEASE = "coordination.k8s.io/v1"
_NODE_LEASES = "kube-node-lease"
_DESCRIPTIONS = "continuum/40-descriptions"


def host_life(layout: SliceLayout, host: HostLayout, rendered: Path) -> Plan:
    """Return the part ``life`` of a host's plan.

    ``server`` and ``kubeconfig`` say where and with what its cluster's API is asked; ``leases`` and ``conditions`` what
    must be renewed and true while it is well; ``objects`` what of it goes from that API when it leaves; ``descriptions``
    which rendered files speak of it; ``data`` what a backup of it holds.

    Args:
        layout: The slice, placed.
        host: The host.
        rendered: Where the rendered tree lies.
    """
    name, role, cluster = host.host.name, host.host.role, host.host.cluster
    lead = layout.server(cluster) if role == "worker" else host
    tier, agent = {
        "management": ("continuum", layout.slice.continuum),
        "server": ("cluster", cluster),
        "worker": ("node", name),
    }[role]
    leases = [_object(_LEASE, "Lease", FRAMEWORK_NAMESPACE, f"mlsysops-{tier}-{agent}")]
    life: Plan = {
        "server": lead.host.name,
        "kubeconfig": str(lead.kubeconfig("admin")),
        "leases": leases,
        "conditions": [],
        "objects": [],
        "descriptions": [],
        "data": {},
    }
    if role == "worker":
        node = _object("v1", "Node", "", name)
        life["leases"] = [_object(_LEASE, "Lease", _NODE_LEASES, name), *leases]
        life["conditions"] = [node | {"condition": "Ready"}]
        life["objects"] = [node, *life["leases"]]
        life["descriptions"] = [
            str(rendered / _DESCRIPTIONS / f"{file}.yaml") for file in (f"clusters-{cluster}", f"nodes-{name}")
        ]
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


def continuum_access(layout: SliceLayout, rendered: Path) -> Plan:
    """Return how the continuum's API is reached from this machine, and which rendered file describes each cluster."""
    clusters = {c.name: str(rendered / _DESCRIPTIONS / f"clusters-{c.name}.yaml") for c in layout.slice.clusters}
    return {"kubeconfig": str(layout.management.admin_kubeconfig), "clusters": clusters}


def _object(version: str, kind: str, namespace: str, name: str) -> Plan:
    return {"api_version": version, "kind": kind, "namespace": namespace, "name": name}
