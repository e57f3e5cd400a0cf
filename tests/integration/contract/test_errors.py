"""Refusals on the level of HTTP: methods, media types, sizes, bodies that are no objects."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from kube_api import JSON_PATCH, Api, answer, config_map, failure, path
from kube_targets import Target


def post(api: Api, namespace: str, content: bytes | str, kind: str = "application/json") -> httpx.Response:
    headers = {"Content-Type": kind} if kind else {}
    return api.http.post(path("configmaps", namespace), content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "{", '{"metadata": {"name": "x"}', "[]", '"text"', "null", "1", '{"metadata": []}', '{"a": NaN}'],
)
def test_malformed_bodies(api: Api, namespace: str, content: str) -> None:
    response = post(api, namespace, content)
    if content == "null":
        assert response.status_code in (400, 422)  # an object without a name
    else:
        failure(response, 400, "BadRequest")


def test_bytes_that_are_no_text(target: Target, api: Api, namespace: str) -> None:
    """Kubernetes reads each as U+FFFD; we refuse what RFC 8259 (8.1) does not allow."""
    response = post(api, namespace, b'{"metadata":{"name":"cm"},"data":{"key":"\xff\xfe"}}')
    if target.embedded:
        failure(response, 400, "BadRequest")
    else:
        assert answer(response, 201)["data"] == {"key": "\ufffd\ufffd"}


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
def test_unsupported_media_types(api: Api, namespace: str, kind: str) -> None:
    status = failure(post(api, namespace, json.dumps(config_map("x")), kind), 415, "UnsupportedMediaType")
    assert "application/json" in status["message"]


def test_a_body_without_media_type_is_json(api: Api, namespace: str) -> None:
    request = api.http.build_request("POST", path("configmaps", namespace), content=json.dumps(config_map("untyped")))
    assert "content-type" not in request.headers
    assert api.http.send(request).status_code == 201


def test_media_types_may_have_parameters(api: Api, namespace: str) -> None:
    assert post(api, namespace, json.dumps(config_map("x")), "application/json; charset=utf-8").status_code == 201


def test_patch_types(api: Api, namespace: str) -> None:
    api.create(path("configmaps", namespace), config_map("cm"))
    for kind in ("application/json", "nonsense"):
        response = api.patch(path("configmaps", namespace, "cm"), {}, kind)
        failure(response, 415, "UnsupportedMediaType")


@pytest.mark.parametrize("accept", ["application/nonsense", "text/*", "application/*"])
def test_not_acceptable(api: Api, namespace: str, accept: str) -> None:
    """A type of its own or everything; ranges of types are unknown."""
    failure(api.get(path("configmaps", namespace), accept=accept), 406, "NotAcceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json, */*", "text/html, */*;q=0.8"])
def test_acceptable(api: Api, namespace: str, accept: str) -> None:
    response = api.get(path("configmaps", namespace), accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")


def test_clients_of_protobuf_fall_back(api: Api, namespace: str) -> None:
    """Who prefers protobuf and takes JSON is served with one of them."""
    accept = "application/vnd.kubernetes.protobuf,application/json"
    response = api.get(path("configmaps", namespace), accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] in accept.split(",")


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("PATCH", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default/configmaps/x"),
        ("DELETE", "/api/v1/namespaces"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        ("POST", "/api/v1/namespaces/default/pods/x/status"),
        ("DELETE", "/apis/apps/v1/namespaces/default/deployments/x/scale"),
    ],
)
def test_methods_that_are_not_allowed(api: Api, method: str, url: str) -> None:
    response = api.http.request(method, url, json={})
    failure(response, 405, "MethodNotAllowed")


def test_bodies_have_a_limit(api: Api, namespace: str) -> None:
    body = json.dumps(config_map("big", {"big": "x" * 10_000_000}))
    status = failure(post(api, namespace, body), 413, "RequestEntityTooLarge")
    assert "limit is 3145728" in status["message"]


def test_patches_have_a_limit(api: Api, namespace: str) -> None:
    api.create(path("configmaps", namespace), config_map("cm"))
    url = path("configmaps", namespace, "cm")
    many = [{"op": "test", "path": "/data/key", "value": "value"}] * 10_001
    failure(api.patch(url, many, JSON_PATCH), 413, "RequestEntityTooLarge")
    failure(api.patch(url, {"data": {"big": "x" * 4_000_000}}), 413, "RequestEntityTooLarge")


class TestEncodings:
    def test_yaml_request(self, api: Api, namespace: str) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  key: value\n"
        response = post(api, namespace, text, "application/yaml")
        assert response.status_code == 201
        assert response.json()["data"] == {"key": "value"}

    def test_yaml_answer(self, api: Api, namespace: str) -> None:
        import yaml

        api.create(path("configmaps", namespace), config_map("cm"))
        response = api.get(path("configmaps", namespace, "cm"), accept="application/yaml")
        assert response.headers["content-type"] == "application/yaml"
        assert yaml.safe_load(response.text) == api.read(path("configmaps", namespace, "cm"))

    def test_malformed_yaml(self, api: Api, namespace: str) -> None:
        failure(post(api, namespace, "a: [", "application/yaml"), 400, "BadRequest")

    def test_large_answers_are_compressed(self, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("large", {"text": "abc" * 100_000}))
        url = path("configmaps", namespace, "large")
        with api.http.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["content-encoding"] == "gzip"
            body = b"".join(response.iter_raw())
        assert len(body) < 100_000
        assert json.loads(gzip.decompress(body))["data"]["text"] == "abc" * 100_000

    def test_who_takes_no_compression_gets_none(self, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("large", {"text": "abc" * 100_000}))
        url = path("configmaps", namespace, "large")
        response = api.http.get(url, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in response.headers

    def test_pretty(self, api: Api, namespace: str) -> None:
        api.create(path("configmaps", namespace), config_map("cm"))
        text = api.get(path("configmaps", namespace, "cm"), pretty="true").text
        assert text.startswith('{\n  "')


def test_unknown_query_parameters_are_ignored(api: Api, namespace: str) -> None:
    assert api.get(path("configmaps", namespace), nonsense="1").status_code == 200


@pytest.mark.parametrize("params", [{"limit": "many"}, {"timeoutSeconds": "soon"}])
def test_mistyped_query_parameters(api: Api, namespace: str, params: dict[str, str]) -> None:
    failure(api.get(path("configmaps", namespace), **params), 400, "BadRequest")


def test_audit_identifier(api: Api) -> None:
    assert api.get("/version").headers["audit-id"]
