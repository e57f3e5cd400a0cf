"""Which role and which cluster a host has, read off its groups and variables.

Ansible's groups are global: ``master_nodes`` below ``cluster1`` and below ``cluster2`` is one group. So a
host's cluster is what ``mls_cluster`` or ``k3s_cluster_name`` says, or else its closest cluster group, and a
host with two closest ones is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory

__all__ = ["Membership", "find_memberships"]

AnyRole = Literal["management", "server", "worker", "far_edge"]

#: Group names (or what they end with, after ``_``) that tell a role.
ROLE_GROUPS: dict[str, AnyRole] = {
    "management_cluster": "management",
    "management": "management",
    "master_nodes": "server",
    "server_nodes": "server",
    "servers": "server",
    "worker_nodes": "worker",
    "workers": "worker",
    "far_edge_nodes": "far_edge",
    "far_edge_devices": "far_edge",
    "far_edge": "far_edge",
}
_LAYER_ROLES: dict[str, AnyRole] = {
    "continuum": "management",
    "cluster": "server",
    "node": "worker",
    "far_edge": "far_edge",
}
_LAYER_LABEL = "mlsysops.eu/continuumLayer"


@dataclass(frozen=True, slots=True)
class Membership:
    """A host's place in the slice; a far-edge device's cluster is its gateway's and empty here."""

    name: str
    role: AnyRole
    cluster: str


def find_memberships(raw: RawInventory, faults: list[Fault], warnings: list[str]) -> list[Membership]:
    """Return the hosts that belong to the slice, in the inventory's order.

    Args:
        raw: The inventory.
        faults: Is added to: hosts with two roles, two clusters or none.
        warnings: Is added to: hosts that are left alone.
    """
    parents = _parents(raw)
    members = []
    for host in raw.hosts:
        role = _role(raw, host, parents, faults)
        if role is None:
            if _cluster_variable(raw, host) or _below_cluster_group(raw, host, parents):
                faults.append(
                    raw.fault(
                        host,
                        message=f"host {host} belongs to a cluster but is in no role group",
                        hint="put it into management_cluster, master_nodes or worker_nodes",
                    )
                )
            else:
                warnings.append(f"host {host} is in no group of a slice and is left alone")
            continue
        if role == "far_edge":
            members.append(Membership(host, role, ""))
            continue
        cluster = _cluster(raw, host, role, parents, faults)
        if cluster:
            members.append(Membership(host, role, cluster))
    _check_orphaned_names(raw, members, faults)
    return members


def _parents(raw: RawInventory) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {}
    for group, children in raw.children.items():
        for child in children:
            parents.setdefault(child, []).append(group)
    return parents


def _direct(raw: RawInventory, host: str) -> list[str]:
    return [group for group, hosts in raw.groups.items() if host in hosts]


def _group_role(group: str) -> AnyRole | None:
    for name, role in ROLE_GROUPS.items():
        if group == name or group.endswith(f"_{name}"):
            return role
    return None


def _levels(raw: RawInventory, host: str, parents: dict[str, list[str]]) -> list[list[str]]:
    """Return the host's groups by distance, closest first, without ``all`` and ``ungrouped``."""
    levels: list[list[str]] = []
    seen = {"all", "ungrouped"}
    level = [group for group in _direct(raw, host) if group not in seen]
    while level:
        seen.update(level)
        levels.append(level)
        level = list(dict.fromkeys(p for group in level for p in parents.get(group, []) if p not in seen))
    return levels


def _role(raw: RawInventory, host: str, parents: dict[str, list[str]], faults: list[Fault]) -> AnyRole | None:
    said = str(raw.hosts[host].get("mls_role") or "")
    if said:
        known = sorted(set(ROLE_GROUPS.values()))
        if said not in known:
            faults.append(
                raw.fault(
                    host,
                    "mls_role",
                    message=f"unknown role {said!r} of host {host}",
                    hint=f"one of: {', '.join(known)}",
                )
            )
            return None
        return next(role for role in ROLE_GROUPS.values() if role == said)
    for level in _levels(raw, host, parents):
        roles = {role: group for group in level if (role := _group_role(group))}
        if len(roles) > 1:
            both = " and ".join(f"{role} (group {group})" for role, group in sorted(roles.items()))
            faults.append(
                raw.fault(
                    host,
                    message=f"host {host} has two roles: {both}",
                    hint="keep it in one of these groups, or set mls_role",
                )
            )
        if roles:
            return next(iter(roles))
    labels = raw.hosts[host].get("labels")
    layer = labels.get(_LAYER_LABEL) if isinstance(labels, dict) else None
    return _LAYER_ROLES.get(str(layer)) if layer else None


def _below_cluster_group(raw: RawInventory, host: str, parents: dict[str, list[str]]) -> bool:
    """Whether a group above the host has groups of servers or workers below it."""
    above = [group for level in _levels(raw, host, parents) for group in level]
    return any(_group_role(child) in ("server", "worker") for group in above for child in raw.children.get(group, []))


def _cluster_variable(raw: RawInventory, host: str) -> str:
    variables = raw.hosts[host]
    return str(variables.get("mls_cluster") or variables.get("k3s_cluster_name") or "")


def _cluster(
    raw: RawInventory, host: str, role: AnyRole, parents: dict[str, list[str]], faults: list[Fault]
) -> str | None:
    variables = raw.hosts[host]
    ours, theirs = str(variables.get("mls_cluster") or ""), str(variables.get("k3s_cluster_name") or "")
    if ours and theirs and ours != theirs:
        faults.append(
            raw.fault(
                host,
                "mls_cluster",
                message=f"host {host} is in two clusters: mls_cluster {ours}, k3s_cluster_name {theirs}",
                hint="keep one of the two variables",
            )
        )
    if ours or theirs:
        return ours or theirs
    if role == "management":
        return host
    for level in _levels(raw, host, parents):
        candidates = [group for group in level if _group_role(group) is None]
        if len(candidates) > 1:
            faults.append(
                raw.fault(
                    host,
                    message=f"host {host} is in two clusters: {', '.join(candidates)}",
                    hint="groups of one name are one group to Ansible: set mls_cluster on the host, "
                    "or name the groups cluster1_master_nodes, cluster2_master_nodes, …",
                )
            )
            return None
        if candidates:
            return candidates[0]
    faults.append(
        raw.fault(
            host,
            message=f"host {host} is in no cluster",
            hint="put its group below a cluster's group, or set mls_cluster on the host",
        )
    )
    return None


def _check_orphaned_names(raw: RawInventory, members: list[Membership], faults: list[Fault]) -> None:
    """Find cluster groups that lost all their hosts' names to another cluster group of the same children."""
    by_children: dict[tuple[str, ...], list[str]] = {}
    for group, children in raw.children.items():
        shared = tuple(sorted(child for child in children if _group_role(child) in ("server", "worker")))
        if shared and group != "all":
            by_children.setdefault(shared, []).append(group)
    for shared, groups in by_children.items():
        if len(groups) < 2:
            continue
        own = [m for m in members if set(_direct(raw, m.name)) & set(shared)]
        if own and len({m.cluster for m in own}) < len(groups):
            faults.append(
                raw.fault(
                    groups[-1],
                    message=f"groups {', '.join(groups)} share {', '.join(shared)}, which are one group to Ansible, "
                    f"and all of the hosts name {' and '.join(sorted({m.cluster for m in own}))}",
                    hint="set k3s_cluster_name on each host rather than on the groups",
                )
            )
