"""The client on a real connection: what it sends, and what it makes of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from mlsysops_agents.adapters.kubernetes import (
    AlreadyExists,
    KubernetesClient,
    KubernetesObjects,
    Throttled,
    credentials,
)
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS, MLSYSOPS_NODES, NODES
from mlsysops_core.contracts import AgentIdentity, Objects
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused, Unreachable

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"}, "data": {"k": "v"}}


async def test_reading(client: KubernetesClient, api: Any) -> None:
    await api.put("a", k="v")

    found = await client.get(CONFIG_MAPS, "a", "ns")
    page = await client.list(CONFIG_MAPS, "ns", label_selector="app=x,team in (a, b)", limit=5)

    assert found["data"] == {"k": "v"}
    assert [item["metadata"]["name"] for item in page["items"]] == ["a"]
    assert api.requests[0] == "GET /api/v1/namespaces/ns/configmaps/a"
    query = parse_qs(urlsplit(api.requests[1]).query)
    assert query == {"labelSelector": ["app=x,team in (a, b)"], "limit": ["5"]}
    assert api.headers["Authorization"] == "Bearer secret"


async def test_writing(client: KubernetesClient, api: Any) -> None:
    await client.create(CONFIG_MAPS, MAP, field_manager="tester")
    await client.update(CONFIG_MAPS, MAP)
    await client.update(MLSYSOPS_NODES, {"metadata": {"name": "w1"}}, "mlsysops", subresource="status")
    await client.patch(NODES, "w1", {"spec": {"unschedulable": None}})
    await client.patch(NODES, "w1", [{"op": "remove", "path": "/x"}], patch_type="json")
    await client.patch(NODES, "w1", {"x": 1}, patch_type="strategic")
    await client.apply(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {}}, "ns", field_manager="me")
    await client.delete(CONFIG_MAPS, "a", "ns", propagation_policy="Background", uid="u", resource_version="5")

    assert [request.replace("?", " ?").split(" ?")[0] for request in api.requests] == [
        "POST /api/v1/namespaces/ns/configmaps",
        "PUT /api/v1/namespaces/ns/configmaps/a",
        "PUT /apis/mlsysops.eu/v1/namespaces/mlsysops/mlsysopsnodes/w1/status",
        "PATCH /api/v1/nodes/w1",
        "PATCH /api/v1/nodes/w1",
        "PATCH /api/v1/nodes/w1",
        "PATCH /api/v1/namespaces/ns/configmaps/a",
        "DELETE /api/v1/namespaces/ns/configmaps/a",
    ]
    assert "fieldManager=tester" in api.requests[0]
    assert "fieldManager=me" in api.requests[6]
    assert "force=true" in api.requests[6]
    assert [media for media, _ in api.bodies[3:7]] == [
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]
    assert json.loads(api.bodies[3][1]) == {"spec": {"unschedulable": None}}  # null deletes: it must survive
    assert json.loads(api.bodies[4][1]) == [{"op": "remove", "path": "/x"}]
    applied = json.loads(api.bodies[6][1])
    assert (applied["apiVersion"], applied["kind"]) == ("v1", "ConfigMap")
    assert json.loads(api.bodies[7][1]) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "5"},
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize(
    ("code", "reason", "family"),
    [
        (401, "Unauthorized", Refused),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (422, "Invalid", InvalidInput),
        (429, "TooManyRequests", Throttled),
        (503, "ServiceUnavailable", Unreachable),
    ],
)
async def test_error_answers(
    client: KubernetesClient, api: Any, code: int, reason: str, family: type[MlsError]
) -> None:
    body = {"kind": "Status", "code": code, "reason": reason, "message": "why"}
    api.answer = web.Response(status=code, body=json.dumps(body).encode())

    with pytest.raises(family, match="GET /api/v1/nodes/w1: why") as caught:
        await client.get(NODES, "w1")
    assert not isinstance(caught.value, Throttled) or caught.value.retry_after == 3
    with pytest.raises(family):
        async for _ in client.watch(NODES):
            pass


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"[]", b"\xff"])
async def test_answers_that_are_no_objects(client: KubernetesClient, api: Any, body: bytes) -> None:
    api.answer = web.Response(status=200, body=body)

    with pytest.raises(MlsError):
        await client.get(NODES, "w1")


async def test_server_away(client: KubernetesClient, api: Any) -> None:
    await api.stop()

    with pytest.raises(Unreachable, match="GET /api/v1/nodes/w1"):
        await client.get(NODES, "w1")
    with pytest.raises(Unreachable):
        async for _ in client.watch(NODES):
            pass


async def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.78.6.1:9")
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api.port}"}}],
                "users": [],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    async with await KubernetesClient.connect(path) as client:
        assert (await client.list(CONFIG_MAPS))["items"] == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "a: b", '{"current-context": "x", "contexts": []}', "apiVersion: v1\nkind: Config\n"],
)
async def test_unusable_kubeconfigs_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)

    with pytest.raises(InvalidInput) as caught:
        await KubernetesClient.connect(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_program_for_credentials_that_does_not_end_is_one_line(
    endless_login: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_SECONDS", 0.5)
    with pytest.raises(InvalidInput, match=r"its program for credentials gave none within 0\.5 s"):
        await KubernetesClient.connect(endless_login)


async def test_missing_kubeconfig_and_no_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no such kubeconfig"):
        await KubernetesClient.connect(tmp_path / "none")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="service account"):
        await KubernetesClient.connect()


async def test_objects_of_an_agent(client: KubernetesClient, api: Any) -> None:
    await api.put("a", namespace="mlsysops", k="v")
    agent = AgentIdentity("node", "w1")
    async with KubernetesObjects(client, agent) as objects:
        contract: Objects = objects
        heard: list[str] = []
        cache = objects.follow("ConfigMap", lambda change: heard.append(change.key))
        await objects.wait_synced()

        assert objects.follow("ConfigMap") is cache
        assert [item["metadata"]["name"] for item in contract.items("ConfigMap")] == ["a"]
        found = contract.get("ConfigMap", "a")
        assert found is not None
        assert found["data"] == {"k": "v"}
        assert heard == ["mlsysops/a"]
        with pytest.raises(MlsError, match="not followed"):
            objects.items("Pod")
        with pytest.raises(MlsError, match="not known"):
            objects.follow("Unknown")
        await objects.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}, field_manager="me")
        await objects.annotate("ConfigMap", "b", {"x": "y", "z": None}, field_manager="me")
        assert await objects.delete("ConfigMap", "b")
        await objects.event(found, kind="Normal", reason="Tested", message="hello")
        api.answer = web.Response(status=404, body=b"{}")
        assert not await objects.delete("ConfigMap", "b")
        await objects.event(found, kind="Normal", reason="Failed", message="is only logged")

    assert "POST /api/v1/namespaces/mlsysops/events" in api.requests
