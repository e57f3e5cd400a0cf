"""Statuses: camelCase, tolerant of other versions, and conditions that keep their time."""

from __future__ import annotations

from mlsysops_core.model.status import (
    MAX_DECISIONS,
    ApplicationStatus,
    Condition,
    Decision,
    NodeStatus,
    condition_of,
    now,
    set_condition,
)


def test_other_versions_are_understood() -> None:
    status = ApplicationStatus.model_validate(
        {
            "observedGeneration": 3,
            "phase": "Running",
            "conditions": None,
            "components": [{"name": "a", "ready": True, "future": 1}],
            "decisions": [
                {"id": "d", "durationMs": {"plan": 1.5}, "rejected": [{"candidate": "n", "filter": "labels"}]}
            ],
            "news": {},
        }
    )
    assert status.components[0].ready
    assert status.decisions[0].duration_ms is not None
    assert status.decisions[0].duration_ms.plan == 1.5
    written = status.to_dict()
    assert written["observedGeneration"] == 3
    assert written["decisions"][0]["durationMs"] == {"plan": 1.5}
    assert ApplicationStatus.model_validate(written) == status


def test_metrics_of_a_node_are_camel_case() -> None:
    status = NodeStatus.model_validate({"metrics": {"cpuPercent": 3.5, "networkReceiveBytesPerSecond": 1}})
    assert status.metrics is not None
    assert status.metrics.cpu_percent == 3.5
    assert status.to_dict()["metrics"] == {"cpuPercent": 3.5, "networkReceiveBytesPerSecond": 1}


def test_the_time_of_a_condition_moves_with_its_status_only() -> None:
    conditions: list[Condition] = []
    first = "2026-01-01T00:00:00Z"
    assert set_condition(conditions, Condition(type="Ready", status="True", reason="A", last_transition_time=first))
    assert not set_condition(conditions, Condition(type="Ready", status="True", reason="A"))
    assert set_condition(conditions, Condition(type="Ready", status="True", reason="B"))
    assert conditions[0].last_transition_time == first
    assert set_condition(conditions, Condition(type="Ready", status="False", reason="C"))
    assert conditions[0].last_transition_time != first
    assert set_condition(conditions, Condition(type="Placed", status="Unknown"))
    assert [condition.type for condition in conditions] == ["Ready", "Placed"]
    assert condition_of(conditions, "Ready") is conditions[0]
    assert condition_of(conditions, "Other") is None


def test_decisions_are_kept_newest_first_and_few() -> None:
    status = ApplicationStatus()
    for number in range(MAX_DECISIONS + 5):
        status.add_decision(Decision(id=str(number), time=now()))
    status.add_decision(Decision(id="24", outcome="done"))
    assert len(status.decisions) == MAX_DECISIONS
    assert status.decisions[0].outcome == "done"
    assert [decision.id for decision in status.decisions[:3]] == ["24", "23", "22"]
