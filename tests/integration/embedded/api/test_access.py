"""Who may do what: certificates, tokens, RBAC, escalation, audit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def role(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, role_name: str, *subjects: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "roleRef": {"kind": "Role", "name": role_name}, "subjects": list(subjects)}


JOE = {"kind": "User", "name": "joe"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez", "/version"])
def test_anonymous_gets_health_and_version(plane: Any, path: str) -> None:
    with plane.client(None) as nobody:
        assert nobody.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api", "/apis", "/openapi/v3", "/api/v1/pods", "/apis/apps/v1", "/metrics", "/"])
def test_anonymous_gets_nothing_else(plane: Any, path: str) -> None:
    with plane.client(None) as nobody:
        answer = nobody.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "é"])
def test_bad_tokens_are_unauthorized(plane: Any, token: str) -> None:
    with plane.client(None) as nobody:
        answer = nobody.get("/api/v1/pods", headers={"authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401


def test_a_role_gives_what_it_says(api: httpx.Client, plane: Any, namespace: str) -> None:
    with plane.client("joe") as joe:
        refused = joe.get(f"/api/v1/namespaces/{namespace}/pods").json()
        assert refused["message"] == (
            f'pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
        )
        api.post(f"{RBAC}/namespaces/{namespace}/roles", json=role("r", PODS))
        api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding("b", "r", JOE))
        assert joe.get(f"/api/v1/namespaces/{namespace}/pods").status_code == 200
        assert joe.get("/api/v1/pods").status_code == 403
        assert joe.post(f"/api/v1/namespaces/{namespace}/pods", json={}).status_code == 403
        api.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/b")
        assert joe.get(f"/api/v1/namespaces/{namespace}/pods").status_code == 403


def test_nobody_gives_more_than_they_have(api: httpx.Client, plane: Any, namespace: str) -> None:
    base = f"{RBAC}/namespaces/{namespace}"
    manage = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": ["get", "create", "patch"],
    }
    api.post(f"{base}/roles", json=role("manager", PODS, manage))
    api.post(f"{base}/rolebindings", json=binding("manager", "manager", JOE))
    api.post(f"{base}/roles", json=role("secrets", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}))
    with plane.client("joe") as joe:
        assert joe.post(f"{base}/roles", json=role("same", PODS)).status_code == 201
        more = joe.post(f"{base}/roles", json=role("more", {**PODS, "verbs": ["delete"]}))
        assert more.status_code == 403
        assert "attempting to grant RBAC permissions not currently held" in more.json()["message"]
        assert joe.post(f"{base}/rolebindings", json=binding("x", "secrets", JOE)).status_code == 403
        assert joe.post(f"{base}/rolebindings", json=binding("y", "same", JOE)).status_code == 201
        patch = json.dumps([{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}])
        grown = joe.patch(f"{base}/roles/same", content=patch, headers={"content-type": "application/json-patch+json"})
        assert grown.status_code == 403


def test_service_account_tokens(api: httpx.Client, plane: Any, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.post(accounts, json={"metadata": {"name": "bob"}})
    request = {"spec": {"expirationSeconds": 600}}
    answer = api.post(f"{accounts}/bob/token", json=request)
    assert answer.status_code == 201, answer.text
    token = answer.json()["status"]["token"]
    with plane.client(None, headers={"authorization": f"Bearer {token}"}) as bob:
        who = bob.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={}).json()["status"]["userInfo"]
        assert who["username"] == f"system:serviceaccount:{namespace}:bob"
        assert f"system:serviceaccounts:{namespace}" in who["groups"]
        other = api.post(f"{accounts}/bob/token", json={"spec": {"audiences": ["elsewhere"]}}).json()["status"]["token"]
        assert bob.get("/api", headers={"authorization": f"Bearer {other}"}).status_code == 401
        review = {"spec": {"token": other, "audiences": ["elsewhere"]}}
        found = api.post("/apis/authentication.k8s.io/v1/tokenreviews", json=review).json()["status"]
        assert (found["authenticated"], found["audiences"]) == (True, ["elsewhere"])
        api.delete(f"{accounts}/bob")
        assert bob.get("/api").status_code == 401
    assert api.post(f"{accounts}/default/token", json={"spec": {"expirationSeconds": 5}}).status_code == 422


def test_a_tampered_token_is_refused(api: httpx.Client, plane: Any) -> None:
    answer = api.post("/api/v1/namespaces/default/serviceaccounts/default/token", json={"spec": {}})
    head, body, signature = answer.json()["status"]["token"].split(".")
    with plane.client(None) as nobody:
        for token in (f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.{signature[:-8]}AAAAAAAA"):
            assert nobody.get("/api", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_impersonation_needs_the_right(api: httpx.Client, plane: Any) -> None:
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"impersonate-user": "ann", "impersonate-group": "team"}
    info = api.post(who, json={}, headers=headers).json()["status"]["userInfo"]
    assert info == {"username": "ann", "groups": ["team", "system:authenticated"]}
    with plane.client("joe") as joe:
        assert joe.post(who, json={}, headers=headers).status_code == 403


def test_access_reviews(api: httpx.Client, plane: Any) -> None:
    path = "/apis/authorization.k8s.io/v1/"
    ask = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    assert api.post(path + "selfsubjectaccessreviews", json=ask).json()["status"]["allowed"] is True
    with plane.client("joe") as joe:
        assert joe.post(path + "selfsubjectaccessreviews", json=ask).json()["status"] == {"allowed": False}
        assert joe.post(path + "subjectaccessreviews", json=ask).status_code == 403
        rules = joe.post(path + "selfsubjectrulesreviews", json={"spec": {"namespace": "default"}}).json()["status"]
        assert rules["resourceRules"]
    ask["spec"]["user"] = "joe"  # type: ignore[assignment]
    assert api.post(path + "subjectaccessreviews", json=ask).json()["status"] == {"allowed": False}
    assert api.post(path + "subjectaccessreviews", json={"spec": {}}).status_code == 422


def test_nodes_may_do_what_nodes_do(plane: Any) -> None:
    with plane.client("node") as node:
        assert node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").status_code == 200
        assert node.get("/api/v1/pods").status_code == 403
        assert node.get("/apis/discovery.k8s.io/v1/endpointslices").status_code == 200
        assert node.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", json={}).status_code == 403


def test_control_planes_of_before_bind_nodes_no_more(api: httpx.Client, plane: Any) -> None:
    """What an older control plane bound is taken back when this one starts."""
    url = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:node"
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}
    body = json.dumps({"subjects": [subject]})
    assert api.patch(url, content=body, headers={"content-type": "application/merge-patch+json"}).status_code == 200
    with plane.client("node") as node:
        assert node.get("/api/v1/secrets").status_code == 200
    plane.stop()
    plane.start()
    assert not api.get(url).json().get("subjects")
    with plane.client("node") as node:
        assert node.get("/api/v1/secrets").status_code == 403


def test_writes_and_refusals_are_audited(
    api: httpx.Client, plane: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    name = f"audited-{time.time_ns()}"
    api.post(f"/api/v1/namespaces/{namespace}/configmaps", json={"metadata": {"name": name}})
    api.delete(f"/api/v1/namespaces/{namespace}/configmaps/{name}")

    def deletion() -> dict[str, Any] | None:
        lines = (plane.directory / "data/audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return next((e for e in events if e["verb"] == "delete" and e["objectRef"]["name"] == name), None)

    event = eventually(deletion)
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["responseStatus"]["code"] == 200
    assert (plane.directory / "data/audit.log").stat().st_mode & 0o77 == 0
