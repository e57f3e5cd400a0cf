"""metrics.k8s.io where no kubelet answers: announced, guarded, and honest about what it does not know."""

from __future__ import annotations

from typing import Any

import httpx

METRICS = "/apis/metrics.k8s.io/v1beta1"


def test_is_announced_as_read_only(api: httpx.Client) -> None:
    found = {entry["name"]: entry for entry in api.get(METRICS).json()["resources"]}
    assert {(name, entry["kind"], entry["namespaced"]) for name, entry in found.items()} == {
        ("nodes", "NodeMetrics", False),
        ("pods", "PodMetrics", True),
    }
    assert all(sorted(entry["verbs"]) == ["get", "list"] for entry in found.values())


def test_leaves_out_what_does_not_answer(api: httpx.Client, namespace: str) -> None:
    node: dict[str, Any] = {"metadata": {"name": f"silent-{namespace}"}}
    assert api.post("/api/v1/nodes", json=node).status_code == 201
    status = {"status": {"addresses": [{"type": "InternalIP", "address": "127.88.0.99"}]}}
    headers = {"content-type": "application/merge-patch+json"}
    assert api.patch(f"/api/v1/nodes/silent-{namespace}/status", json=status, headers=headers).status_code == 200
    listed = api.get(f"{METRICS}/nodes").json()
    assert listed["kind"] == "NodeMetricsList"
    assert f"silent-{namespace}" not in {item["metadata"]["name"] for item in listed["items"]}
    answer = api.get(f"{METRICS}/nodes/silent-{namespace}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert api.get(f"{METRICS}/namespaces/{namespace}/pods").json()["items"] == []
    api.delete(f"/api/v1/nodes/silent-{namespace}")


def test_what_it_cannot_do(api: httpx.Client, namespace: str) -> None:
    assert api.get(f"{METRICS}/nodes?watch=true").status_code == 405
    assert api.post(f"{METRICS}/nodes", json={"metadata": {"name": "n"}}).status_code == 405
    assert api.delete(f"{METRICS}/namespaces/{namespace}/pods/p").status_code == 405
    assert api.get(f"{METRICS}/nodes?labelSelector=a%3Eb").status_code == 400


def test_needs_the_right(plane: Any, api: httpx.Client, namespace: str) -> None:
    url = f"{METRICS}/namespaces/{namespace}/pods"
    with plane.client("joe") as joe:
        assert joe.get(url).status_code == 403
        binding = {
            "metadata": {"name": "view"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        made = api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", json=binding)
        assert made.status_code == 201, made.text
        assert joe.get(url).status_code == 200
