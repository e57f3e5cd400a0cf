"""Unknown, duplicate and mistyped fields: warned about, refused or ignored, as the client asks."""

from __future__ import annotations

import json

import httpx
import pytest
from kube_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, config_map, deployment, failure, path
from kube_targets import Target


def unknown() -> dict[str, object]:
    body = deployment("d", paused=True)
    body["spec"]["nonsense"] = 1
    body["spec"]["template"]["spec"]["containers"][0]["nonsense"] = 2
    return body


def warnings(response: httpx.Response) -> list[str]:
    return response.headers.get_list("warning")


def test_warn_is_the_default(api: Api, namespace: str) -> None:
    response = api.post(path("deployments", namespace), unknown())
    assert response.status_code == 201
    found = warnings(response)
    assert '299 - "unknown field \\"spec.nonsense\\""' in found
    assert '299 - "unknown field \\"spec.template.spec.containers[0].nonsense\\""' in found
    assert "nonsense" not in response.json()["spec"]


def test_strict_refuses(api: Api, namespace: str) -> None:
    status = failure(api.post(path("deployments", namespace), unknown(), fieldValidation="Strict"), 400, "BadRequest")
    assert "strict decoding error: " in status["message"]
    assert 'unknown field "spec.nonsense"' in status["message"]
    assert 'unknown field "spec.template.spec.containers[0].nonsense"' in status["message"]
    assert api.gone(path("deployments", namespace, "d"))


def test_ignore_is_silent(api: Api, namespace: str) -> None:
    response = api.post(path("deployments", namespace), unknown(), fieldValidation="Ignore")
    assert response.status_code == 201
    assert warnings(response) == []
    assert "nonsense" not in response.json()["spec"]


def test_other_values_are_refused(api: Api, namespace: str) -> None:
    failure(api.post(path("configmaps", namespace), config_map("cm"), fieldValidation="Maybe"), 422, "Invalid")


def test_update_and_patches_are_checked_too(api: Api, namespace: str) -> None:
    url = path("deployments", namespace, "d")
    api.create(path("deployments", namespace), deployment("d", paused=True))
    failure(api.put(url, unknown(), fieldValidation="Strict"), 400, "BadRequest")
    response = api.patch(url, {"spec": {"nonsense": 1}}, fieldValidation="Strict")
    assert response.status_code in (400, 422)
    assert 'unknown field "spec.nonsense"' in response.json()["message"]
    warned = api.patch(url, {"spec": {"nonsense": 1}})
    assert warned.status_code == 200
    assert 'unknown field \\"spec.nonsense\\"' in warnings(warned)[0]


def test_server_side_apply_knows_no_unknown_fields(target: Target, api: Api, namespace: str) -> None:
    """Kubernetes calls this an error of its own (500); what a client got wrong is a 400 to us."""
    body = deployment("d", paused=True)
    body["spec"]["nonsense"] = 1
    response = api.patch(path("deployments", namespace, "d"), body, APPLY, fieldManager="m")
    assert response.status_code == (400 if target.embedded else 500)
    assert ".spec.nonsense: field not declared in schema" in response.json()["message"]


DUPLICATE = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup"},"data":{"a":"1"},"data":{"a":"2"}}'


def send(api: Api, namespace: str, text: str, kind: str = "application/json", **params: str) -> httpx.Response:
    return api.http.post(path("configmaps", namespace), content=text, params=params, headers={"Content-Type": kind})


def test_duplicate_fields(api: Api, namespace: str) -> None:
    status = failure(send(api, namespace, DUPLICATE, fieldValidation="Strict"), 400, "BadRequest")
    assert 'duplicate field "data"' in status["message"]
    warned = send(api, namespace, DUPLICATE)
    assert warned.status_code == 201
    assert 'duplicate field \\"data\\"' in warnings(warned)[0]
    assert warned.json()["data"] == {"a": "2"}


def test_duplicate_fields_in_yaml(api: Api, namespace: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dup}\ndata: {a: '1'}\ndata: {a: '2'}\n"
    response = send(api, namespace, text, "application/yaml", fieldValidation="Strict")
    status = failure(response, 400, "BadRequest")
    assert 'key "data" already set in map' in status["message"]


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": "three"},
        {"replicas": 1.5},
        {"template": []},
        {"selector": {"matchLabels": {"a": 1}}},
        {"paused": "yes"},
        {"replicas": 2**40},
    ],
)
def test_wrong_types_are_bad_requests(api: Api, namespace: str, spec: dict[str, object]) -> None:
    status = failure(api.post(path("deployments", namespace), deployment("d", **spec)), 400, "BadRequest")
    assert status["message"].startswith('Deployment in version "v1" cannot be handled as a Deployment: ')


def test_null_is_absence(api: Api, namespace: str) -> None:
    body = config_map("nulls", labels=None)
    body["data"] = None
    created = api.create(path("configmaps", namespace), json.loads(json.dumps(body)), fieldValidation="Strict")
    assert "data" not in created
    assert "labels" not in created["metadata"]


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        (MERGE, '{"data":{"a":"1","a":"2"}}', 422),
        (STRATEGIC, '{"data":{"a":"1","a":"2"}}', 422),
        (JSON_PATCH, '[{"op":"replace","path":"/data/a","value":"2","bogus":1}]', 422),
        (APPLY, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm"},"data":{"b":"1","b":"2"}}', 400),
    ],
)
def test_patches_themselves_are_checked(api: Api, namespace: str, kind: str, text: str, code: int) -> None:
    api.create(path("configmaps", namespace), config_map("cm", {"a": "1"}))
    url, headers = path("configmaps", namespace, "cm"), {"Content-Type": kind}
    params = {"fieldManager": "m", "fieldValidation": "Strict"}
    assert api.http.patch(url, content=text, headers=headers, params=params).status_code == code
    assert api.read(url)["data"] == {"a": "1"}
    response = api.http.patch(url, content=text, headers=headers, params={"fieldManager": "m"})
    assert response.status_code == 200
    assert "warning" in response.headers
