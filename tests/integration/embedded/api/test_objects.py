"""Objects over HTTP: what create, read, update, patch and delete mean."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
import yaml

Obj = dict[str, Any]


def config_map(name: str = "a", **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str = "web", replicas: int = 0) -> Obj:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
        },
    }


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def test_a_created_object_is_complete(api: httpx.Client, maps: str) -> None:
    answer = api.post(maps, json=config_map(x="1"))
    assert answer.status_code == 201
    metadata = answer.json()["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp", "namespace", "managedFields"} <= metadata.keys()
    again = api.post(maps, json=config_map())
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    assert again.json()["message"] == 'configmaps "a" already exists'
    assert api.get(f"{maps}/a").json() == answer.json()
    missing = api.get(f"{maps}/b").json()
    assert missing["message"] == 'configmaps "b" not found'
    assert missing["details"] == {"name": "b", "kind": "configmaps"}


def test_generate_name(api: httpx.Client, maps: str) -> None:
    names = {api.post(maps, json={"metadata": {"generateName": "g-"}}).json()["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("g-") and len(name) == 7 for name in names)


def test_optimistic_concurrency(api: httpx.Client, maps: str) -> None:
    first = api.post(maps, json=config_map(x="1")).json()
    changed = {**first, "data": {"x": "2"}}
    second = api.put(f"{maps}/a", json=changed)
    assert second.status_code == 200
    stale = api.put(f"{maps}/a", json=changed)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    unconditional = api.put(f"{maps}/a", json=config_map(x="3"))
    assert unconditional.status_code == 200
    same = api.put(f"{maps}/a", json=unconditional.json())
    assert same.json()["metadata"]["resourceVersion"] == unconditional.json()["metadata"]["resourceVersion"]
    assert api.put(f"{maps}/zzz", json=config_map("zzz")).status_code == 404
    assert api.put(f"{maps}/a", json=config_map("b")).status_code == 400


def test_generation_follows_the_spec_alone(api: httpx.Client, deployments: str) -> None:
    def generation() -> int:
        return int(api.get(f"{deployments}/web").json()["metadata"]["generation"])

    api.post(deployments, json=deployment())
    merge = {"content-type": "application/merge-patch+json"}
    api.patch(f"{deployments}/web", content=json.dumps({"metadata": {"labels": {"a": "b"}}}), headers=merge)
    assert generation() == 1
    api.patch(
        f"{deployments}/web/status",
        content=json.dumps({"status": {"replicas": 5}, "spec": {"replicas": 5}}),
        headers=merge,
    )
    assert generation() == 1
    api.patch(
        f"{deployments}/web",
        content=json.dumps({"spec": {"replicas": 0, "paused": True}, "status": {"replicas": 7}}),
        headers=merge,
    )
    found = api.get(f"{deployments}/web").json()
    assert found["metadata"]["generation"] == 2
    assert found["status"].get("replicas") != 7


def test_the_scale_subresource(api: httpx.Client, deployments: str) -> None:
    api.post(deployments, json=deployment())
    scale = api.get(f"{deployments}/web/scale").json()
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {}, "app=web")
    scale["spec"]["replicas"] = 2
    del scale["metadata"]["resourceVersion"]  # the controller writes meanwhile
    assert api.put(f"{deployments}/web/scale", json=scale).json()["spec"] == {"replicas": 2}
    bad = api.patch(
        f"{deployments}/web/scale",
        content='{"spec":{"replicas":-1}}',
        headers={"content-type": "application/merge-patch+json"},
    )
    assert bad.status_code == 422


def test_finalizers_hold_an_object(api: httpx.Client, maps: str) -> None:
    api.post(maps, json={**config_map(), "metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    answer = api.delete(f"{maps}/a")
    assert answer.status_code == 200
    assert answer.json()["metadata"]["deletionTimestamp"]
    patch = {"content-type": "application/merge-patch+json"}
    more = api.patch(
        f"{maps}/a", content='{"metadata":{"finalizers":["example.com/hold","example.com/b"]}}', headers=patch
    )
    assert more.status_code == 422
    done = api.patch(f"{maps}/a", content='{"metadata":{"finalizers":null}}', headers=patch)
    assert done.status_code == 200
    assert api.get(f"{maps}/a").status_code == 404


def test_deletion_preconditions_and_policies(api: httpx.Client, maps: str) -> None:
    created = api.post(maps, json=config_map()).json()
    for wrong in ({"uid": "x"}, {"resourceVersion": "1"}):
        assert api.request("DELETE", f"{maps}/a", json={"preconditions": wrong}).status_code == 409
    assert api.request("DELETE", f"{maps}/a", json={"propagationPolicy": "Whatever"}).status_code == 422
    assert api.delete(f"{maps}/a", params={"dryRun": "All"}).status_code == 200
    held = api.request("DELETE", f"{maps}/a", json={"propagationPolicy": "Foreground", "dryRun": ["All"]}).json()
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    right = {"preconditions": {"uid": created["metadata"]["uid"]}}
    assert api.request("DELETE", f"{maps}/a", json=right).json()["status"] == "Success"


def test_a_scheduled_pod_ends_gracefully(api: httpx.Client, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i:1"}], "schedulerName": "nobody"}
    api.post(pods, json={"metadata": {"name": "free"}, "spec": spec})
    assert api.delete(f"{pods}/free").json()["metadata"]["name"] == "free"
    assert api.get(f"{pods}/free").status_code == 404
    created = api.post(pods, json={"metadata": {"name": "bound"}, "spec": spec}).json()
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert created["spec"]["terminationGracePeriodSeconds"] == 30
    api.post("/api/v1/nodes", json={"metadata": {"name": f"n-{namespace}"}})
    target = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": f"n-{namespace}"}}
    assert api.post(f"{pods}/bound/binding", json=target).status_code == 201
    assert api.post(f"{pods}/bound/binding", json=target).status_code == 409
    bound = api.get(f"{pods}/bound").json()
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    ending = api.delete(f"{pods}/bound").json()["metadata"]
    assert ending["deletionGracePeriodSeconds"] == 30
    shorter = api.delete(f"{pods}/bound", params={"gracePeriodSeconds": 5}).json()["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < ending["deletionTimestamp"]
    api.delete(f"{pods}/bound", params={"gracePeriodSeconds": 0})
    assert api.get(f"{pods}/bound").status_code == 404
    api.delete(f"/api/v1/nodes/n-{namespace}")


def test_a_pods_spec_is_fixed(api: httpx.Client, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i:1"}], "schedulerName": "nobody"}
    pod = api.post(pods, json={"metadata": {"name": "p"}, "spec": spec}).json()
    pod["spec"]["containers"][0]["image"] = "i:2"
    assert api.put(f"{pods}/p", json=pod).status_code == 200
    pod = api.get(f"{pods}/p").json()
    pod["spec"]["hostNetwork"] = True
    assert api.put(f"{pods}/p", json=pod).status_code == 422


def test_services_get_addresses(api: httpx.Client, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    found = [
        api.post(services, json={"metadata": {"name": f"s{i}"}, "spec": {"ports": [{"port": 80}]}}).json()
        for i in range(3)
    ]
    addresses = {obj["spec"]["clusterIP"] for obj in found}
    assert len(addresses) == 3
    assert all(address.startswith("127.88.136.") for address in addresses)
    assert found[0]["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    taken = api.post(
        services, json={"metadata": {"name": "t"}, "spec": {"ports": [{"port": 80}], "clusterIP": addresses.pop()}}
    )
    assert taken.status_code == 422
    updated = api.put(f"{services}/s0", json={"metadata": {"name": "s0"}, "spec": {"ports": [{"port": 81}]}}).json()
    assert updated["spec"]["clusterIP"] == found[0]["spec"]["clusterIP"]


def test_dry_run_changes_nothing(api: httpx.Client, maps: str) -> None:
    assert api.post(maps, json=config_map(), params={"dryRun": "All"}).status_code == 201
    assert api.get(f"{maps}/a").status_code == 404


def test_namespaces_guard_their_content(api: httpx.Client) -> None:
    answer = api.post("/api/v1/namespaces/no-such/configmaps", json=config_map())
    assert (answer.status_code, answer.json()["message"]) == (404, 'namespaces "no-such" not found')
    assert api.delete("/api/v1/namespaces/default").status_code == 403
    labels = api.get("/api/v1/namespaces/default").json()["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": "default"}


def test_yaml_in_and_out(api: httpx.Client, maps: str) -> None:
    headers = {"content-type": "application/yaml", "accept": "application/yaml"}
    answer = api.post(maps, content=yaml.safe_dump(config_map(x="1")), headers=headers)
    assert answer.status_code == 201
    assert yaml.safe_load(answer.text)["data"] == {"x": "1"}


def test_large_answers_are_compressed(api: httpx.Client, maps: str) -> None:
    api.post(maps, json=config_map(x="y" * 200_000))
    answer = api.get(maps, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["items"][0]["data"]["x"][0] == "y"
    assert gzip


def test_unknown_and_duplicate_fields(api: httpx.Client, deployments: str) -> None:
    odd = deployment()
    odd["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    warned = api.post(deployments, json=odd, params={"dryRun": "All"})
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.template.spec.containers[0].imagee\\""'
    strict = api.post(deployments, json=odd, params={"fieldValidation": "Strict"})
    assert strict.status_code == 400
    assert 'strict decoding error: unknown field "spec.template.spec.containers[0].imagee"' in strict.json()["message"]
    twice = api.post(deployments, content='{"metadata":{"name":"a","name":"b"}}', params={"fieldValidation": "Strict"})
    assert (twice.status_code, "duplicate field" in twice.json()["message"]) == (400, True)


def test_server_side_apply(api: httpx.Client, deployments: str) -> None:
    def apply(manager: str, body: Obj, **more: str) -> httpx.Response:
        headers = {"content-type": "application/apply-patch+yaml"}
        return api.patch(
            f"{deployments}/web",
            content=yaml.safe_dump(body),
            headers=headers,
            params={"fieldManager": manager, **more},
        )

    assert apply("a", deployment(replicas=0)).status_code == 201
    assert apply("a", deployment(replicas=0)).status_code == 200
    clash = apply("b", deployment(replicas=1))
    assert clash.status_code == 409
    assert clash.json()["details"]["causes"][0]["field"] == ".spec.replicas"
    assert apply("b", deployment(replicas=1), force="true").json()["spec"]["replicas"] == 1
    assert apply("", deployment()).status_code == 422
    assert apply("a", {**deployment(), "metadata": {"name": "other"}}).status_code == 400
    managers = {
        (e["manager"], e["operation"]) for e in api.get(f"{deployments}/web").json()["metadata"]["managedFields"]
    }
    assert {("a", "Apply"), ("b", "Apply")} <= managers


def test_tables(api: httpx.Client, maps: str) -> None:
    api.post(maps, json=config_map(x="1", y="2"))
    table = api.get(maps, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}).json()
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = next(row for row in table["rows"] if row["cells"][0] == "a")
    assert row["cells"][1] == 2
    assert row["object"]["kind"] == "PartialObjectMetadata"


def test_events_have_two_faces(api: httpx.Client, namespace: str) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
        "message": "hello",
        "reason": "Because",
        "type": "Normal",
    }
    assert api.post(f"/api/v1/namespaces/{namespace}/events", json=event).status_code == 201
    new = api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e").json()
    assert (new["apiVersion"], new["note"], new["regarding"]["name"]) == ("events.k8s.io/v1", "hello", "p")
    found = api.get(f"/api/v1/namespaces/{namespace}/events", params={"fieldSelector": "involvedObject.name=p"}).json()
    assert [item["reason"] for item in found["items"]] == ["Because"]
