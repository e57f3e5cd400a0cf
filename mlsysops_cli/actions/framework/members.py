"""Which hosts may join or leave a running slice, by engine; every refusal is one line with what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_core.errors import NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_cli.slice import Slice

__all__ = ["check_joining", "check_leaving", "joining_warnings"]


def check_joining(slice_: Slice, names: Sequence[str], known: Mapping[str, str], inventory: str) -> None:
    """Refuse hosts that cannot join.

    Args:
        slice_: The slice, as the inventory describes it now.
        names: The hosts.
        known: ``role/cluster`` of the hosts that are deployed.
        inventory: Its path.

    Raises:
        NotFound: A host is none of the inventory's that could join.
        Refused: Nodes of these clusters come and go without us, or a server would lead a cluster.
    """
    _refuse_pods(slice_, "add-node")
    roles = _roles(slice_)
    wrong = [name for name in names if name not in slice_.hosts or slice_.hosts[name].role not in roles]
    if wrong:
        fitting = ", ".join(name for name, host in slice_.hosts.items() if host.role in roles)
        what = " or server" if "server" in roles else ""
        raise NotFound(
            f"{', '.join(wrong)}: no worker{what} of {inventory}",
            hint=f"add it to its cluster's group; {'hosts' if what else 'workers'}: {fitting}",
        )
    for cluster in slice_.clusters:
        first = cluster.servers[0]
        if first not in names or first in known:
            continue
        others = [name for name in cluster.servers[1:] if name in known]
        raise Refused(
            f"{first} cannot join: it would lead cluster {cluster.name}",
            hint=f"list it after {others[0]} in its group"
            if others
            else "`mls framework deploy-all` makes new clusters",
        )


def joining_warnings(slice_: Slice, names: Sequence[str]) -> list[str]:
    """Return what a person should know of clusters that get further servers, a line each."""
    return [
        f"cluster {cluster.name} has {len(cluster.servers)} servers then: etcd of an even number stands the loss of no more "
        "servers than with one less"
        for cluster in slice_.clusters
        if any(name in names for name in cluster.servers) and len(cluster.servers) % 2 == 0
    ]


def check_leaving(slice_: Slice, names: Sequence[str], state_name: str, known: Mapping[str, str]) -> None:
    """Refuse hosts that cannot leave.

    Args:
        slice_: The slice, as the inventory describes it.
        names: The hosts.
        state_name: Name of the deployed slice.
        known: ``role/cluster`` of the hosts that are deployed.

    Raises:
        NotFound: A host is none of the slice's that could leave.
        Refused: It leads its cluster, or its cluster would lose two servers at once.
    """
    _refuse_pods(slice_, "remove-node")
    roles = _roles(slice_)
    unknown = [name for name in names if known.get(name, "").partition("/")[0] not in roles]
    if unknown:
        fitting = ", ".join(name for name, place in known.items() if place.partition("/")[0] in roles)
        what = " or server" if "server" in roles else ""
        raise NotFound(
            f"no worker{what} {', '.join(unknown)} in slice {state_name}",
            hint=f"{'hosts' if what else 'workers'}: {fitting or 'none'}",
        )
    for cluster in slice_.clusters:
        leaving = [name for name in names if name in cluster.servers]
        if cluster.servers[0] in leaving:
            raise Refused(
                f"{cluster.servers[0]} cannot leave: it leads cluster {cluster.name}, and the other hosts joined it",
                hint="remove another server; to move a cluster to other hosts, take a backup, or destroy the slice",
            )
        if len(leaving) > 1:
            raise Refused(
                f"{', '.join(leaving)} cannot leave cluster {cluster.name} together: etcd gives up one member at a time",
                hint="remove one, and then the other",
            )


def _roles(slice_: Slice) -> tuple[str, ...]:
    """Return the roles of hosts that may come and go: only k3s has control planes of several servers."""
    return ("worker", "server") if slice_.engine == "k3s" else ("worker",)


def _refuse_pods(slice_: Slice, what: str) -> None:
    if slice_.engine == "existing" and slice_.agents == "pods":
        raise Refused(
            f"{what} is for hosts of ours, and the agents of this slice are pods: their DaemonSet follows the clusters' nodes",
            hint="add or drain nodes with the cluster's own tools, and run `mls framework deploy-all`",
        )
