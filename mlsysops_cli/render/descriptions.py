"""Descriptions of a slice: its continuum, its clusters and its nodes, from the inventory and the hosts' facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from mlsysops_core.model import Cluster, Continuum, Node
from mlsysops_core.model.vocabulary import ContainerRuntime, OperatingSystem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.slice.model import Engine, FarEdgeDevice, Host, NodeFacts, Slice

__all__ = ["describe_clusters", "describe_continuum", "describe_nodes"]

#: What runs containers where the engine itself brings the runtime.
_ENGINE_RUNTIME: dict[str, list[str]] = {"embedded": ["process"], "k3s": ["containerd"]}


def describe_continuum(slice_: Slice) -> Continuum:
    """Return the description of the continuum."""
    return Continuum.model_validate({"continuum_id": slice_.continuum, "clusters": [c.name for c in slice_.clusters]})


def describe_clusters(slice_: Slice) -> list[Cluster]:
    """Return the descriptions of the clusters."""
    return [
        Cluster.model_validate({"name": c.name, "cluster_id": c.name, "nodes": list(c.workers)})
        for c in slice_.clusters
    ]


def describe_nodes(slice_: Slice, facts: Mapping[str, Mapping[str, Any]]) -> list[Node]:
    """Return the descriptions of the workers and the far-edge devices.

    Args:
        slice_: The slice.
        facts: What `mlsysops_cli.ansible_plugins.module_utils.mls_hardware.collect` found, by host. The
            inventory has the last word; what neither knows is left out.
    """
    workers = [slice_.hosts[name] for cluster in slice_.clusters for name in cluster.workers]
    nodes = [_node(host, host.node, facts.get(host.name, {}), slice_.engine) for host in workers]
    return nodes + [_node(device, device.node, {}, None) for device in slice_.far_edge]


def _node(machine: Host | FarEdgeDevice, said: NodeFacts, facts: Mapping[str, Any], engine: Engine | None) -> Node:
    node: dict[str, Any] = {
        "name": machine.name,
        "cluster_id": machine.cluster,
        "continuum_layer": said.continuum_layer,
        "environment": _environment(facts, engine) | said.environment,
        "hardware": _merge(_hardware(facts), said.hardware),
    }
    labels = [
        key if value in ("", "true") else f"{key}={value}"
        for key, value in machine.labels.items()
        if not key.startswith("mlsysops.eu/")  # ours; descriptions say the same in members of their own
    ]
    if labels:
        node["labels"] = labels
    return Node.model_validate(_merge(node, said.extra))


def _environment(facts: Mapping[str, Any], engine: Engine | None) -> dict[str, Any]:
    environment: dict[str, Any] = {}
    if "node_type" in facts:
        environment["node_type"] = facts["node_type"]
    if facts.get("os") in _words(OperatingSystem):
        environment["os"] = facts["os"]
    runtimes = _ENGINE_RUNTIME.get(engine or "") or facts.get("container_runtime", [])
    if runtimes:
        environment["container_runtime"] = [name for name in runtimes if name in _words(ContainerRuntime)]
    return environment


def _words(vocabulary: Any) -> tuple[str, ...]:
    """Return the values of an ``Annotated[Literal[...], ...]``."""
    return get_args(get_args(vocabulary)[0])


def _hardware(facts: Mapping[str, Any]) -> dict[str, Any]:
    hardware: dict[str, Any] = {}
    if facts.get("cpu"):
        hardware["cpu"] = dict(facts["cpu"])
    if "memory_bytes" in facts:
        hardware["memory"] = _gigabytes(facts["memory_bytes"])
    if "disk_bytes" in facts:
        hardware["disk"] = str(_gigabytes(facts["disk_bytes"]))
    return hardware


def _gigabytes(amount: int) -> float:
    """Return whole gigabytes, tenths where there are few; rounded down, as a promise must be."""
    tenths = amount // 10**8
    return tenths // 10 if tenths >= 100 or tenths % 10 == 0 else tenths / 10


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
