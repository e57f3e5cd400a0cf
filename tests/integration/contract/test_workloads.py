"""Controllers, scheduler and kubelets together: roll-outs of pods that run in name only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kube_api import Api, Obj, deployment, failure, path, pod, wait_for
from kube_crds import conditions

pytestmark = pytest.mark.usefixtures("nodes")


def pods(api: Api, namespace: str, **labels: str) -> list[Obj]:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    items: list[Obj] = api.read(path("pods", namespace), labelSelector=selector)["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def ready(item: Obj) -> bool:
    return conditions(item).get("Ready") == "True"


def rolled_out(api: Api, url: str) -> Callable[[], bool]:
    def done() -> bool:
        now = api.read(url)
        status, wanted = now["status"], now["spec"]["replicas"]
        return bool(
            status.get("observedGeneration") == now["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == wanted
            and status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
        )

    return done


def replica_sets(api: Api, namespace: str) -> dict[str, Obj]:
    """By revision."""
    items = api.read(path("replicasets", namespace))["items"]
    return {item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: item for item in items}


def test_a_paused_deployment_says_so_first(api: Api, namespace: str) -> None:
    api.create(path("deployments", namespace), deployment("d", replicas=0, paused=True))
    url = path("deployments", namespace, "d")

    def told() -> list[tuple[str, str]]:
        listed = api.read(url)["status"].get("conditions", ())
        return [(c["type"], c["reason"]) for c in listed]

    first = [("Progressing", "DeploymentPaused"), ("Available", "MinimumReplicasAvailable")]
    wait_for("told", lambda: told() == first)
    api.merge(url, {"spec": {"paused": False}})
    wait_for("what changed last comes last", lambda: told() == [first[1], ("Progressing", "NewReplicaSetAvailable")])


class TestPods:
    def test_run_where_there_is_room(self, api: Api, namespace: str, nodes: list[str]) -> None:
        api.create(path("pods", namespace), pod("p"))
        url = path("pods", namespace, "p")
        wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")
        wait_for("ready", lambda: ready(api.read(url)))
        now = api.read(url)
        assert now["spec"]["nodeName"] in nodes
        assert conditions(now)["PodScheduled"] == "True"
        assert now["status"]["podIP"]
        assert now["status"]["hostIP"]
        assert now["status"]["startTime"]
        assert now["status"]["qosClass"] == "BestEffort"
        container = now["status"]["containerStatuses"][0]
        assert container["name"] == "main"
        assert container["ready"] is True
        assert container["state"]["running"]["startedAt"]

    def test_go_where_they_want(self, api: Api, namespace: str, nodes: list[str]) -> None:
        api.create(path("pods", namespace), pod("p", nodeSelector={"kubernetes.io/hostname": nodes[1]}))
        url = path("pods", namespace, "p")
        wait_for("scheduled", lambda: api.read(url)["spec"].get("nodeName") == nodes[1])

    def test_wait_when_nothing_fits(self, api: Api, namespace: str) -> None:
        big = pod("big")
        big["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
        api.create(path("pods", namespace), big)
        url = path("pods", namespace, "big")
        wait_for("unschedulable", lambda: conditions(api.read(url)).get("PodScheduled") == "False")
        condition = next(c for c in api.read(url)["status"]["conditions"] if c["type"] == "PodScheduled")
        assert condition["reason"] == "Unschedulable"
        assert condition["message"].startswith("0/2 nodes are available")
        assert "Insufficient cpu" in condition["message"]

        def reported() -> bool:
            listing = api.read(path("events", namespace), fieldSelector="involvedObject.name=big")
            return any(event["reason"] == "FailedScheduling" for event in listing["items"])

        wait_for("event", reported)

    def test_binding(self, api: Api, namespace: str, nodes: list[str]) -> None:
        """What a scheduler does, done by hand for a pod that asks for another scheduler."""
        api.create(path("pods", namespace), pod("p", schedulerName="by-hand"))
        url = path("pods", namespace, "p")
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p"},
            "target": {"apiVersion": "v1", "kind": "Node", "name": nodes[0]},
        }
        assert api.post(f"{url}/binding", body).status_code == 201
        assert api.read(url)["spec"]["nodeName"] == nodes[0]
        failure(api.post(f"{url}/binding", body), 409, "Conflict")
        wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")

    def test_end_gracefully(self, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p"))
        url = path("pods", namespace, "p")
        wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")
        assert "deletionTimestamp" in api.remove(url)["metadata"]
        wait_for("gone", lambda: api.gone(url))

    def test_eviction(self, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p"))
        url = path("pods", namespace, "p")
        wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": namespace}}
        response = api.post(f"{url}/eviction", body)
        assert response.status_code == 201
        assert response.json()["status"] == "Success"
        wait_for("gone", lambda: api.gone(url))
        failure(api.post(f"{url}/eviction", body), 404, "NotFound")

    def test_log(self, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p"))
        url = path("pods", namespace, "p")
        wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")
        response = api.get(f"{url}/log", accept="*/*")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain")
        failure(api.get(f"{url}/log", container="other"), 400, "BadRequest")
        failure(api.get(path("pods", namespace, "none", "log")), 404, "NotFound")


class TestDeployment:
    def start(self, api: Api, namespace: str, **spec: Any) -> str:
        api.create(path("deployments", namespace), deployment("web", **{"replicas": 2, **spec}))
        url = path("deployments", namespace, "web")
        wait_for("rolled out", rolled_out(api, url), timeout=30)
        return url

    def set_image(self, api: Api, url: str, image: str) -> None:
        containers = [{"name": "main", "image": image}]
        api.merge(url, {"spec": {"template": {"spec": {"containers": containers}}}})

    def test_becomes_pods(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace)
        now = api.read(url)
        assert conditions(now)["Available"] == "True"
        assert conditions(now)["Progressing"] == "True"
        assert now["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        (replica_set,) = replica_sets(api, namespace).values()
        hash_ = replica_set["metadata"]["labels"]["pod-template-hash"]
        assert replica_set["metadata"]["name"] == f"web-{hash_}"
        owner = replica_set["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Deployment", "web", True)
        assert owner["blockOwnerDeletion"] is True
        running = pods(api, namespace, app="web")
        assert len(running) == 2
        for item in running:
            assert item["metadata"]["name"].startswith(f"web-{hash_}-")
            assert item["metadata"]["labels"]["pod-template-hash"] == hash_
            assert item["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]

    def test_rolls_without_a_gap_and_back(self, api: Api, namespace: str) -> None:
        url = self.start(
            api,
            namespace,
            replicas=3,
            strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        )
        since = api.read(path("pods", namespace))["metadata"]["resourceVersion"]
        before = {item["metadata"]["name"]: item for item in pods(api, namespace, app="web")}
        self.set_image(api, url, "example.com/simulated:2")
        wait_for("rolled out", rolled_out(api, url), timeout=30)
        # Replay what happened: never fewer than three ready, never more than four.
        now = dict(before)
        end = api.read(path("pods", namespace))["metadata"]["resourceVersion"]
        with api.watch(path("pods", namespace), resourceVersion=since) as watch:
            while True:
                event = watch.next()
                item = event["object"]
                if event["type"] == "DELETED":
                    now.pop(item["metadata"]["name"], None)
                else:
                    now[item["metadata"]["name"]] = item
                staying = [item for item in now.values() if "deletionTimestamp" not in item["metadata"]]
                assert sum(ready(item) for item in staying) >= 3
                assert len(staying) <= 4
                if int(item["metadata"]["resourceVersion"]) >= int(end) or (
                    len(now) == 3 and not set(now) & set(before)
                ):
                    break
        revisions = replica_sets(api, namespace)
        assert set(revisions) == {"1", "2"}
        assert revisions["1"]["spec"]["replicas"] == 0
        assert revisions["2"]["spec"]["replicas"] == 3
        # Back to the first template: the old ReplicaSet serves again, as the newest revision.
        self.set_image(api, url, "example.com/simulated:1")
        wait_for("rolled back", rolled_out(api, url), timeout=30)
        revisions = replica_sets(api, namespace)
        assert set(revisions) == {"2", "3"}
        assert revisions["3"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"

    def test_scales(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace, replicas=1)
        for wanted in (3, 0):
            api.merge(f"{url}/scale", {"spec": {"replicas": wanted}})
            wait_for(f"{wanted} pods", rolled_out(api, url))
            wait_for("pods follow", lambda wanted=wanted: len(pods(api, namespace, app="web")) == wanted)
        assert set(replica_sets(api, namespace)) == {"1"}

    def test_replaces_what_is_deleted(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace)
        victim = pods(api, namespace, app="web")[0]["metadata"]["name"]
        api.remove(path("pods", namespace, victim))
        wait_for("victim is gone", lambda: api.gone(path("pods", namespace, victim)))
        wait_for("replaced", rolled_out(api, url))
        assert len(pods(api, namespace, app="web")) == 2

    def test_paused(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace, replicas=1)
        api.merge(url, {"spec": {"paused": True}})
        self.set_image(api, url, "example.com/simulated:2")
        wait_for(
            "observed",
            lambda: api.read(url)["status"]["observedGeneration"] == api.read(url)["metadata"]["generation"],
        )
        assert len(replica_sets(api, namespace)) == 1
        api.merge(url, {"spec": {"paused": False}})
        wait_for("rolled out", rolled_out(api, url), timeout=30)
        assert len(replica_sets(api, namespace)) == 2

    def test_recreate(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace, strategy={"type": "Recreate"})
        self.set_image(api, url, "example.com/simulated:2")
        wait_for("rolled out", rolled_out(api, url), timeout=30)
        images = {item["spec"]["containers"][0]["image"] for item in pods(api, namespace, app="web")}
        assert images == {"example.com/simulated:2"}

    def test_keeps_so_much_history(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace, replicas=1, revisionHistoryLimit=1)
        for number in (2, 3, 4):
            self.set_image(api, url, f"example.com/simulated:{number}")
            wait_for("rolled out", rolled_out(api, url), timeout=30)
        wait_for("history is trimmed", lambda: set(replica_sets(api, namespace)) == {"3", "4"})

    def test_deletion_takes_all_along(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace)
        api.remove(url, {"propagationPolicy": "Foreground"})
        wait_for("gone", lambda: api.gone(url), timeout=30)
        assert replica_sets(api, namespace) == {}
        assert pods(api, namespace, app="web") == []

    def test_orphans_are_adopted(self, api: Api, namespace: str) -> None:
        url = self.start(api, namespace, replicas=1)
        (before,) = pods(api, namespace, app="web")
        api.remove(url, {"propagationPolicy": "Orphan"})
        wait_for("gone", lambda: api.gone(url))
        self.start(api, namespace, replicas=1)
        (after,) = pods(api, namespace, app="web")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_replica_set_adopts_and_releases(api: Api, namespace: str) -> None:
    template = {"metadata": {"labels": {"app": "rs"}}, "spec": pod("x")["spec"]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rs"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "rs"}}, "template": template},
    }
    api.create(path("pods", namespace), pod("rs"))
    api.create(path("replicasets", namespace), body)
    wait_for("two pods", lambda: len(pods(api, namespace, app="rs")) == 2)
    url = path("pods", namespace, "rs")
    wait_for("adopted", lambda: api.read(url)["metadata"].get("ownerReferences"))
    api.merge(url, {"metadata": {"labels": {"app": "free"}}})
    wait_for("released", lambda: not api.read(url)["metadata"].get("ownerReferences"))
    wait_for("replaced", lambda: len(pods(api, namespace, app="rs")) == 2)


def test_daemon_set(api: Api, namespace: str, nodes: list[str]) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds"},
        "spec": {
            "selector": {"matchLabels": {"app": "ds"}},
            "template": {"metadata": {"labels": {"app": "ds"}}, "spec": pod("x")["spec"]},
        },
    }
    api.create(path("daemonsets", namespace), body)
    url = path("daemonsets", namespace, "ds")

    def done() -> bool:
        status = api.read(url).get("status", {})
        return status.get("numberReady") == status.get("desiredNumberScheduled") == len(nodes)

    wait_for("a pod on each node", done, timeout=30)
    assert {item["spec"]["nodeName"] for item in pods(api, namespace, app="ds")} == set(nodes)
    api.merge(url, {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": nodes[0]}}}}})
    wait_for(
        "only on one",
        lambda: [p["spec"].get("nodeName") for p in pods(api, namespace, app="ds")] == [nodes[0]],
        timeout=30,
    )


def test_endpoint_slices_follow_pods(api: Api, namespace: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    api.create(path("services", namespace), service)
    api.create(path("deployments", namespace), deployment("web", replicas=2))

    def addresses() -> set[str]:
        listing = api.read(path("endpointslices", namespace), labelSelector="kubernetes.io/service-name=web")
        return {
            address
            for item in listing["items"]
            for endpoint in item["endpoints"] or ()
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        }

    wait_for("two endpoints", lambda: len(addresses()) == 2, timeout=30)
    assert addresses() == {item["status"]["podIP"] for item in pods(api, namespace, app="web")}
    item = api.read(path("endpointslices", namespace))["items"][0]
    assert item["addressType"] == "IPv4"
    assert item["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert item["metadata"]["ownerReferences"][0]["name"] == "web"
    assert item["endpoints"][0]["targetRef"]["kind"] == "Pod"
    assert item["endpoints"][0]["nodeName"]
    api.merge(path("deployments", namespace, "web", "scale"), {"spec": {"replicas": 1}})
    wait_for("one endpoint", lambda: len(addresses()) == 1, timeout=30)
    api.remove(path("services", namespace, "web"))
    wait_for("slices go", lambda: not api.read(path("endpointslices", namespace))["items"])


class TestNodes:
    def test_describe_themselves(self, api: Api, nodes: list[str]) -> None:
        node = api.read(path("nodes", name=nodes[0]))
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == nodes[0]
        assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
        assert {"cpu", "memory", "pods"} <= set(node["status"]["capacity"])
        assert {"cpu", "memory", "pods"} <= set(node["status"]["allocatable"])
        found = conditions(node)
        assert found["Ready"] == "True"
        assert found["MemoryPressure"] == "False"
        assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.")
        assert "InternalIP" in {address["type"] for address in node["status"]["addresses"]}

    def test_say_that_they_live(self, api: Api, nodes: list[str]) -> None:
        lease = api.read(path("leases", "kube-node-lease", nodes[0]))
        assert lease["spec"]["holderIdentity"] == nodes[0]
        assert lease["spec"]["leaseDurationSeconds"] > 0

    def test_taints_keep_pods_away(self, api: Api, namespace: str, nodes: list[str]) -> None:
        url = path("nodes", name=nodes[0])
        api.merge(url, {"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}})
        try:
            for index in range(3):
                api.create(path("pods", namespace), pod(f"p-{index}"))
            wait_for("scheduled", lambda: all(item["spec"].get("nodeName") for item in pods(api, namespace)))
            assert {item["spec"]["nodeName"] for item in pods(api, namespace)} == {nodes[1]}
            tolerant = pod(
                "tolerant",
                nodeSelector={"kubernetes.io/hostname": nodes[0]},
                tolerations=[{"key": "k", "operator": "Exists"}],
            )
            api.create(path("pods", namespace), tolerant)
            wait_for("tolerates", lambda: api.read(path("pods", namespace, "tolerant"))["spec"].get("nodeName"))
        finally:
            api.merge(url, {"spec": {"taints": None}})

    def test_no_execute_evicts(self, api: Api, namespace: str, nodes: list[str]) -> None:
        api.create(path("pods", namespace), pod("p", nodeSelector={"kubernetes.io/hostname": nodes[0]}))
        pod_url, node_url = path("pods", namespace, "p"), path("nodes", name=nodes[0])
        wait_for("running", lambda: api.read(pod_url)["status"]["phase"] == "Running")
        api.merge(node_url, {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}})
        try:
            wait_for("evicted", lambda: api.gone(pod_url))
        finally:
            api.merge(node_url, {"spec": {"taints": None}})

    def test_affinity(self, api: Api, namespace: str, nodes: list[str]) -> None:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [nodes[0]]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
        api.create(path("pods", namespace), pod("p", affinity=affinity))
        wait_for("scheduled", lambda: api.read(path("pods", namespace, "p"))["spec"].get("nodeName") == nodes[1])
