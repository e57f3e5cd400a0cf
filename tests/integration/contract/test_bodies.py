"""Bodies that are no object of the resource they are sent to: options, evictions, bindings, scales, requests, reviews.

What is wrong with one is told, and nothing is done: least of all is something deleted that was only to be tried.
"""

from __future__ import annotations

from typing import Any

import pytest
from kube_api import APPLY, Api, Obj, config_map, deployment, failure, path, pod

REVIEWS = "/apis/authorization.k8s.io/v1"


@pytest.fixture
def there(api: Api, namespace: str) -> str:
    """URL of a ConfigMap."""
    api.create(path("configmaps", namespace), config_map("cm"))
    return path("configmaps", namespace, "cm")


@pytest.fixture
def web(api: Api, namespace: str) -> str:
    """URL of the scale of a Deployment."""
    api.create(path("deployments", namespace), deployment("web", replicas=0))
    return path("deployments", namespace, "web", "scale")


@pytest.fixture
def bound(api: Api, namespace: str) -> str:
    """URL of a pod on a node that is not there."""
    api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
    return path("pods", namespace, "p")


class TestDeletions:
    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"dryRun": ["Bogus"]}, 422),
            ({"dryRun": ["All", "Bogus"]}, 422),
            ({"dryRun": "All"}, 400),
            ({"propagationPolicy": ""}, 422),
            ({"propagationPolicy": 5}, 400),
            ({"orphanDependents": "true"}, 400),
            ({"gracePeriodSeconds": "5"}, 400),
            ({"gracePeriodSeconds": 5.0}, 400),
            ({"preconditions": "x"}, 400),
            ({"preconditions": {"uid": 5}}, 400),
            ({"preconditions": {"resourceVersion": 5}}, 400),
            ({"apiVersion": "v1", "kind": "Pod"}, 400),
        ],
    )
    def test_nothing_goes_on_wrong_options(self, api: Api, there: str, options: Obj, code: int) -> None:
        failure(api.delete(there, options), code, "Invalid" if code == 422 else "BadRequest")
        collection = there.rpartition("/")[0]
        failure(api.delete(collection, options), code, "Invalid" if code == 422 else "BadRequest")
        assert api.get(there).status_code == 200

    @pytest.mark.parametrize("query", ["dryRun=All&dryRun=", "dryRun=&dryRun=All", "dryRun="])
    def test_a_dry_run_has_one_name(self, api: Api, there: str, query: str) -> None:
        failure(api.http.delete(f"{there}?{query}"), 422, "Invalid")
        assert api.get(there).status_code == 200

    def test_a_dry_run(self, api: Api, there: str) -> None:
        assert api.delete(there, {"dryRun": ["All"]}).status_code == 200
        assert api.http.delete(there, params={"dryRun": "All"}).status_code == 200
        assert api.get(there).status_code == 200

    def test_every_group_has_them_under_its_name(self, api: Api, there: str) -> None:
        assert api.delete(there, {"apiVersion": "apps/v1", "kind": "DeleteOptions"}).status_code == 200
        assert api.gone(there)


class TestEvictions:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"metadata": "x"}, 400),
            ({"metadata": {"name": "p", "namespace": "other"}}, 400),
            ({"metadata": {"name": "p"}, "deleteOptions": "x"}, 400),
            ({"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": "x"}}, 400),
            ({"metadata": {"name": "p"}, "deleteOptions": {"preconditions": "x"}}, 400),
            ({"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["x"]}}, 422),
            ({"metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "x"}}, 422),
            ({"metadata": {"name": "p"}, "apiVersion": "v1", "kind": "Pod"}, 400),
        ],
    )
    def test_malformed(self, api: Api, bound: str, body: Obj, code: int) -> None:
        failure(api.post(f"{bound}/eviction", body), code, "Invalid" if code == 422 else "BadRequest")
        assert "deletionTimestamp" not in api.read(bound)["metadata"]


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": "x", "target": {"name": "n"}},
        {"metadata": {"name": "p"}, "target": "x"},
        {"metadata": {"name": "p"}, "target": {"name": 5}},
        {"metadata": {"name": "p", "namespace": "other"}, "target": {"name": "n"}},
        {"metadata": {"name": "p"}, "apiVersion": "v1", "kind": "Pod", "target": {"name": "n"}},
    ],
)
def test_malformed_bindings(api: Api, namespace: str, bound: str, body: Obj) -> None:
    failure(api.post(f"{bound}/binding", body), 400, "BadRequest")
    failure(api.post(f"/api/v1/namespaces/{namespace}/bindings", body), 400, "BadRequest")


class TestScales:
    @pytest.mark.parametrize("spec", ["x", [], {"replicas": "1"}, {"replicas": 1.0}, {"replicas": 2**31}])
    def test_malformed(self, api: Api, web: str, spec: Any) -> None:
        failure(api.put(web, {"metadata": {"name": "web"}, "spec": spec}), 400, "BadRequest")
        failure(api.patch(web, {"spec": spec}), 422, "Invalid")
        assert api.read(web)["spec"].get("replicas", 0) == 0

    @pytest.mark.parametrize(
        ("metadata", "code", "reason"),
        [
            ({"name": "other"}, 400, "BadRequest"),
            ({"name": "web", "namespace": "other"}, 400, "BadRequest"),
            ({"name": "web", "uid": "other"}, 409, "Conflict"),
            ({"name": "web", "resourceVersion": "1"}, 409, "Conflict"),
        ],
    )
    def test_is_of_its_object(self, api: Api, web: str, metadata: Obj, code: int, reason: str) -> None:
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": 3}}
        failure(api.put(web, body), code, reason)
        failure(api.patch(web, body), code, reason)
        failure(api.patch(web, body, APPLY, fieldManager="m", force="true"), code, reason)
        assert api.read(web)["spec"].get("replicas", 0) == 0

    def test_fields_are_checked(self, api: Api, web: str) -> None:
        response = api.patch(web, {"spec": {"bogus": 1}})
        assert "spec.bogus" in response.headers["warning"]
        failure(api.patch(web, {"spec": {"bogus": 1}}, fieldValidation="Strict"), 422, "Invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"spec": "x"}, 400),
        ({"spec": {"finalizers": "x"}}, 400),
        ({"metadata": {"name": "other"}}, 400),
        ({"spec": {"finalizers": ["bad"]}}, 422),
        ({"metadata": {"uid": "other"}}, 409),
        ({"metadata": {"resourceVersion": "1"}}, 409),
    ],
)
def test_malformed_finalizers(api: Api, namespace: str, body: Obj, code: int) -> None:
    whole = {**body, "metadata": {"name": namespace, **body.get("metadata", {})}}
    assert api.put(path("namespaces", name=namespace, subresource="finalize"), whole).status_code == code
    assert api.read(path("namespaces", name=namespace))["spec"]["finalizers"] == ["kubernetes"]


@pytest.mark.parametrize(
    "body",
    [
        {"spec": "x"},
        {"spec": {"audiences": "x"}},
        {"spec": {"expirationSeconds": "x"}},
        {"spec": {"boundObjectRef": "x"}},
        {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "pod", "name": "p"}}},
        {"metadata": "x"},
        {"apiVersion": "v1", "kind": "Pod"},
    ],
)
def test_malformed_token_requests(api: Api, namespace: str, bound: str, body: Obj) -> None:
    api.post(path("serviceaccounts", namespace), {"metadata": {"name": "default"}})
    failure(api.post(path("serviceaccounts", namespace, "default", "token"), body), 400, "BadRequest")


@pytest.mark.parametrize(
    ("resource", "body", "code"),
    [
        ("subjectaccessreviews", {"metadata": "x"}, 400),
        ("subjectaccessreviews", {"spec": {"user": "u", "extra": {"a": "b"}}}, 400),
        ("subjectaccessreviews", {}, 422),
        ("selfsubjectaccessreviews", {}, 422),
        ("selfsubjectrulesreviews", {"spec": {}}, 400),
        ("selfsubjectrulesreviews", {}, 400),
    ],
)
def test_malformed_reviews(api: Api, resource: str, body: Obj, code: int) -> None:
    assert api.post(f"{REVIEWS}/{resource}", body).status_code == code
