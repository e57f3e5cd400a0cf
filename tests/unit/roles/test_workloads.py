"""What a rollout waits for is told, also where none of its pods could be made."""

from __future__ import annotations

from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.module_utils.mls_workloads import pod_reasons

QUOTA = 'pods "a-1" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0'


def workload(kind: str, **status: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": status,
    }


class FakeApi:
    """An API in memory."""

    def __init__(self, pods: list[Any], events: list[Any]) -> None:
        self.answers = {"pods": pods, "events": events}
        self.asked: list[str] = []

    def request(self, method: str, path: str) -> dict[str, Any]:
        self.asked.append(path)
        return {"items": self.answers[path.rpartition("/")[2].partition("?")[0]]}


def test_a_pod_says_itself_what_it_waits_for() -> None:
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}]}
    api = FakeApi([{"status": waiting}, {"status": waiting}], [{"message": QUOTA}])
    assert pod_reasons(api, workload("DaemonSet")) == "; ImagePullBackOff: no image"
    assert len(api.asked) == 1


def test_a_deployment_says_why_it_has_no_pod() -> None:
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}]
    assert pod_reasons(FakeApi([], []), workload("Deployment", conditions=conditions)) == f"; {QUOTA}"


@pytest.mark.parametrize("events", [[], [("b", "2026-01-01T00:00:02Z"), ("old", "2026-01-01T00:00:01Z")]])
def test_of_a_daemon_set_the_newest_event_says_it(events: list[tuple[str, str]]) -> None:
    api = FakeApi([], [{"message": message, "lastTimestamp": time} for message, time in events])
    assert pod_reasons(api, workload("DaemonSet")) == ("; b" if events else "")
    assert "reason%3DFailedCreate" in api.asked[1]
