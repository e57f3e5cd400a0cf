"""Node agents that are pods are told before they are removed, and whoever does not answer is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED

from mlsysops_cli.actions.framework import farewell
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import ApiUnreachableError

DAEMON_SET = {"kind": "DaemonSet", "namespace": "mlsysops-framework", "name": "mlsysops-node-agent"}
PLAN: dict[str, Any] = {
    "apis": {
        "mgmt": {"pods": []},
        "s1": {"pods": [{"kubeconfig": __file__, "rollouts": [{**DAEMON_SET, "kind": "Deployment"}, DAEMON_SET]}]},
    }
}


class FakeApi:
    """An API in memory: pods of the DaemonSet, and Leases that change when they are looked at."""

    def __init__(self, *nodes: str | None, exists: bool = True) -> None:
        self.nodes = nodes
        self.exists = exists
        self.leases: dict[str, str] = {}
        self.applied: list[Any] = []
        self.deleted: list[str] = []
        self.on_look: Callable[[], None] = lambda: None

    def __call__(self, kubeconfig: str, **_: Any) -> FakeApi:
        return self

    def get(self, path: str) -> Any:
        assert path.endswith("/daemonsets/mlsysops-node-agent")
        return {"spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}}} if self.exists else None

    def request(self, method: str, path: str, **query: str) -> Any:
        if path.endswith("/pods"):
            assert query == {"labelSelector": "a=1,b=2"}
            return {"items": [{"spec": {"nodeName": node} if node else {}} for node in self.nodes]}
        self.on_look()
        items = [
            {"metadata": {"labels": {"mlsysops.eu/agent": node}, "annotations": {UNINSTALLED: text} if text else {}}}
            for node, text in self.leases.items()
        ]
        return {"items": items}

    def apply(self, obj: Any, **_: Any) -> Any:
        self.applied.append(obj)
        return True, None, {"metadata": {"uid": "now"}}

    def delete(self, path: str) -> bool:
        self.deleted.append(path)
        return True

    def answer(self, node: str, request: str = "now", fault: str = "") -> None:
        self.leases[node] = json.dumps({"request": request, "fault": fault})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeApi], list[str]]:
    def tell(api: FakeApi, seconds: float = 1.0) -> list[str]:
        monkeypatch.setattr(farewell, "Api", api)
        return farewell.put_settings_back(PLAN, note=lambda _: None, seconds=seconds)

    return tell


def test_nothing_is_left_to_say_when_all_have_answered(told: Callable[..., list[str]]) -> None:
    api = FakeApi("a", "b", None)  # a pod that has no node has changed none
    api.answer("a")
    api.on_look = lambda: api.answer("b")
    assert told(api, 30.0) == []
    (request,) = api.applied
    assert request["metadata"]["name"] == UNINSTALL
    assert request["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mls"
    farewell.withdraw_request(PLAN)
    assert api.deleted == [f"/api/v1/namespaces/mlsysops-framework/configmaps/{UNINSTALL}"]


def test_who_does_not_answer_or_cannot_is_named(told: Callable[..., list[str]]) -> None:
    api = FakeApi("a", "b", "c", "d")
    api.answer("a")
    api.answer("b", request="an earlier one")
    api.answer("c", fault="cpu_frequency: governor: Input/output error")
    api.leases["d"] = "no JSON"
    assert told(api) == [
        "b (its agent did not answer within 1 s)",
        "c (cpu_frequency: governor: Input/output error)",
        "d (its agent did not answer within 1 s)",
    ]


def test_faults_alone_are_not_waited_for(told: Callable[..., list[str]]) -> None:
    api = FakeApi("a")
    api.answer("a", fault="broken")
    assert told(api, 600.0) == ["a (broken)"]


def test_where_there_are_no_agents_nobody_is_told(told: Callable[..., list[str]]) -> None:
    for api in (FakeApi("a", exists=False), FakeApi()):
        assert told(api, 600.0) == []
        assert api.applied == []


def test_an_api_that_is_away_is_told_of_and_left_to_the_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []

    def away(kubeconfig: str, **_: Any) -> Any:
        raise ApiUnreachableError("https://a does not answer")

    monkeypatch.setattr(farewell, "Api", away)
    assert farewell.put_settings_back(PLAN, note=notes.append, seconds=600.0) == []
    assert notes == ["note: node agents are not told to put settings back: https://a does not answer"]
    farewell.withdraw_request(PLAN)


def test_a_deployment_that_came_not_far_has_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "Api", FakeApi("a"))
    pods = [{"kubeconfig": "/nowhere/kubeconfig", "rollouts": [DAEMON_SET]}]
    assert farewell.put_settings_back({"apis": {"s1": {"pods": pods}}}, note=lambda _: None, seconds=600.0) == []
