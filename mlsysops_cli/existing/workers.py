"""Nodes of clusters that exist: taken into the slice as workers, with what their API says of their hardware."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.quantities import parse_bytes, parse_cpu

from mlsysops_cli.existing.probe import KARMADA_HOST
from mlsysops_cli.slice.model import Cluster, Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlsysops_cli.existing.probe import Probed
    from mlsysops_cli.slice.model import Slice

__all__ = ["extend_slice", "node_facts"]

Object = dict[str, Any]

_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_KEEPS_AWAY = ("NoSchedule", "NoExecute")
#: Labels that describe the machine and not what somebody wants of it.
_OWN_LABELS = ("kubernetes.io/", "k8s.io/", "mlsysops.eu/")


def extend_slice(slice_: Slice, probed: Probed) -> Slice:
    """Return the slice with its clusters' nodes, and with a place for each agent that runs as a pod.

    Raises:
        InvalidInput: The inventory names nodes that the clusters do not have; carries every fault.
    """
    faults: list[Fault] = []
    hosts = dict(slice_.hosts)
    clusters = []
    for cluster in slice_.clusters:
        nodes = {node["metadata"]["name"]: node for node in probed.nodes[cluster.servers[0]]}
        faults += _unknown(cluster, nodes)
        workers = list(cluster.workers)
        if slice_.agents == "pods":
            workers += [name for name in sorted(nodes) if _runs_pods(nodes[name]) and name not in workers]
            for name in workers:
                if name in nodes:
                    hosts[name] = _worker(cluster.name, nodes[name], hosts.get(name))
            faults += _pin(hosts, cluster.servers[0], nodes)
        else:
            _here(hosts, cluster, nodes)
        clusters.append(cluster.model_copy(update={"workers": workers}))
    if slice_.existing.karmada_host:
        nodes = {node["metadata"]["name"]: node for node in probed.nodes[KARMADA_HOST]}
        faults += _pin(hosts, slice_.management, nodes)
    if faults:
        raise InvalidInput(faults=faults)
    return slice_.model_copy(update={"hosts": hosts, "clusters": clusters})


def node_facts(probed: Probed) -> dict[str, Object]:
    """Return what the APIs say of their nodes' hardware, by node, as `mls_hardware.collect` says it of a host."""
    return {node["metadata"]["name"]: _facts(node) for nodes in probed.nodes.values() for node in nodes}


def _unknown(cluster: Cluster, nodes: Mapping[str, Object]) -> Iterator[Fault]:
    for name in cluster.workers:
        if name not in nodes:
            known = ", ".join(sorted(nodes)) or "none"
            yield Fault(
                path=f"host {name}",
                message=f"cluster {cluster.name} has no node {name}",
                hint=f"name the host as its node (nodes: {known}), or remove it from the inventory",
            )


def _here(hosts: dict[str, Host], cluster: Cluster, nodes: Mapping[str, Object]) -> None:
    """Give agents of nodes that are this machine their node's address: there its pods look for them."""
    for name in cluster.workers:
        address = _address(nodes[name]) if name in nodes else ""
        if hosts[name].local and _is_here(address):
            hosts[name] = hosts[name].model_copy(update={"address": address, "node_name": name})


def _is_here(address: str) -> bool:
    """Whether an address is this machine's: a program can listen on it."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.bind(place)
    except OSError:  # a name, or another machine's
        return False
    return True


def _runs_pods(node: Object) -> bool:
    """Whether applications may run on a node: one of Linux that is not kept for the control plane."""
    spec, labels = node.get("spec") or {}, node["metadata"].get("labels") or {}
    reserved = any(
        taint.get("key") in _CONTROL_PLANE and taint.get("effect") in _KEEPS_AWAY for taint in spec.get("taints") or ()
    )
    return not reserved and labels.get("kubernetes.io/os", "linux") == "linux"


def _worker(cluster: str, node: Object, said: Host | None) -> Host:
    name, address = node["metadata"]["name"], _address(node)
    if said is not None:
        return said.model_copy(update={"address": address})
    labels = {
        key: value
        for key, value in (node["metadata"].get("labels") or {}).items()
        if not any(part in key for part in _OWN_LABELS)
    }
    return Host(name=name, role="worker", cluster=cluster, address=address, machine=False, labels=labels)


def _address(node: Object) -> str:
    addresses = {one["type"]: one["address"] for one in (node.get("status") or {}).get("addresses") or ()}
    return str(addresses.get("InternalIP") or addresses.get("Hostname") or node["metadata"]["name"])


def _pin(hosts: dict[str, Host], name: str, nodes: Mapping[str, Object]) -> Iterator[Fault]:
    """Give the agent of a host that stands for an API a node: the one that the inventory means, else the first one."""
    host = hosts[name]
    named = host.address if host.address != host.name else ""
    fitting = [n for n, node in sorted(nodes.items()) if named in (n, _address(node)) or (not named and n == name)]
    if not fitting and named:
        known = ", ".join(f"{n} {_address(node)}" for n, node in sorted(nodes.items())) or "none"
        yield Fault(
            path=f"host {name}",
            message=f"no node has the address {named}",
            hint=f"set mls_address to that of the node that shall run its agent, or leave it out (nodes: {known})",
        )
        return
    ready = fitting or [n for n, node in sorted(nodes.items()) if _ready(node)]
    if not ready:
        yield Fault(path=f"host {name}", message="no node is ready to run its agent", hint="see `kubectl get nodes`")
        return
    hosts[name] = host.model_copy(update={"address": _address(nodes[ready[0]]), "node_name": ready[0]})


def _ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    good = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return good and _runs_pods(node) and not (node.get("spec") or {}).get("unschedulable")


def _facts(node: Object) -> Object:
    status = node.get("status") or {}
    info, capacity = status.get("nodeInfo") or {}, status.get("capacity") or {}
    cpu: Object = {"architecture": info.get("architecture")}
    if "cpu" in capacity:
        cpu["cores"] = int(parse_cpu(capacity["cpu"]))
    facts: Object = {"cpu": {key: value for key, value in cpu.items() if value}}
    if "memory" in capacity:
        facts["memory_bytes"] = parse_bytes(capacity["memory"])
    if "ephemeral-storage" in capacity:
        facts["disk_bytes"] = parse_bytes(capacity["ephemeral-storage"])
    # "Debian GNU/Linux 12 (bookworm)": the distribution's name comes first
    image = str(info.get("osImage") or "").split()
    if image:
        facts["os"] = image[0].lower()
    runtime = str(info.get("containerRuntimeVersion") or "").partition("://")[0]
    if runtime:
        facts["container_runtime"] = [runtime]
    return facts
