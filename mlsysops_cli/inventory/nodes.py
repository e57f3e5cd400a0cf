"""Reads what an inventory says of a host as a node, held against the description that is made of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from mlsysops_core.model import Node
from mlsysops_core.model.faults import faults_of
from mlsysops_core.yaml import load_yaml
from pydantic import ValidationError

from mlsysops_cli.slice.model import ContinuumLayer, NodeFacts

if TYPE_CHECKING:
    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.inventory.values import Reader

__all__ = ["read_node"]

#: Variables that are members of the description, and the members; all others come with ``mls_node``.
_MEMBERS = {"mls_environment": "environment", "mls_hardware": "hardware"}


def read_node(raw: RawInventory, read: Reader, faults: list[Fault], host: str, layer: str) -> NodeFacts:
    """Return what the inventory says of a host as a node, adding a fault for each thing that no node can be.

    Args:
        raw: The inventory.
        read: Its typed reader.
        faults: Is added to.
        host: The host.
        layer: Continuum layer where the inventory names none.
    """
    said = read.text(host, "mls_continuum_layer") or layer
    layers = get_args(ContinuumLayer)
    if said not in layers:
        hint = f"one of: {', '.join(layers)}"
        message = f"mls_continuum_layer of host {host} is {said}"
        faults.append(raw.fault(host, "mls_continuum_layer", message=message, hint=hint))
        said = layer
    environment = read.mapping(host, "mls_environment")
    labels = raw.hosts[host].get("labels")
    if isinstance(labels, dict) and "is_vm" in labels and "node_type" not in environment:
        environment["node_type"] = "virtualized" if str(labels["is_vm"]).lower() == "true" else "native"
    members = {
        "environment": environment,
        "hardware": read.mapping(host, "mls_hardware"),
        "extra": read.mapping(host, "mls_node"),
    }
    _check(raw, faults, host, {"mls_environment": environment, "mls_hardware": members["hardware"]})
    _check(raw, faults, host, {"mls_node": members["extra"]})
    return NodeFacts.model_validate({"continuum_layer": said, **members})


def _check(raw: RawInventory, faults: list[Fault], host: str, variables: dict[str, dict[str, Any]]) -> None:
    """Hold variables against the description of a node whose other members are as they may be."""
    own = variables.get("mls_node", {})
    parts = {member: variables.get(variable, {}) for variable, member in _MEMBERS.items()}
    node = {"name": "node", "continuum_layer": "edge", **parts, **own}
    try:
        Node.model_validate(node)
    except ValidationError as error:
        for fault in faults_of(error, Node, load_yaml(json.dumps(node)), ()):
            member, _, rest = fault.path.partition(".")
            variable = next((name for name in _MEMBERS if name in variables and _MEMBERS[name] == member), "mls_node")
            path = f"{variable}.{rest}" if variable in _MEMBERS else f"{variable}.{fault.path}"
            message = f"{path.rstrip('.')} of host {host}: {fault.message}"
            faults.append(raw.fault(host, variable, message=message, hint=fault.hint, path=f"{host}.{variable}"))
