"""Whatever is sent: a clear 4xx, never a 5xx, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
from typing import Any

import httpx
import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f]",
            "application/yaml",
            400,
        ),
        (b"a: &a [*a]", "application/yaml", 400),
        (b"{}", "text/csv", 415),
        (b"garbage", "application/vnd.kubernetes.protobuf", 400),
        (b'{"metadata":' * 500 + b"1" + b"}" * 500, "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{" + b"a: {" * 500, "application/yaml", 400),
        (b'{"metadata": 1}', "application/json", 400),
        (b'{"metadata": {"name": 1}}', "application/json", 400),
        (b'{"metadata": {"name": "A_B"}}', "application/json", 422),
        (b'{"metadata": {"name": "a", "labels": {"-": "x"}}}', "application/json", 422),
        (b'{"metadata": {"name": "a"}, "data": {"x": 1}}', "application/json", 400),
        (b'{"kind": "Secret", "metadata": {"name": "a"}}', "application/json", 400),
        (b'{"metadata": {"name": "a", "resourceVersion": "5"}}', "application/json", 400),
        (b'{"metadata": {"name": "a", "namespace": "other"}}', "application/json", 400),
        (b'{"metadata": {}}', "application/json", 422),
    ],
)
def test_bad_bodies(api: httpx.Client, body: bytes, content_type: str, code: int) -> None:
    answer = api.post(MAPS, content=body, headers={"content-type": content_type})
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status"
    assert answer.json()["message"]


def test_a_huge_body_is_refused(api: httpx.Client) -> None:
    answer = api.post(MAPS, content=b" " * (4 * 1024 * 1024), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/apis/nothing.example.com/v1/things", 404),
        ("GET", "/api/v1/namespaces/default/widgets", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/apis/batch/v1/jobs", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/nothing", 404),
        ("POST", f"{MAPS}/x", 405),
        ("PUT", MAPS, 405),
        ("POST", "/api/v1/configmaps", 405),
        ("GET", f"{MAPS}?labelSelector=a%3D%3D%3Db", 400),
        ("GET", f"{MAPS}?fieldSelector=spec.x%3Db", 400),
        ("GET", f"{MAPS}?limit=x", 400),
        ("GET", f"{MAPS}?watch=1&resourceVersion=x", 400),
        ("DELETE", f"{MAPS}/no-such", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/exec", 405),
        ("GET", "/api/v1/namespaces/default/pods/x/log", 404),
        ("PATCH", f"{MAPS}/no-such", 415),
    ],
)
def test_bad_requests(api: httpx.Client, method: str, path: str, code: int) -> None:
    answer = api.request(method, path)
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == "Status"


def test_only_protobuf_cannot_be_had(api: httpx.Client) -> None:
    assert api.get(MAPS, headers={"accept": "application/vnd.kubernetes.protobuf"}).status_code == 406


def mutated(rng: random.Random, value: Any) -> Any:
    odd: list[Any] = [None, True, -1, 10**30, 1.5, "", "x" * 300, [], {}, [None], {"": None}, [[[]]], "\x00", "%$#"]
    if rng.random() < 0.12:
        return rng.choice(odd)
    if isinstance(value, dict):
        result = {key: mutated(rng, item) for key, item in value.items() if rng.random() > 0.05}
        if rng.random() < 0.1:
            result[rng.choice(["name", "spec", "odd", "$patch", "metadata"])] = rng.choice(odd)
        return result
    if isinstance(value, list):
        return [mutated(rng, item) for item in value] * rng.choice([1, 1, 1, 2])
    return value


def pod_template() -> dict[str, Any]:
    container = {
        "name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
        "readinessProbe": {"httpGet": {"port": 80}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }  # fmt: skip
    spec = {
        "containers": [container],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    }
    return {"metadata": {"labels": {"app": "f"}}, "spec": spec}


def test_mutated_objects_never_fail_the_server(api: httpx.Client) -> None:
    rng = random.Random(20261121)
    bodies = {
        DEPLOYMENTS: {"metadata": {"name": "f"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "f"}}, "template": pod_template(), "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
        "/api/v1/namespaces/default/pods": {"metadata": {"name": "f"}, "spec": pod_template()["spec"]},
        "/api/v1/namespaces/default/services": {"metadata": {"name": "f"}, "spec": {"ports": [{"port": 80, "name": "a"}], "selector": {"a": "b"}, "clusterIP": "None"}},
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {"metadata": {"name": "f"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
        "/apis/rbac.authorization.k8s.io/v1/clusterroles": {"metadata": {"name": "f"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
            "metadata": {"name": "fs.example.org"},
            "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "fs", "kind": "F", "shortNames": ["f"]}, "versions": [
                {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.r", "statusReplicasPath": ".status.r"}},
                 "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                 "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string", "default": "x", "pattern": "x"}}}}}}}]},
        },
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
        "/api/v1/namespaces/default/events": {"metadata": {"name": "f"}, "involvedObject": {"namespace": "default", "name": "x"}},
        "/api/v1/nodes": {"metadata": {"name": "f"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": 4}}},
    }  # fmt: skip
    patches = [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/json-patch+json",
    ]
    for path, body in bodies.items():
        for _ in range(60):
            sent = mutated(rng, body)
            answer = api.post(path, content=json.dumps(sent), params={"dryRun": "All"})
            assert answer.status_code < 500, (path, sent, answer.text)
        if "reviews" in path:
            continue
        api.post(path, json=body)
        for _ in range(30):
            kind = rng.choice(patches)
            sent = mutated(rng, body)
            if kind == "application/json-patch+json":
                sent = [
                    {
                        "op": rng.choice(["add", "remove", "replace", "test", "x"]),
                        "path": rng.choice(["/spec", "/spec/template", "/metadata/name", "x", ""]),
                        "value": sent,
                    }
                ]
            params = {"dryRun": "All", "fieldManager": "fuzz", "force": "true"}
            answer = api.patch(
                f"{path}/{body['metadata']['name']}",
                content=json.dumps(sent),
                headers={"content-type": kind},
                params=params,
            )  # type: ignore[index]
            assert answer.status_code < 500, (path, kind, sent, answer.text)
            form = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            assert api.get(path, headers=form).status_code == 200
        api.delete(f"{path}/{body['metadata']['name']}", params={"gracePeriodSeconds": 0})  # type: ignore[index]


async def test_idle_and_slow_connections_do_not_hinder_others(plane: Any, async_api: httpx.AsyncClient) -> None:
    context = ssl.create_default_context(cafile=str(plane.directory / "pki/ca.crt"))
    idle = [await asyncio.open_connection("127.88.0.10", plane.port, ssl=context) for _ in range(150)]
    for index, (_, writer) in enumerate(idle):
        if index % 3 == 0:
            writer.write(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Le")
            await writer.drain()
    answer = await asyncio.wait_for(async_api.get("/api/v1/namespaces"), 5)
    assert answer.status_code == 200
    for _, writer in idle:
        writer.close()


def test_plain_http_and_garbage_are_dropped(plane: Any, api: httpx.Client) -> None:
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01garbage", b"\x00" * 100):
        with socket.create_connection(("127.88.0.10", plane.port), timeout=5) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    assert api.get("/readyz").status_code == 200
