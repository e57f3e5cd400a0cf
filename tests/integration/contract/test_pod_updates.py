"""What may change of a pod, and what a status, a binding and an eviction may say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kube_api import MERGE, Api, Obj, answer, causes, deployment, failure, path, pod


@pytest.fixture
def url(api: Api, namespace: str) -> str:
    """Of a pod that is bound to a node that is not there."""
    api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
    return path("pods", namespace, "p")


def replaced(api: Api, url: str, change: Callable[[Obj], object]) -> Obj:
    """The pod after a change by a client that read it before."""
    obj = api.read(url)
    change(obj["spec"])
    del obj["metadata"]["resourceVersion"]
    return api.replace(url, obj)


def refused(api: Api, url: str, change: Callable[[Obj], object], field: str) -> None:
    obj = api.read(url)
    change(obj["spec"])
    del obj["metadata"]["resourceVersion"]
    assert field in causes(failure(api.put(url, obj), 422, "Invalid"))


def test_generations_count_changes_of_the_spec(api: Api, url: str) -> None:
    assert api.read(url)["metadata"]["generation"] == 1
    changed = replaced(api, url, lambda spec: spec["containers"][0].update(image="example.com/simulated:2"))
    assert changed["metadata"]["generation"] == 2
    assert api.merge(url, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 2


def test_tolerations_become_more(api: Api, url: str) -> None:
    more = replaced(api, url, lambda spec: spec["tolerations"].append({"key": "k", "operator": "Exists"}))
    assert more["spec"]["tolerations"][-1]["key"] == "k"
    refused(api, url, lambda spec: spec.update(tolerations=[]), "spec.tolerations")


def test_deadlines_come_nearer(api: Api, url: str) -> None:
    replaced(api, url, lambda spec: spec.update(activeDeadlineSeconds=100))
    refused(api, url, lambda spec: spec.update(activeDeadlineSeconds=200), "spec.activeDeadlineSeconds")
    assert replaced(api, url, lambda spec: spec.update(activeDeadlineSeconds=50))["spec"]["activeDeadlineSeconds"] == 50


@pytest.mark.parametrize(
    "change", [{"terminationGracePeriodSeconds": 5}, {"nodeName": "other"}, {"restartPolicy": "Never"}]
)
def test_the_rest_stays(api: Api, url: str, change: Obj) -> None:
    refused(api, url, lambda spec: spec.update(change), "spec")


def test_a_status_keeps_the_quality_of_service(api: Api, url: str) -> None:
    obj = api.read(url)
    obj["status"] = {"phase": "Running", "podIP": "10.1.2.3"}
    status = api.replace(f"{url}/status", obj)["status"]
    assert status["qosClass"] == "BestEffort"
    assert status["podIPs"] == [{"ip": "10.1.2.3"}]


def test_binding_is_nobodys(api: Api, namespace: str) -> None:
    made = api.create(path("pods", namespace), pod("q", schedulerName="nobody"))
    url = path("pods", namespace, "q")
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "q"}, "target": {"name": "nowhere"}}
    assert api.post(f"{url}/binding", body).status_code == 201
    bound = api.read(url)
    assert bound["spec"]["nodeName"] == "nowhere"
    assert bound["metadata"]["generation"] == 1
    assert bound["metadata"]["managedFields"] == made["metadata"]["managedFields"]
    api.remove(url, {"gracePeriodSeconds": 0})


@pytest.mark.parametrize(("subresource", "version"), [("binding", "v1"), ("eviction", "policy/v1")])
def test_names_have_to_agree(api: Api, url: str, subresource: str, version: str) -> None:
    body = {
        "apiVersion": version,
        "kind": subresource.title(),
        "metadata": {"name": "other"},
        "target": {"name": "n"},
    }
    if subresource == "eviction":
        del body["target"]
    failure(api.post(f"{url}/{subresource}", body), 400, "BadRequest")


def test_the_time_of_deletion_is_the_servers(api: Api, url: str) -> None:
    obj = api.read(url)
    obj["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z"
    assert "metadata.deletionTimestamp" in causes(failure(api.put(url, obj), 422, "Invalid"))


def test_two_ways_of_cascading_at_once(api: Api, url: str) -> None:
    options = {"propagationPolicy": "Orphan", "orphanDependents": True}
    failure(api.delete(url, options), 422, "Invalid")


def test_requests_follow_limits_in_pods_alone(api: Api, namespace: str) -> None:
    """A template stays as it is; its pods get the requests."""
    limits = {"limits": {"cpu": "1"}}
    body = deployment("d", replicas=0)
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = limits
    made = api.create(path("deployments", namespace), body)
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"] == limits
    body = pod("q", nodeName="nowhere")
    body["spec"]["containers"][0]["resources"] = limits
    made = api.create(path("pods", namespace), body, dryRun="All")
    assert made["spec"]["containers"][0]["resources"] == {**limits, "requests": {"cpu": "1"}}


@pytest.mark.parametrize(
    "patch", [{"spec": {"replicas": "many"}}, {"kind": "Other"}, {"metadata": {"labels": {"a": 1}}}]
)
def test_patches_that_give_no_object_of_the_kind(api: Api, namespace: str, patch: Obj) -> None:
    api.create(path("deployments", namespace), deployment("d", replicas=0))
    status = failure(api.patch(path("deployments", namespace, "d"), patch, MERGE), 422, "Invalid")
    assert "patch" in causes(status)


def test_namespaces_do_not_end_by_themselves(api: Api, namespace: str) -> None:
    url = path("namespaces", name=namespace)
    response = api.patch(f"{url}/status", {"status": {"phase": "Terminating"}})
    assert "status.Phase" in causes(failure(response, 422, "Invalid"))
    assert answer(api.get(url), 200)["status"]["phase"] == "Active"


@pytest.mark.parametrize("resource", ["pods", "services", "deployments"])
def test_a_status_may_carry_annotations(api: Api, namespace: str, resource: str) -> None:
    """Labels too, but not of a Deployment, and no new generation comes of it."""
    bodies: dict[str, Obj] = {
        "pods": pod("x", nodeName="nowhere"),
        "services": {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}},
        "deployments": deployment("x", replicas=0, paused=True),
    }
    made = api.create(path(resource, namespace), bodies[resource])
    url = path(resource, namespace, "x")
    patch = {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}
    now = api.merge(f"{url}/status", patch)["metadata"]
    assert now["annotations"]["a"] == "b"
    assert now.get("labels", {}).get("c") == (None if resource == "deployments" else "d")
    assert now.get("generation") == made["metadata"].get("generation")


def test_annotations_of_a_deployment_make_a_generation(api: Api, namespace: str) -> None:
    made = api.create(path("deployments", namespace), deployment("d", replicas=0, paused=True))
    now = api.merge(path("deployments", namespace, "d"), {"metadata": {"annotations": {"a": "b"}}})
    assert now["metadata"]["generation"] == made["metadata"]["generation"] + 1


def test_overhead_is_that_of_a_runtime_class(api: Api, namespace: str) -> None:
    body = pod("q", nodeName="nowhere", overhead={"cpu": "100m"})
    failure(api.post(path("pods", namespace), body), 403, "Forbidden")
