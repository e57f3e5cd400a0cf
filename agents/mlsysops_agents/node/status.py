"""What a node agent says of its node in ``MLSysOpsNode.status``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from mlsysops_core.model.status import (
    ComponentRequest,
    Condition,
    Decision,
    NodeAgent,
    NodeMetrics,
    NodeResources,
    NodeStatus,
    PolicyStatus,
    set_condition,
)

from mlsysops_agents.adapters.telemetry import HostSnapshot

__all__ = ["NodeReport"]

_DISTRIBUTION = "mlsysops-cli"


class NodeReport:
    """Builds the status; keeps what must not change without reason, such as transition times.

    Args:
        before: The status as the API has it, so that a restarted agent goes on from there.
    """

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        known = NodeStatus.model_validate(before or {})
        self._conditions = list(known.conditions)
        self._requests = list(known.requests)
        self._policies = list(known.policies)
        self._decisions = list(known.decisions)
        self._generation: int | None = None
        self._agent_version = version(_DISTRIBUTION)

    def observed(self, generation: int | None) -> None:
        """Note the generation of the description that the agent works with."""
        self._generation = generation

    def ready(self, value: bool, reason: str, message: str = "") -> bool:
        """Set the Ready condition; whether anything in it changed."""
        return self._set("Ready", value, reason, message)

    def policies(self, open_circuits: Sequence[Mapping[str, str]]) -> bool:
        """Set the PoliciesHealthy condition from the loop's open circuit breakers; whether it changed."""
        messages = [f"{entry['policy']} on {entry['asset']}: {entry['message']}" for entry in open_circuits]
        return self._set(
            "PoliciesHealthy",
            not messages,
            str(open_circuits[0].get("reason", "CircuitOpen")) if messages else "AllHealthy",
            "; ".join(messages)[:1024],
        )

    def requests(self, requests: Mapping[str, Mapping[str, Any]]) -> bool:
        """Set what the node asks its cluster for; whether it changed."""
        made = [ComponentRequest.model_validate({"key": key, **requests[key]}) for key in sorted(requests)]
        changed = made != self._requests
        self._requests = made
        return changed

    def policy_statuses(self, policies: Sequence[Mapping[str, Any]]) -> bool:
        """Set what the agent says of its policies; whether it changed."""
        made = [PolicyStatus.model_validate(item) for item in policies]
        changed = made != self._policies
        self._policies = made
        return changed

    def decisions(self, decisions: Sequence[Mapping[str, Any]]) -> bool:
        """Set what the agent decided, newest first, as entries of a status; whether it changed."""
        made = [Decision.model_validate(item) for item in decisions]
        changed = made != self._decisions
        self._decisions = made
        return changed

    def status(self, snapshot: HostSnapshot | None) -> dict[str, Any]:
        """The status as it should be now; without measurements where there are none yet."""
        status = NodeStatus(
            observed_generation=self._generation,
            conditions=list(self._conditions),
            requests=list(self._requests),
            policies=list(self._policies),
            decisions=list(self._decisions),
        )
        if snapshot is not None:
            seen = _time(snapshot.time)
            status.agent = NodeAgent(version=self._agent_version, last_seen=seen)
            status.capacity = NodeResources(
                cpu=float(snapshot.cores), memory=snapshot.memory_total, disk=snapshot.disk_total
            )
            status.free = NodeResources(
                cpu=round(snapshot.cores * (1.0 - snapshot.cpu), 2),
                memory=snapshot.memory_available,
                disk=snapshot.disk_free,
            )
            status.metrics = NodeMetrics(
                cpu_percent=round(snapshot.cpu * 100.0, 1),
                load1=round(snapshot.load[0], 2),
                memory_available_bytes=snapshot.memory_available,
                disk_free_bytes=snapshot.disk_free,
                network_receive_bytes_per_second=round(snapshot.receive_rate, 1),
                network_transmit_bytes_per_second=round(snapshot.send_rate, 1),
                observed_at=seen,
            )
        return status.to_dict()

    def _set(self, kind: str, value: bool, reason: str, message: str) -> bool:
        condition = Condition(
            type=kind,
            status="True" if value else "False",
            reason=reason,
            message=message,
            observed_generation=self._generation,
        )
        return set_condition(self._conditions, condition)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
