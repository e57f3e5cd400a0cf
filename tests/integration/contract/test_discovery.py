"""What the server says it serves: versions, groups, resources, OpenAPI."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kube_api import Api, Obj

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def resources(api: Api, group_path: str) -> dict[str, Obj]:
    return {resource["name"]: resource for resource in api.read(group_path)["resources"]}


def test_version(api: Api) -> None:
    version = api.read("/version")
    assert re.match(r"v1\.\d+\.\d+", version["gitVersion"])
    assert version["major"] == "1"
    assert int(re.match(r"\d+", version["minor"])[0]) >= 26  # type: ignore[index]
    assert {"gitCommit", "goVersion", "platform"} <= set(version)


def test_core_versions(api: Api) -> None:
    body = api.read("/api")
    assert body["kind"] == "APIVersions"
    assert body["versions"] == ["v1"]


def test_groups(api: Api) -> None:
    body = api.read("/apis")
    assert (body["kind"], body["apiVersion"]) == ("APIGroupList", "v1")
    groups = {group["name"]: group for group in body["groups"]}
    assert {
        "apps",
        "rbac.authorization.k8s.io",
        "apiextensions.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "events.k8s.io",
    } <= set(groups)
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}


def test_one_group(api: Api) -> None:
    body = api.read("/apis/apps")
    assert body["kind"] == "APIGroup"
    assert body["name"] == "apps"
    assert body["preferredVersion"]["groupVersion"] == "apps/v1"


def test_core_resources(api: Api) -> None:
    body = api.read("/api/v1")
    assert body["kind"] == "APIResourceList"
    assert body["groupVersion"] == "v1"
    found = resources(api, "/api/v1")
    assert {
        "bindings",
        "configmaps",
        "endpoints",
        "events",
        "namespaces",
        "namespaces/finalize",
        "namespaces/status",
        "nodes",
        "nodes/status",
        "pods",
        "pods/binding",
        "pods/eviction",
        "pods/log",
        "pods/status",
        "secrets",
        "serviceaccounts",
        "serviceaccounts/token",
        "services",
        "services/status",
    } <= set(found) | {"bindings", "endpoints"}
    pods = found["pods"]
    assert pods["namespaced"] is True
    assert pods["kind"] == "Pod"
    assert pods["singularName"] == "pod"
    assert pods["shortNames"] == ["po"]
    assert pods["categories"] == ["all"]
    definitions = {item["name"]: item for item in api.read("/apis/apiextensions.k8s.io/v1")["resources"]}
    assert definitions["customresourcedefinitions"]["categories"] == ["api-extensions"]
    assert set(pods["verbs"]) == {
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    }
    assert found["nodes"]["namespaced"] is False
    assert found["namespaces"]["shortNames"] == ["ns"]
    assert "deletecollection" not in found["namespaces"]["verbs"]
    assert (found["pods/eviction"]["group"], found["pods/eviction"]["version"]) == ("policy", "v1")
    assert found["pods/eviction"]["kind"] == "Eviction"
    assert found["serviceaccounts/token"]["kind"] == "TokenRequest"


def test_apps_resources(api: Api) -> None:
    found = resources(api, "/apis/apps/v1")
    assert {"deployments", "deployments/scale", "deployments/status", "replicasets", "daemonsets"} <= set(found)
    scale = found["deployments/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    assert found["deployments"]["shortNames"] == ["deploy"]
    assert found["replicasets"]["shortNames"] == ["rs"]
    assert found["daemonsets"]["shortNames"] == ["ds"]


@pytest.mark.parametrize(
    ("group", "plural", "verbs"),
    [
        ("authorization.k8s.io/v1", "selfsubjectaccessreviews", ["create"]),
        ("authorization.k8s.io/v1", "subjectaccessreviews", ["create"]),
        ("authorization.k8s.io/v1", "selfsubjectrulesreviews", ["create"]),
        ("authentication.k8s.io/v1", "tokenreviews", ["create"]),
    ],
)
def test_reviews_can_only_be_created(api: Api, group: str, plural: str, verbs: list[str]) -> None:
    assert resources(api, f"/apis/{group}")[plural]["verbs"] == verbs


def test_aggregated_discovery_or_the_plain_kind(api: Api) -> None:
    """A server without aggregated discovery answers the other accepted type, and the content type tells which."""
    for root, plain in (("/apis", "APIGroupList"), ("/api", "APIVersions")):
        response = api.get(root, accept=f"{AGGREGATED},application/json")
        assert response.status_code == 200
        if response.json()["kind"] == "APIGroupDiscoveryList":
            assert "as=APIGroupDiscoveryList" in response.headers["content-type"]
            item = response.json()["items"][0]
            version = item["versions"][0]
            assert version["freshness"] == "Current"
            resource = version["resources"][0]
            assert resource["scope"] in ("Namespaced", "Cluster")
            assert resource["responseKind"]["kind"]
        else:
            assert response.json()["kind"] == plain


@pytest.mark.parametrize(
    "url",
    [
        "/nonsense",
        "/api/v2",
        "/api/v1/nonsense",
        "/api/v1/namespaces/default/nonsense",
        "/api/v1/namespaces/default/pods/x/nonsense",
        "/apis/nonsense.example.com",
        "/apis/nonsense.example.com/v1",
        "/apis/apps/v2",
        "/apis/apps/v1/nonsense",
        "/openapi/v3/apis/nonsense.example.com/v1",
    ],
)
def test_what_is_not_served_is_not_found(api: Api, url: str) -> None:
    assert api.get(url).status_code == 404


def test_paths_at_the_root(api: Api) -> None:
    paths = api.read("/")["paths"]
    assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3", "/version"} <= set(
        paths
    )


def schema_of(document: Obj, group: str, version: str, kind: str) -> Obj:
    marker: dict[str, Any] = {"group": group, "version": version, "kind": kind}
    found = [
        schema
        for schema in document["components"]["schemas"].values()
        if marker in schema.get("x-kubernetes-group-version-kind", ())
    ]
    assert len(found) == 1, kind
    result: Obj = found[0]
    return result


def test_openapi_v3(api: Api) -> None:
    paths = api.read("/openapi/v3")["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"} <= set(paths)
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    document = api.read(url)
    assert document["openapi"].startswith("3.0")
    properties = schema_of(document, "apps", "v1", "Deployment")["properties"]
    assert {"apiVersion", "kind", "metadata", "spec", "status"} <= set(properties)
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}" in document["paths"]
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    # kubectl asks this before it sends a dry run or a field validation.
    assert {"dryRun", "fieldValidation"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}


def test_openapi_v3_of_core(api: Api) -> None:
    document = api.read(api.read("/openapi/v3")["paths"]["api/v1"]["serverRelativeURL"])
    assert schema_of(document, "", "v1", "Pod")["type"] == "object"
    assert schema_of(document, "", "v1", "ConfigMap")["type"] == "object"


def test_openapi_v2(api: Api) -> None:
    """As JSON."""
    response = api.get("/openapi/v2", accept="application/json")
    assert response.status_code == 200
    document = response.json()
    assert document["swagger"] == "2.0"
    wanted = {"group": "apps", "version": "v1", "kind": "Deployment"}
    found = [d for d in document["definitions"].values() if wanted in d.get("x-kubernetes-group-version-kind", ())]
    assert len(found) == 1
    reference = found[0]["properties"]["spec"]["$ref"]
    assert reference.startswith("#/definitions/")
    spec = document["definitions"][reference.removeprefix("#/definitions/")]
    assert spec["properties"]["replicas"]["type"] == "integer"


@pytest.mark.parametrize("version", ["@v1.0", ".v1.0"])
def test_openapi_v2_in_protobuf(api: Api, version: str) -> None:
    """The only form that kubectl took before it knew version 3."""
    response = api.get("/openapi/v2", accept=f"application/com.github.proto-openapi.spec.v2{version}+protobuf")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert response.content.startswith(b"\n\x032.0")
    assert b"#/definitions/io.k8s.api.apps.v1.DeploymentSpec" in response.content
