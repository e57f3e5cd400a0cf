"""The status of a node, as its agent writes it."""

from __future__ import annotations

from mlsysops_agents.adapters.telemetry import HostMetrics
from mlsysops_agents.node.status import NodeReport
from mlsysops_agents.node.world import components_here
from mlsysops_core.model.status import NodeStatus


def test_status_before_the_first_measurement() -> None:
    report = NodeReport()
    report.ready(True, "AgentRunning")

    status = report.status(None)

    assert [(item["type"], item["status"]) for item in status["conditions"]] == [("Ready", "True")]
    assert "capacity" not in status


def test_status_with_measurements_reads_back() -> None:
    report = NodeReport()
    report.observed(7)
    report.ready(True, "AgentRunning")
    snapshot = HostMetrics().measure()

    status = NodeStatus.model_validate(report.status(snapshot))

    assert status.observed_generation == 7
    assert status.capacity is not None
    assert status.capacity.memory == snapshot.memory_total
    assert status.free is not None
    assert status.free.disk == snapshot.disk_free
    assert status.metrics is not None
    assert status.metrics.load1 == round(snapshot.load[0], 2)
    assert status.metrics.network_receive_bytes_per_second == 0
    assert status.agent is not None
    assert status.agent.version


def test_transition_time_moves_only_with_the_status() -> None:
    before = {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "AgentRunning", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]
    }
    report = NodeReport(before)

    report.ready(True, "AgentRunning")
    assert report.status(None)["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert report.ready(False, "PluginUnusable", "policy x: broken")
    assert report.status(None)["conditions"][0]["lastTransitionTime"] != "2026-01-01T00:00:00Z"


def test_open_circuits_are_a_condition() -> None:
    report = NodeReport()
    assert report.policies([])
    assert not report.policies([])
    assert report.policies([{"policy": "p", "asset": "w1", "message": "failed 5 times in a row: boom"}])

    (condition,) = report.status(None)["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PoliciesHealthy", "False", "CircuitOpen")
    assert "p on w1" in condition["message"]


def test_components_on_a_node() -> None:
    app = {"status": {"components": [{"name": "a", "node": "w1"}, {"name": "b", "node": "w2"}, {"name": "c"}]}}

    assert components_here(app, "w1") == ["a"]
    assert components_here({}, "w1") == []
