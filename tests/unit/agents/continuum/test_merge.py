"""One status out of many clusters', and the continuum's own."""

from __future__ import annotations

from typing import Any

from mlsysops_agents.continuum.merge import Reports, merged_status
from mlsysops_agents.continuum.summary import continuum_status
from mlsysops_agents.upper.told import is_urgent
from mlsysops_core.model import Application

NOW = 1_700_000_000.0


def component(name: str) -> dict[str, Any]:
    metric = {"application_metric_id": f"{name}_rate", "target": 10, "relation": "greater_or_equal"}
    return {"metadata": {"name": name}, "containers": [{"image": "x"}], "qos_metrics": [metric]}


APPLICATION = Application.model_validate(
    {
        "name": "app",
        "components": [component("a"), component("b")],
        "global_satisfaction": {
            "threshold": 0.7,
            "relation": "greater_than",
            "achievement_weights": [{"metric_id": "a_rate", "weight": 0.4}, {"metric_id": "b_rate", "weight": 0.6}],
        },
    }
)


def said(name: str, *, value: float | None = None, ready: bool = True, decision: str = "") -> dict[str, Any]:
    return {
        "phase": "Running" if ready else "Deploying",
        "conditions": [{"type": "Placed", "status": "True", "reason": "Placed"}],
        "components": [
            {
                "name": name,
                "node": f"n-{name}",
                "phase": "Running" if ready else "Deploying",
                "ready": ready,
                "restarts": 0,
            }
        ],
        "performance": [
            {
                "component": name,
                "metric": f"{name}_rate",
                "value": value,
                "target": 10,
                "satisfied": bool(value and value >= 10),
            }
        ]
        if value is not None
        else [],
        "decisions": [{"id": decision, "time": decision, "policy": "p"}] if decision else [],
    }


def merged(before: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "obj": {"metadata": {"name": "app", "generation": 3}},
        "before": before or {},
        "application": APPLICATION,
        "fault": "",
        "placed": {"a": "c1", "b": "c2"},
        "unplaced": {},
        "statuses": {},
        "silent": {},
        "problems": {},
        "decisions": [],
        "now": NOW,
    }
    return merged_status(Reports(**(arguments | changes)))


def condition(status: dict[str, Any], kind: str) -> tuple[str, str, str]:
    found = next(item for item in status["conditions"] if item["type"] == kind)
    return found["status"], found["reason"], found["message"]


def test_before_any_cluster_has_spoken_components_wait() -> None:
    status = merged()
    assert status["phase"] == "Pending"
    assert [item["message"] for item in status["components"]] == ["waits for cluster c1", "waits for cluster c2"]
    assert condition(status, "Placed")[:2] == ("False", "Waiting")
    assert [item["metric"] for item in status["performance"]] == ["a_rate", "b_rate"]


def test_clusters_are_put_together() -> None:
    statuses = {"c1": said("a", value=12, decision="2024-01-01"), "c2": said("b", value=5, decision="2024-01-02")}
    status = merged(statuses=statuses)
    assert status["phase"] == "Running"
    assert condition(status, "Ready")[:2] == ("True", "AllRunning")
    assert condition(status, "Placed")[2] == "a on c1/n-a, b on c2/n-b"
    assert status["satisfaction"] == {"value": 0.4, "threshold": 0.7, "relation": "greater_than", "satisfied": False}
    assert condition(status, "TargetsMet")[:2] == ("False", "NotSatisfied")
    assert [item["id"] for item in status["decisions"]] == ["2024-01-02", "2024-01-01"]
    better = merged(status, statuses={**statuses, "c2": said("b", value=50)})
    assert better["satisfaction"]["satisfied"]
    assert is_urgent(status, better)


def test_a_part_that_does_not_run_degrades_the_whole() -> None:
    running = merged(statuses={"c1": said("a"), "c2": said("b")})
    status = merged(running, statuses={"c1": said("a"), "c2": said("b", ready=False)})
    assert status["phase"] == "Degraded"
    assert merged(statuses={"c1": said("a"), "c2": said("b", ready=False)})["phase"] == "Deploying"


def test_a_silent_cluster_is_unknown_not_gone() -> None:
    running = merged(statuses={"c1": said("a"), "c2": said("b")})
    status = merged(running, statuses={"c1": said("a"), "c2": said("b")}, silent={"c2": "no heartbeat"})
    assert condition(status, "Ready") == ("Unknown", "ClusterUnreachable", "cluster c2: no heartbeat")
    assert status["components"][1]["phase"] == "Running"
    assert status["components"][1]["message"] == "as last heard of: no heartbeat"


def test_what_fits_nowhere_is_told_with_its_reason() -> None:
    text = "0/1 clusters fit: 1 removed by cluster (needs c9)"
    status = merged(placed={}, unplaced={"a": text, "b": text})
    assert status["phase"] == "Pending"
    assert condition(status, "Placed") == ("False", "NoFit", text)
    below = said("a")
    below["conditions"] = [{"type": "Placed", "status": "False", "reason": "NoFit", "message": "0/2 nodes fit"}]
    assert condition(merged(statuses={"c1": below}), "Placed") == ("False", "NoFit", "0/2 nodes fit")


def test_an_invalid_application_fails() -> None:
    status = merged(application=None, fault="components[0].containers: needs one")
    assert (status["phase"], condition(status, "Ready")[:2]) == ("Failed", ("False", "Invalid"))


def test_the_continuum_gathers_agents_and_nodes() -> None:
    own = [{"name": "k", "tier": "continuum", "ready": True, "lastSeen": ""}]
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "nodes": {"total": 2, "ready": 2}}
    ready["agents"] = [{"name": "c1", "tier": "cluster", "ready": True, "lastSeen": ""}]

    def made(clusters: dict[str, Any], silent: dict[str, str]) -> dict[str, Any]:
        return continuum_status(
            {}, generation=1, own_agents=own, clusters=clusters, silent=silent, policies=[], plugin_fault="", now=NOW
        )

    status = made({"c1": ready}, {})
    assert condition(status, "Ready")[:2] == ("True", "AllReady")
    assert [agent["name"] for agent in status["agents"]] == ["k", "c1"]
    assert status["nodes"] == {"total": 2, "ready": 2}
    assert condition(made({"c1": ready, "c2": {}}, {}), "Ready")[2] == "cluster c2 has not spoken yet"
    silent = made({"c1": ready}, {"c1": "no heartbeat"})
    assert silent["agents"][1]["ready"] is False
    assert silent["nodes"] == {"total": 2, "ready": 0}
