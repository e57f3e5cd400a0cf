"""CustomResourceDefinitions of the five kinds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mlsysops_core.model import status
from mlsysops_core.model.common import rule
from mlsysops_core.model.export.structural import structural_schema
from mlsysops_core.model.kinds import GROUP, VERSION, Kind

__all__ = ["custom_resource_definition"]


def _column(name: str, path: str, kind: str = "string", *, description: str, wide: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


_READY = _column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether all is well.")
_AGE = _column("Age", ".metadata.creationTimestamp", "date", description="Time since creation.")
_REASON = _column(
    "Reason", '.status.conditions[?(@.type=="Ready")].reason', description="Why it is ready or not.", wide=True
)

_COLUMNS: dict[str, list[dict[str, Any]]] = {
    "MLSysOpsApp": [
        _column("Phase", ".status.phase", description="Summary of the components."),
        _READY,
        _column(
            "Placed",
            '.status.conditions[?(@.type=="Placed")].status',
            description="Whether every component has a node.",
        ),
        _column(
            "Satisfaction", ".status.satisfaction.value", "number", description="Weighted share of satisfied metrics."
        ),
        _column("Clusters", ".spec.cluster_placement.cluster_id", description="Clusters that can host it.", wide=True),
        _REASON,
        _AGE,
    ],
    "MLSysOpsNode": [
        _column("Layer", ".spec.continuum_layer", description="Layer of the continuum."),
        _column("Cluster", ".spec.cluster_id", description="Cluster of the node."),
        _READY,
        _column("Architecture", ".spec.hardware.cpu.architecture", description="Instruction set.", wide=True),
        _column("OS", ".spec.environment.os", description="Operating system.", wide=True),
        _column("Load", ".status.metrics.load1", "number", description="Load average over one minute.", wide=True),
        _REASON,
        _AGE,
    ],
    "MLSysOpsCluster": [
        _READY,
        _column("Nodes", ".status.nodes.total", "integer", description="Nodes that are registered."),
        _column("Nodes-Ready", ".status.nodes.ready", "integer", description="Nodes that are ready."),
        _column("Datacenter", ".spec.datacenter_id", description="Datacenter of the cluster.", wide=True),
        _REASON,
        _AGE,
    ],
    "MLSysOpsContinuum": [
        _READY,
        _column("Nodes", ".status.nodes.total", "integer", description="Nodes that are registered."),
        _column("Nodes-Ready", ".status.nodes.ready", "integer", description="Nodes that are ready."),
        _column("Clusters", ".spec.clusters", description="Clusters that are registered.", wide=True),
        _REASON,
        _AGE,
    ],
    "MLSysOpsDatacenter": [
        _column("Layer", ".spec.continuum", description="Layer of the continuum."),
        _column("Cluster", ".spec.cluster_id", description="Cluster of the datacenter."),
        _column("City", ".spec.city", description="City of the datacenter."),
        _AGE,
    ],
}

_STATUS: dict[str, type[BaseModel]] = {
    "MLSysOpsApp": status.ApplicationStatus,
    "MLSysOpsNode": status.NodeStatus,
    "MLSysOpsCluster": status.ClusterStatus,
    "MLSysOpsContinuum": status.ContinuumStatus,
    "MLSysOpsDatacenter": status.DatacenterStatus,
}
# Lists that several writers may own entries of, with the fields that tell entries apart.
_MAP_LISTS = {
    "conditions": ["type"],
    "components": ["name"],
    "performance": ["component", "metric"],
    "agents": ["tier", "name"],
}


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Makes the CustomResourceDefinition of a kind (apiextensions.k8s.io/v1)."""
    names = {
        "plural": kind.plural,
        "singular": kind.singular,
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "shortNames": list(kind.short_names),
        "categories": ["mlsysops"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _COLUMNS[kind.kind],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": kind.crd_name,
            "labels": {"app.kubernetes.io/name": kind.plural, "app.kubernetes.io/part-of": "mlsysops"},
        },
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _root(kind: Kind) -> dict[str, Any]:
    spec = structural_schema(kind.model)
    root: dict[str, Any] = {"description": spec.pop("description"), "type": "object"}
    if kind.name_field == "name":
        # The object's own name says it already, so manifests may leave it out.
        spec["required"] = [name for name in spec["required"] if name != "name"]
        root["x-kubernetes-validations"] = [
            rule("!has(self.spec.name) || self.spec.name == self.metadata.name", "spec.name must equal metadata.name")
        ]
    root["required"] = ["spec"]
    root["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {"description": "The description, as its author wrote it."} | spec,
        "status": _status(_STATUS[kind.kind]),
    }
    return root


def _status(model: type[BaseModel]) -> dict[str, Any]:
    schema = structural_schema(model)
    for name, field in schema["properties"].items():
        if name in _MAP_LISTS:
            field["x-kubernetes-list-type"] = "map"
            field["x-kubernetes-list-map-keys"] = _MAP_LISTS[name]
            # A key that may be absent needs a default, says the API server; ours are always there.
            field["items"]["required"] = list(dict.fromkeys([*field["items"].get("required", []), *_MAP_LISTS[name]]))
        elif field.get("type") == "array":
            field["x-kubernetes-list-type"] = "atomic"
    return _open(schema)


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Lets every object of a status hold keys that this version does not know: agents of several versions write it."""
    if schema.get("type") == "object":
        schema["x-kubernetes-preserve-unknown-fields"] = True
    for child in [*schema.get("properties", {}).values(), schema.get("items")]:
        if isinstance(child, dict):
            _open(child)
    return schema
