"""Components of the same application in other clusters, reached by their Service's name here as if they were at home.

Such a Service has no selector: its addresses come with the application, in an annotation that the continuum keeps fresh, and are
written into an EndpointSlice (Kubernetes, "Services without selectors"). The Service is there before any component that may
want its address, and it stays the same while its component moves between clusters, so nothing needs to be restarted for that.
Whether packets find their way to those addresses is up to the network between the clusters.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from mlsysops_core.contracts import Objects
from mlsysops_core.model import Application

from .workloads import LABEL_APPLICATION, LABEL_COMPONENT, Workload

__all__ = ["ENDPOINTS", "addresses_elsewhere", "component_endpoints", "outdated", "partners"]

#: Component to ``{"cluster": …, "address": …}`` (JSON); the address only while it is ready.
ENDPOINTS = "mlsysops.eu/component-endpoints"
_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def component_endpoints(owner: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return where the components of an application are, as the continuum says; empty where it says nothing."""
    text = (owner["metadata"].get("annotations") or {}).get(ENDPOINTS)
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {str(name): dict(entry) for name, entry in value.items() if isinstance(entry, dict)}


def partners(description: Application, assigned: Collection[str]) -> list[str]:
    """Return the components with ports that are not here, where any of the application is.

    Args:
        description: The application.
        assigned: Its components in this cluster.
    """
    if not assigned:
        return []
    return [
        component.name
        for component in description.components
        if component.name not in assigned and any(container.ports for container in component.containers)
    ]


def outdated(
    objects: Objects, owner: Mapping[str, Any], description: Application, names: Collection[str]
) -> list[dict[str, Any]]:
    """Return the Services and EndpointSlices of components in other clusters that are not yet as they should be.

    Args:
        objects: What is there.
        owner: The MLSysOpsApp.
        description: Its description.
        names: Its components in other clusters.
    """
    return [
        item for name in names for item in _partner_objects(owner, description, name) if not _is_current(objects, item)
    ]


def addresses_elsewhere(objects: Objects, application: str, component: str) -> list[dict[str, Any]]:
    """Return the EndpointSlice of a component that was in another cluster, where there is one of ours."""
    found = objects.get("EndpointSlice", _slice_name(component))
    labels = ((found or {"metadata": {}})["metadata"].get("labels")) or {}
    return [found] if found is not None and labels.get(LABEL_APPLICATION) == application else []


def _slice_name(component: str) -> str:
    return f"{component}-elsewhere"


def _partner_objects(owner: Mapping[str, Any], description: Application, name: str) -> list[dict[str, Any]]:
    """Return the Service and the EndpointSlice of a component in another cluster."""
    component = description.component(name)
    if component is None:
        return []
    workload = Workload(owner, component, hash="", node="")
    service = next((item for item in workload.objects() if item["kind"] == "Service"), None)
    if service is None:
        return []
    del service["spec"]["selector"]
    address = component_endpoints(owner).get(name, {}).get("address")
    metadata = service["metadata"]
    labels = {**metadata["labels"], _SERVICE_NAME: metadata["name"], _MANAGED_BY: "mlsysops.eu"}
    return [
        service,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "name": _slice_name(name), "labels": labels},
            "addressType": "IPv6" if address is not None and ":" in address else "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}] if address is not None else [],
            "ports": [
                {"name": port["name"], "port": port["targetPort"], "protocol": port["protocol"]}
                for port in service["spec"]["ports"]
            ],
        },
    ]


def _is_current(objects: Objects, wanted: Mapping[str, Any]) -> bool:
    """Say whether an object is there as it should be, as far as it is ours to say."""
    present = objects.get(wanted["kind"], wanted["metadata"]["name"])
    if present is None:
        return False
    labels = present["metadata"].get("labels") or {}
    if any(labels.get(key) != wanted["metadata"]["labels"][key] for key in (LABEL_APPLICATION, LABEL_COMPONENT)):
        return False
    if wanted["kind"] == "Service":
        spec = present.get("spec") or {}
        return not spec.get("selector") and _ports(spec) == _ports(wanted["spec"])
    return _addresses(present) == _addresses(wanted) and _ports(present) == _ports(wanted)


def _ports(spec: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(port.get("name"), port.get("port"), port.get("protocol")) for port in spec.get("ports") or ()]


def _addresses(endpoint_slice: Mapping[str, Any]) -> list[Any]:
    return [address for item in endpoint_slice.get("endpoints") or () for address in item.get("addresses") or ()]
