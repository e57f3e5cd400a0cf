"""What nodes may: their own Node and Lease, the pods bound to them, and what those pods name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from kube_api import Api, Obj, answer, config_map, failure, path, wait_for
from kube_targets import Target

_COUNTER = itertools.count(1)
LEASES = "kube-node-lease"


@pytest.fixture
def name() -> str:
    return f"edge-{next(_COUNTER)}"


@pytest.fixture
def node(target: Target, api: Api, name: str) -> Iterator[Api]:
    """A node, which has registered itself."""
    user = target.user(f"system:node:{name}", "system:nodes")
    labels = {"kubernetes.io/hostname": name, "example.org/site": "roof"}
    user.create(path("nodes"), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    yield user
    api.remove(path("nodes", name=name))


def pod(name: str, where: str, **spec: Any) -> Obj:
    containers = [{"name": "c", "image": "sim:1"}]
    made = {"nodeName": where, "containers": containers, "terminationGracePeriodSeconds": 0, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"a": "b"}}, "spec": made}


def token(bound: Obj | None) -> Obj:
    spec = {"audiences": [], "boundObjectRef": bound} if bound else {}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def reference(made: Obj) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}


class TestNodes:
    def test_keep_their_own_object(self, api: Api, node: Api, name: str) -> None:
        url = path("nodes", name=name)
        node.read(url)
        node.merge(url, {"metadata": {"labels": {"example.org/site": "cellar"}}})
        node.merge(url + "/status", {"status": {"capacity": {"cpu": "4"}}})
        assert api.read(url)["status"]["capacity"]["cpu"] == "4"

    def test_touch_no_other(self, api: Api, node: Api, unique: str) -> None:
        api.create(path("nodes"), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": unique}})
        url = path("nodes", name=unique)
        failure(node.get(url), 403, "Forbidden")
        failure(node.patch(url, {"metadata": {"labels": {"a": "b"}}}), 403, "Forbidden")
        failure(node.patch(url + "/status", {"status": {"capacity": {"cpu": "4"}}}), 403, "Forbidden")
        failure(node.delete(url), 403, "Forbidden")
        another = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{unique}-new"}}
        failure(node.post(path("nodes"), another), 403, "Forbidden")
        api.remove(url)

    def test_do_not_choose_what_may_run_on_them(self, node: Api, name: str) -> None:
        url = path("nodes", name=name)
        taints = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
        failure(node.patch(url, taints), 403, "Forbidden")
        for label in ("node-restriction.kubernetes.io/trusted", "node-role.kubernetes.io/control-plane"):
            failure(node.patch(url, {"metadata": {"labels": {label: "x"}}}), 403, "Forbidden")
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": "x"}
        failure(node.patch(url, {"metadata": {"ownerReferences": [owner]}}), 403, "Forbidden")

    def test_keep_their_own_lease(self, node: Api, name: str) -> None:
        def lease(of: str) -> Obj:
            spec = {"holderIdentity": of, "leaseDurationSeconds": 40}
            return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": of}, "spec": spec}

        node.create(path("leases", LEASES), lease(name))
        node.merge(path("leases", LEASES, name), {"spec": {"leaseDurationSeconds": 50}})
        failure(node.post(path("leases", LEASES), lease(f"{name}-other")), 403, "Forbidden")
        failure(node.patch(path("leases", LEASES, "worker-1"), {"spec": {}}), 403, "Forbidden")
        failure(node.post(path("leases", "default"), lease(name)), 403, "Forbidden")


class TestPods:
    def test_are_listed_by_node(self, api: Api, node: Api, name: str, namespace: str) -> None:
        api.create(path("pods", namespace), pod("mine", name))
        listing = node.read("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")
        assert [item["metadata"]["name"] for item in listing["items"]] == ["mine"]
        failure(node.get("/api/v1/pods"), 403, "Forbidden")
        failure(node.get("/api/v1/pods", fieldSelector="spec.nodeName=worker-1"), 403, "Forbidden")

    def test_have_their_status_from_their_node(self, api: Api, node: Api, name: str, namespace: str) -> None:
        for made, where in (("mine", name), ("yours", "elsewhere")):
            api.create(path("pods", namespace), pod(made, where))
        status = {"status": {"phase": "Running"}}
        url = path("pods", namespace, "mine", "status")
        wait_for("the pod is the node's", lambda: node.patch(url, status).status_code == 200)
        failure(node.patch(path("pods", namespace, "yours", "status"), status), 403, "Forbidden")
        failure(node.patch(url, {"metadata": {"labels": {"a": "c"}}, "status": {"phase": "Failed"}}), 403, "Forbidden")
        failure(node.patch(path("pods", namespace, "mine"), {"metadata": {"labels": {"a": "c"}}}), 403, "Forbidden")

    def test_are_ended_by_their_node(self, api: Api, node: Api, name: str, namespace: str) -> None:
        for made, where in (("mine", name), ("yours", "elsewhere")):
            api.create(path("pods", namespace), pod(made, where))
        url = path("pods", namespace, "yours")
        failure(node.delete(url), 403, "Forbidden")
        answer(node.delete(path("pods", namespace, "mine"), {"gracePeriodSeconds": 0}), 200)

    def test_are_made_by_none(self, node: Api, name: str, namespace: str) -> None:
        failure(node.post(path("pods", namespace), pod("new", name)), 403, "Forbidden")


class TestWhatPodsName:
    def test_is_read_by_their_nodes(self, api: Api, node: Api, name: str, namespace: str) -> None:
        for secret in ("used", "other"):
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": {"a": "b"}}
            api.create(path("secrets", namespace), made)
            api.create(path("configmaps", namespace), config_map(secret))
        failure(node.get(path("secrets", namespace, "used")), 403, "Forbidden")
        source = {"name": "c", "image": "sim:1", "envFrom": [{"configMapRef": {"name": "used"}}]}
        volumes = [{"name": "v", "projected": {"sources": [{"secret": {"name": "used"}}]}}]
        api.create(path("pods", namespace), pod("mine", name, containers=[source], volumes=volumes))
        elsewhere = [{"name": "v", "secret": {"secretName": "other"}}]
        api.create(path("pods", namespace), pod("yours", "elsewhere", volumes=elsewhere))
        for kind in ("secrets", "configmaps"):
            url = path(kind, namespace, "used")
            wait_for("the pod is the node's", lambda url=url: node.get(url).status_code == 200)
            failure(node.get(path(kind, namespace, "other")), 403, "Forbidden")
            failure(node.get(path(kind, namespace)), 403, "Forbidden")
            failure(node.get(f"/api/v1/{kind}"), 403, "Forbidden")
            failure(node.patch(url, {"data": {"a": "Yw=="}}), 403, "Forbidden")

    def test_tokens_are_of_their_accounts(self, api: Api, node: Api, name: str, namespace: str) -> None:
        for account in ("used", "other"):
            made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
            api.create(path("serviceaccounts", namespace), made)
        volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
        mine = api.create(path("pods", namespace), pod("mine", name, serviceAccountName="used", volumes=volumes))
        yours = api.create(path("pods", namespace), pod("yours", "elsewhere", serviceAccountName="used"))
        url = path("serviceaccounts", namespace, "used", "token")
        wait_for("the pod is the node's", lambda: node.post(url, token(reference(mine))).status_code == 201)
        failure(node.post(url, token(None)), 403, "Forbidden")
        failure(node.post(url, token(reference(yours))), 403, "Forbidden")
        without = {key: value for key, value in reference(mine).items() if key != "uid"}
        failure(node.post(url, token(without)), 403, "Forbidden")
        elsewhere = token(reference(mine))
        elsewhere["spec"]["audiences"] = ["https://not-of-a-volume.example.org"]
        failure(node.post(url, elsewhere), 403, "Forbidden")
        other = path("serviceaccounts", namespace, "other", "token")
        failure(node.post(other, token(reference(mine))), 403, "Forbidden")
