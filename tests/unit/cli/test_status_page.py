"""The page of `mls framework status`: what is wrong stands in its first line, and nothing is a raw dump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mlsysops_cli.actions.framework.page import status_page


def document(**state: Any) -> dict[str, Any]:
    seen = (datetime.now(UTC) - timedelta(seconds=3)).isoformat()
    return {
        "slice": "lab",
        "engine": "embedded",
        "inventory": "/home/me/lab.yml",
        "kubeconfigs": {"continuum": "/home/me/c.kubeconfig"},
        "processes": [
            {"name": "m-northbound", "state": "running", "pid": 12, "seconds": 3725, "address": "127.20.0.10"},
            {"name": "w-kubelet", "state": "running", "pid": 13, "seconds": 90000, "address": "127.20.0.12"},
        ],
        "state": {
            "name": "lab",
            "version": "0.1.0",
            "kubernetesVersion": "v1.32.0",
            "mode": {"mode": 0, "name": "heuristic"},
            "ready": True,
            "agents": [{"tier": "node", "name": "w", "ready": True, "lastSeen": seen, "version": ""}],
            "clusters": [{"name": "c1", "ready": True, "nodesReady": 1, "nodesTotal": 1, "message": ""}],
            "applications": 1,
            **state,
        },
    }


def test_a_slice_that_is_well() -> None:
    page = status_page(document())
    assert page.splitlines() == [
        "Slice lab: ready, 1 application",
        "  engine embedded, mls 0.1.0, Kubernetes v1.32.0, mode heuristic",
        "  from /home/me/lab.yml",
        "",
        "PROCESS       STATE    PID  UPTIME  ADDRESS",
        "m-northbound  running  12   1h02m   127.20.0.10",
        "w-kubelet     running  13   1d01h   127.20.0.12",
        "",
        "TIER  AGENT  READY  LAST SEEN",
        "node  w      True   3s ago",
        "",
        "CLUSTER  READY  NODES  MESSAGE",
        "c1       True   1/1",
        "",
        "kubectl --kubeconfig /home/me/c.kubeconfig   # continuum",
    ]


def test_a_slice_that_is_stopped_says_how_it_starts() -> None:
    stopped = document(error="the northbound API does not answer")
    for process in stopped["processes"]:
        process |= {"state": "stopped", "pid": None, "seconds": None}
    head = status_page(stopped).splitlines()[0]
    assert head == "Slice lab: stopped; `mls framework deploy-all` starts it again"


def test_what_is_wrong_stands_first() -> None:
    bad = document(ready=False, agents=[{"tier": "node", "name": "w", "ready": False, "lastSeen": ""}])
    bad["processes"][1]["state"] = "fatal"
    page = status_page(bad)
    assert page.splitlines()[0] == "Slice lab: w-kubelet is fatal, agent w is not ready"
    assert "w      False  never" in page


def test_a_slice_without_its_api_shows_what_is_known() -> None:
    silent = document()
    silent["state"] = {"error": "it does not answer"}
    page = status_page(silent)
    assert page.splitlines()[0] == "Slice lab: its northbound API does not answer"
    assert "northbound API: it does not answer" in page
    assert "w-kubelet" in page
    assert status_page({**silent, "processes": []}).startswith("Slice lab: not deployed\n")


def test_targets_and_versions_are_shown_where_there_are_any() -> None:
    page = status_page(
        document(
            systemTargets=[{"metric": "energy", "relation": "lower_or_equal", "target": 5.0}],
            agents=[{"tier": "node", "name": "w", "ready": True, "lastSeen": "", "version": "0.1.0"}],
        )
    )
    assert "energy               <=        5\n" in page
    assert "TIER  AGENT  READY  LAST SEEN  VERSION\n" in page
