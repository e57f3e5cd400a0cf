"""How objects of the continuum look in the API."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mlsysops_core.errors import MlsError
from mlsysops_core.model import from_resource, to_document
from mlsysops_core.model.api import (
    AgentInfo,
    ApplicationDetails,
    ApplicationState,
    ApplicationSummary,
    ComponentCount,
    InfrastructureItem,
)
from mlsysops_core.model.status import ApplicationStatus
from pydantic import ValidationError

__all__ = [
    "CLUSTERS_ANNOTATION",
    "CLUSTER_LABEL",
    "SOURCE_ANNOTATION",
    "TERMINATING",
    "agents_of",
    "application_details",
    "application_state",
    "application_status",
    "application_summary",
    "condition",
    "infrastructure_item",
]

_log = logging.getLogger(__name__)

CLUSTER_LABEL = "mlsysops.eu/cluster"
CLUSTERS_ANNOTATION = "mlsysops.eu/component-clusters"
SOURCE_ANNOTATION = "mlsysops.eu/description-source"
TERMINATING = "Terminating"


def application_status(obj: Mapping[str, Any]) -> ApplicationStatus:
    """Return an application's status; an empty one where the agents have not written any yet."""
    try:
        return ApplicationStatus.model_validate(obj.get("status") or {})
    except ValidationError as exc:
        name = obj["metadata"]["name"]
        _log.warning("the status of application %s is not understood: %s", name, exc.errors(include_url=False)[:3])
        return ApplicationStatus()


def application_summary(obj: Mapping[str, Any]) -> ApplicationSummary:
    """Return the line of a list."""
    return ApplicationSummary(**_summary(obj, application_status(obj)))


def application_state(obj: Mapping[str, Any]) -> ApplicationState:
    """Return how an application is doing."""
    return ApplicationState(**_state(obj, application_status(obj)))


def application_details(obj: Mapping[str, Any]) -> ApplicationDetails:
    """Return everything known of an application."""
    status = application_status(obj)
    return ApplicationDetails(
        **_state(obj, status),
        resource_version=str(obj["metadata"].get("resourceVersion", "")),
        placement=_placement(obj, status),
        performance=status.performance,
        description=_document(obj),
    )


def infrastructure_item(obj: Mapping[str, Any]) -> InfrastructureItem:
    """Return a registered piece of infrastructure."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    ready = condition(status.get("conditions"), "Ready")
    state = str(ready.get("status", "Unknown"))
    return InfrastructureItem(
        kind=obj["kind"],
        type=str(obj["kind"]).removeprefix("MLSysOps"),
        id=metadata["name"],
        cluster=str((metadata.get("labels") or {}).get(CLUSTER_LABEL, "")),
        ready={"True": True, "False": False}.get(state),
        message="" if state == "True" else str(ready.get("message") or "nothing has been heard of it yet"),
        created_at=str(metadata.get("creationTimestamp") or ""),
        status=dict(status),
        description=_document(obj),
    )


def condition(conditions: Any, name: str) -> Mapping[str, Any]:
    """Return the condition of that type in a status of a peer; an empty one where there is none."""
    if isinstance(conditions, list):
        for item in conditions:
            if isinstance(item, Mapping) and item.get("type") == name:
                return item
    return {}


def agents_of(status: Mapping[str, Any]) -> list[AgentInfo]:
    """Return the agents a cluster's or continuum's status reports; entries that are not understood are left out."""
    found = []
    for item in status.get("agents") or []:
        try:
            found.append(AgentInfo.model_validate({key: value for key, value in item.items() if value is not None}))
        except (ValidationError, AttributeError):
            _log.warning("an agent's health is not understood: %r", item)
    return found


def _summary(obj: Mapping[str, Any], status: ApplicationStatus) -> dict[str, Any]:
    metadata = obj["metadata"]
    wanted = (obj.get("spec") or {}).get("components") or []
    phase = TERMINATING if metadata.get("deletionTimestamp") else str(status.phase or "Pending")
    met = _holds(status, "TargetsMet")
    return {
        "id": metadata["name"],
        "uid": str(metadata.get("uid", "")),
        "phase": phase,
        "message": _why(status, phase),
        "components": ComponentCount(
            ready=sum(1 for item in status.components if item.ready), total=max(len(wanted), len(status.components))
        ),
        "clusters": sorted(set(_placement(obj, status).values())),
        "targets_met": met,
        "created_at": str(metadata.get("creationTimestamp") or ""),
    }


def _state(obj: Mapping[str, Any], status: ApplicationStatus) -> dict[str, Any]:
    return {
        **_summary(obj, status),
        "generation": int(obj["metadata"].get("generation", 0)),
        "observed_generation": status.observed_generation or 0,
        "conditions": status.conditions,
        "component_statuses": status.components,
        "satisfaction": status.satisfaction,
    }


def _why(status: ApplicationStatus, phase: str) -> str:
    """Return the first reason an application is not running: placement comes before readiness."""
    if phase == TERMINATING:
        return "being removed"
    if phase == "Running":
        return ""
    conditions = {str(item.type): item for item in status.conditions}
    for name in ("Placed", "Ready"):
        item = conditions.get(name)
        if item is not None and str(item.status) != "True" and item.message:
            return str(item.message)
    messages: Iterable[str] = (f"{item.name}: {item.message}" for item in status.components if item.message)
    return next(iter(messages), "" if status.conditions else "no agent has seen it yet")


def _holds(status: ApplicationStatus, name: str) -> bool | None:
    for item in status.conditions:
        if str(item.type) == name:
            return {"True": True, "False": False}.get(str(item.status))
    return None


def _placement(obj: Mapping[str, Any], status: ApplicationStatus) -> dict[str, str]:
    import json

    placed: dict[str, str] = {}
    text = (obj["metadata"].get("annotations") or {}).get(CLUSTERS_ANNOTATION)
    if text:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, Mapping):
            placed = {str(name): str(cluster) for name, cluster in value.items() if cluster}
    placed |= {item.name: item.cluster for item in status.components if item.cluster}
    return placed


def _document(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wrapped description; the plain spec where another version wrote what this one does not validate."""
    try:
        return dict(to_document(from_resource(obj)))
    except MlsError as exc:
        _log.warning("%s %s does not validate here: %s", obj["kind"], obj["metadata"]["name"], exc)
        return {str(obj["kind"]): dict(obj.get("spec") or {})}
