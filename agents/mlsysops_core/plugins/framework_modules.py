"""What the MLSysOps framework's plug-ins import beside its logger: the names of its messages, its telemetry client, its state.

Source: the framework's documentation of policy and mechanism plug-ins, and the interface of its package ``mlstelemetry``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any

__all__ = ["FrameworkTelemetryClient", "MessageEvents", "agent_state_of", "metric_sink"]

_log = logging.getLogger("mlsysops.plugin")

#: Takes the metrics that plug-ins push (name, value, attributes); a process that hosts plug-ins sets it.
metric_sink: list[Callable[[str, float, dict[str, str]], None]] = []


class MessageEvents(Enum):
    """Names of the messages that the framework's agents and mechanisms exchange."""

    APP_CREATED = "application_created"
    APP_UPDATED = "application_updated"
    APP_DELETED = "application_deleted"
    APP_SUBMIT = "application_submitted"
    APP_REMOVED = "application_removed"
    POD_ADDED = "pod_added"
    POD_MODIFIED = "pod_modified"
    POD_DELETED = "pod_removed"
    NODE_SYSTEM_DESCRIPTION_SUBMITTED = "node_sys_desc_submitted"
    NODE_SYSTEM_DESCRIPTION_UPDATED = "node_sys_desc_updated"
    NODE_SYSTEM_DESCRIPTION_REMOVED = "node_sys_desc_removed"
    KUBERNETES_NODE_ADDED = "kubernetes_node_added"
    KUBERNETES_NODE_MODIFIED = "kubernetes_node_modified"
    KUBERNETES_NODE_REMOVED = "kubernetes_node_removed"
    CLUSTER_SYSTEM_DESCRIPTION_SUBMITTED = "cluster_sys_desc_submitted"
    CLUSTER_SYSTEM_DESCRIPTION_UPDATED = "cluster_sys_desc_updated"
    CLUSTER_SYSTEM_DESCRIPTION_REMOVED = "cluster_sys_desc_removed"
    PLAN_SUBMITTED = "plan_submitted"
    PLAN_EXECUTED = "plan_executed"
    COMPONENT_PLACED = "application_component_placed"
    COMPONENT_REMOVED = "application_component_removed"
    COMPONENT_UPDATED = "application_component_updated"
    MESSAGE_TO_NODE = "message_to_node"
    PLAN_STATUS_UPDATE = "plan_status_update"
    NODE_STATE_SYNC = "node_state_sync"
    MESSAGE_TO_FLUIDITY = "message_to_fluidity"
    MESSAGE_TO_FLUIDITY_PROXY = "message_to_fluidity_proxy"
    FLUIDITY_INTERNAL_PLAN_UPDATE = "fluidity_plan_update"
    FLUIDITY_INTERNAL_PLAN_SUBMITTED = "fluidity_plan_submitted"
    FLUIDITY_INTERNAL_STATE_UPDATE = "fluidity_state_update"


class FrameworkTelemetryClient:
    """``mlstelemetry.MLSTelemetry`` inside a plug-in: what it pushes goes to the agent's own telemetry.

    Args:
        application_name: Becomes the attribute ``service.namespace``.
        application_component: Becomes the attribute ``service.name``.
    """

    def __init__(self, application_name: str = "default", application_component: str = "none") -> None:
        self._attributes = {"service.namespace": str(application_name), "service.name": str(application_component)}

    def pushMetric(  # noqa: N802 -- the framework's name
        self,
        name: str,
        instrument_type: str,
        value: float,
        description: str = "",
        frequency: float = 1,
        attributes: Mapping[str, Any] | None = None,
        unit: str = "",
    ) -> None:
        """Send a value of a metric; only its name, value and attributes matter here."""
        del instrument_type, description, frequency, unit
        told = {**{str(key): str(item) for key, item in (attributes or {}).items()}, **self._attributes}
        if not metric_sink:
            _log.debug("metric %s = %s", name, value)
        for sink in metric_sink:
            sink(name, float(value), told)

    def pushLogInfo(self, message: str, attributes: Mapping[str, Any] | None = None) -> None:  # noqa: N802 -- as above
        """Log a line."""
        del attributes
        _log.info("%s", message)


def agent_state_of(facts: Mapping[str, Any]) -> SimpleNamespace:
    """Return the third argument of a framework mechanism's ``initialize``.

    Args:
        facts: ``node``, ``cluster``, ``continuum_layer``, ``system_description`` and ``mechanisms`` of the agent.
    """
    configuration = SimpleNamespace(
        node=facts.get("node", ""),
        cluster=facts.get("cluster", ""),
        continuum_layer=facts.get("continuum_layer", ""),
        system_description=facts.get("system_description") or {},
        mechanisms=list(facts.get("mechanisms") or ()),
    )
    return SimpleNamespace(
        hostname=facts.get("node", ""), configuration=configuration, applications={}, policies={}, active_mechanisms={}
    )
