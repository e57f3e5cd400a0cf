"""Built-in objects that Kubernetes refuses, with the field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from kube_api import APPLY, Api, Obj, deployment, failure, path, pod

TLS = "kubernetes.io/tls"


def of(spec: Obj) -> Obj:
    body = pod("p")
    body["spec"] |= spec
    return body


def container(**more: Any) -> Obj:
    return of({"containers": [{"name": "main", "image": "example.com/x:1", **more}]})


PODS: dict[str, Obj] = {
    "spec.containers": of({"containers": []}),
    "spec.containers[1].name": of({"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]}),
    "spec.dnsConfig": of({"dnsPolicy": "None"}),
    "spec.volumes[1].name": of({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}),
    "spec.nodeSelector": of({"nodeSelector": {"a b": "c"}}),
    "spec.hostname": of({"hostname": "A.b"}),
    "spec.nodeName": of({"nodeName": "A B"}),
    "spec.ephemeralContainers": of({"ephemeralContainers": [{"name": "e", "image": "x"}]}),
    "spec.tolerations[0].operator": of({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
    "spec.tolerations[0].effect": of({"tolerations": [{"key": "a", "tolerationSeconds": 3, "effect": "NoSchedule"}]}),
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms": of(
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}
    ),
    "spec.initContainers[0].livenessProbe": of(
        {"initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}]}
    ),
    "spec.containers[0].env[0].valueFrom": container(env=[{"name": "a", "valueFrom": {}}]),
    "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath": container(
        env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.none"}}}]
    ),
    "spec.containers[0].ports[0].name": container(ports=[{"containerPort": 80, "name": "A_1"}]),
    "spec.containers[0].ports[1].name": container(
        ports=[{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]
    ),
    "spec.containers[0].resources.limits[none]": container(resources={"limits": {"none": "1"}}),
    "spec.containers[0].resources.limits[example.com/x]": container(resources={"limits": {"example.com/x": "500m"}}),
    "spec.containers[0].livenessProbe": container(livenessProbe={}),
    "spec.containers[0].livenessProbe.tcpSocket": container(
        livenessProbe={"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}
    ),
    "spec.containers[0].livenessProbe.successThreshold": container(
        livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}
    ),
    "spec.containers[0].livenessProbe.httpGet.port": container(livenessProbe={"httpGet": {"port": 0}}),
    "spec.containers[0].livenessProbe.exec.command": container(livenessProbe={"exec": {}}),
}


@pytest.mark.parametrize("field", PODS)
def test_pods(api: Api, namespace: str, field: str) -> None:
    status = failure(api.post(path("pods", namespace), PODS[field], dryRun="All"), 422, "Invalid")
    assert field in {cause["field"] for cause in status["details"]["causes"]}


@pytest.mark.parametrize("spec", [{"priorityClassName": "none"}, {"priority": 5}])
def test_priorities(api: Api, namespace: str, spec: Obj) -> None:
    failure(api.post(path("pods", namespace), of(spec), dryRun="All"), 403, "Forbidden")


def test_quantities_that_are_none(api: Api, namespace: str) -> None:
    body = container(resources={"limits": {"cpu": "much"}})
    failure(api.post(path("pods", namespace), body, dryRun="All"), 400, "BadRequest")


TEMPLATE = {"metadata": {"labels": {"app": "d"}}}
DEPLOYMENTS: dict[str, Obj] = {
    "spec.progressDeadlineSeconds": {"progressDeadlineSeconds": 5, "minReadySeconds": 10},
    "spec.strategy.rollingUpdate": {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
    "spec.strategy.rollingUpdate.maxUnavailable": {"strategy": {"rollingUpdate": {"maxUnavailable": "200%"}}},
    "spec.template.spec.activeDeadlineSeconds": {
        "template": {**TEMPLATE, "spec": {"activeDeadlineSeconds": 5, "containers": [{"name": "a", "image": "x"}]}}
    },
}


@pytest.mark.parametrize("field", DEPLOYMENTS)
def test_deployments(api: Api, namespace: str, field: str) -> None:
    body = deployment("d", **DEPLOYMENTS[field])
    status = failure(api.post(path("deployments", namespace), body, dryRun="All"), 422, "Invalid")
    assert field in {cause["field"] for cause in status["details"]["causes"]}


SERVICES: dict[str, Obj] = {
    "spec.ports[0].targetPort": {"ports": [{"port": 1, "targetPort": "A_"}]},
    "spec.ports[0].nodePort": {"ports": [{"port": 1, "nodePort": 30099}]},
    "spec.externalTrafficPolicy": {"ports": [{"port": 1}], "externalTrafficPolicy": "Local"},
    "spec.externalIPs[0]": {"ports": [{"port": 1}], "externalIPs": ["x"]},
}


@pytest.mark.parametrize("field", SERVICES)
def test_services(api: Api, namespace: str, field: str) -> None:
    body = {"metadata": {"name": "s"}, "spec": SERVICES[field]}
    status = failure(api.post(path("services", namespace), body, dryRun="All"), 422, "Invalid")
    assert field in {cause["field"] for cause in status["details"]["causes"]}


@pytest.mark.parametrize(
    ("resource", "body", "field"),
    [
        ("configmaps", {"data": {"..": "c"}}, "data[..]"),
        ("configmaps", {"data": {"a": "c"}, "binaryData": {"a": "Yw=="}}, "data[a]"),
        ("secrets", {"type": TLS}, "data[tls.crt]"),
        ("secrets", {"type": "kubernetes.io/basic-auth"}, "data[username]"),
        ("secrets", {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}, None),
        ("secrets", {"type": "kubernetes.io/service-account-token"}, None),
        ("endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": ["x"]}]}, "endpoints[0].addresses[0]"),
        ("endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
    ],
)
def test_others(api: Api, namespace: str, resource: str, body: Obj, field: str | None) -> None:
    response = api.post(path(resource, namespace), {"metadata": {"name": "x"}, **body}, dryRun="All")
    status = failure(response, 422, "Invalid")
    assert field in {None, *(cause["field"] for cause in status["details"]["causes"])}


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T00:00:00Z"])
def test_times_with_a_fraction(api: Api, namespace: str, time: str) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"renewTime": time}}
    failure(api.post(path("leases", namespace), body, dryRun="All"), 400, "BadRequest")


EVENT = {
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reason": "r",
    "action": "a",
    "type": "Normal",
    "reportingController": "example.com/c",
    "reportingInstance": "i",
    "note": "n",
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"eventTime": None}, "eventTime"),
        ({"type": "Bogus"}, "type"),
        ({"action": ""}, "action"),
        ({"reportingController": "x y"}, "reportingController"),
        ({"reportingInstance": "i" * 129}, "reportingInstance"),
        ({"note": "n" * 1025}, "message"),
        ({"deprecatedCount": 1}, "count"),
        ({"series": {"count": 1, "lastObservedTime": EVENT["eventTime"]}}, "series.count"),
    ],
)
def test_events_of_the_new_group(api: Api, namespace: str, change: Obj, field: str | None) -> None:
    about = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": namespace}
    body = {"metadata": {"name": "e"}, "regarding": about, **EVENT, **change}
    response = api.post(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", body)
    if field is None:
        assert response.status_code == 201, response.text
    else:
        assert field in {cause["field"] for cause in failure(response, 422, "Invalid")["details"]["causes"]}


@pytest.mark.parametrize(
    ("owner", "field"),
    [({"kind": "Event"}, ""), ({"apiVersion": "a/b/c"}, ".apiVersion"), ({"uid": ""}, ".uid")],
)
def test_owners(api: Api, namespace: str, owner: Obj, field: str) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", **owner}
    body = {"metadata": {"name": "x", "ownerReferences": [reference]}}
    status = failure(api.post(path("configmaps", namespace), body), 422, "Invalid")
    assert [cause["field"] for cause in status["details"]["causes"]] == [f"metadata.ownerReferences{field}"]


def test_applying_to_what_is_gone(api: Api, namespace: str) -> None:
    """Who names an object by its uid means that one, and no other."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "gone"}}
    failure(api.patch(path("configmaps", namespace, "x"), body, APPLY, fieldManager="m"), 409, "Conflict")
