"""In-place resize of pods: the subresource ``resize``, and what a kubelet makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from kube_api import APPLY, JSON_PATCH, STRATEGIC, Api, Obj, answer, causes, deployment, failure, path, pod, wait_for
from kube_cli import Kubectl
from kube_targets import Target

BURSTABLE = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}


def asking(name: str, resources: Obj, *, container: Obj | None = None, **spec: Any) -> Obj:
    body = pod(name, **spec)
    body["spec"]["containers"][0] |= {"resources": resources, **(container or {})}
    return body


def change(**resources: Any) -> Obj:
    """A strategic patch of the resources of the container."""
    return {"spec": {"containers": [{"name": "main", "resources": resources}]}}


def resources(obj: Obj) -> Obj:
    found: Obj = obj["spec"]["containers"][0]["resources"]
    return found


def condition(obj: Obj, kind: str) -> Obj | None:
    return next((c for c in obj["status"].get("conditions") or () if c["type"] == kind), None)


@pytest.fixture
def url(api: Api, namespace: str) -> str:
    """Of a pod that nobody schedules."""
    api.create(path("pods", namespace), asking("p", BURSTABLE, schedulerName="nobody"))
    return path("pods", namespace, "p")


class TestTheSubresource:
    def test_is_announced(self, api: Api) -> None:
        listed = {item["name"]: item for item in api.read("/api/v1")["resources"]}
        assert listed["pods/resize"]["kind"] == "Pod"
        assert sorted(listed["pods/resize"]["verbs"]) == ["get", "patch", "update"]
        paths = api.read("/openapi/v3/api/v1")["paths"]
        assert {"get", "put", "patch"} <= set(paths["/api/v1/namespaces/{namespace}/pods/{name}/resize"])

    def test_is_read_as_the_pod(self, api: Api, url: str) -> None:
        assert api.read(f"{url}/resize") == api.read(url)

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_has_no_other_verbs(self, api: Api, url: str, method: str) -> None:
        failure(api.http.request(method, f"{url}/resize", json={}), 405, "MethodNotAllowed")

    def test_changes_cpu_and_memory(self, api: Api, url: str) -> None:
        before = api.read(url)
        wanted = {"requests": {"cpu": "150m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
        now = answer(api.patch(f"{url}/resize", change(**wanted), STRATEGIC), 200)
        assert resources(now) == wanted
        assert now["metadata"]["generation"] == before["metadata"]["generation"] + 1
        entry = next(e for e in now["metadata"]["managedFields"] if e.get("subresource") == "resize")
        assert set(entry["fieldsV1"]["f:spec"]["f:containers"]['k:{"name":"main"}']) == {"f:resources"}

    def test_by_a_json_patch(self, api: Api, url: str) -> None:
        operation = {"op": "replace", "path": "/spec/containers/0/resources/limits/cpu", "value": "0.5"}
        now = answer(api.patch(f"{url}/resize", [operation], JSON_PATCH), 200)
        assert resources(now)["limits"] == {"cpu": "500m", "memory": "64Mi"}

    def test_by_replacing(self, api: Api, url: str) -> None:
        obj = api.read(url)
        obj["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "120m"
        assert resources(api.replace(f"{url}/resize", obj))["requests"]["cpu"] == "120m"
        failure(api.put(f"{url}/resize", obj), 409, "Conflict")

    def test_by_applying(self, api: Api, url: str) -> None:
        config = {"apiVersion": "v1", "kind": "Pod", **change(requests={"cpu": "130m"})}
        failure(api.patch(f"{url}/resize", config, APPLY, fieldManager="m"), 409, "Conflict")
        now = answer(api.patch(f"{url}/resize", config, APPLY, fieldManager="m", force="true"), 200)
        assert resources(now)["requests"] == {"cpu": "130m", "memory": "32Mi"}
        entry = next(e for e in now["metadata"]["managedFields"] if e["manager"] == "m")
        assert (entry["operation"], entry["subresource"]) == ("Apply", "resize")

    def test_a_dry_run_changes_nothing(self, api: Api, url: str) -> None:
        before = api.read(url)
        tried = answer(api.patch(f"{url}/resize", change(limits={"cpu": "2"}), STRATEGIC, dryRun="All"), 200)
        assert resources(tried)["limits"]["cpu"] == "2"
        assert api.read(url) == before

    def test_a_new_limit_brings_its_request(self, api: Api, namespace: str) -> None:
        body = asking("q", {"requests": {"cpu": "100m"}}, schedulerName="nobody")
        api.create(path("pods", namespace), body)
        url = path("pods", namespace, "q")
        now = answer(api.patch(f"{url}/resize", change(limits={"memory": "64Mi"}), STRATEGIC), 200)
        assert resources(now) == {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}

    def test_leaves_the_rest_alone(self, api: Api, url: str) -> None:
        obj = api.read(url)
        obj["metadata"]["labels"]["new"] = "label"
        obj["metadata"]["annotations"] = {"new": "annotation"}
        obj["spec"]["containers"][0]["image"] = "example.com/other:1"
        obj["spec"]["activeDeadlineSeconds"] = 5
        obj["status"]["phase"] = "Failed"
        obj["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "300m"
        now = api.replace(f"{url}/resize", obj)
        assert resources(now)["limits"]["cpu"] == "300m"
        assert now["metadata"]["labels"] == {"app": "p"}
        assert "annotations" not in now["metadata"]
        assert now["spec"]["containers"][0]["image"] == "example.com/simulated:1"
        assert "activeDeadlineSeconds" not in now["spec"]
        assert now["status"]["phase"] == "Pending"


class TestWhatIsRefused:
    def refused(self, api: Api, url: str, edit: Callable[[Obj], object], field: str, says: str) -> None:
        obj = api.read(url)
        edit(obj["spec"])
        found = causes(failure(api.put(f"{url}/resize", obj), 422, "Invalid"))
        assert says in found[field]

    @pytest.mark.parametrize(
        ("new", "field", "says"),
        [
            ({"requests": {"cpu": "1", "memory": "32Mi"}, "limits": BURSTABLE["limits"]}, "spec.containers[0].resources.requests", "must be less than or equal to cpu limit"),
            ({"requests": {"cpu": "-1", "memory": "32Mi"}, "limits": BURSTABLE["limits"]}, "spec.containers[0].resources.requests[cpu]", "must be greater than or equal to 0"),
            ({"requests": BURSTABLE["limits"], "limits": BURSTABLE["limits"]}, "spec", "Pod QOS Class may not change"),
            ({}, "spec", "Pod QOS Class may not change"),
            ({"requests": BURSTABLE["requests"]}, "spec.containers[0].resources.limits", "resource limits cannot be removed"),
            ({"requests": BURSTABLE["requests"], "limits": {"cpu": "200m"}}, "spec.containers[0].resources.limits", "resource limits cannot be removed"),
            ({**BURSTABLE, "requests": {**BURSTABLE["requests"], "ephemeral-storage": "1Gi"}}, "spec", "only cpu and memory resources are mutable"),
        ],
    )  # fmt: skip
    def test_of_the_amounts(self, api: Api, url: str, new: Obj, field: str, says: str) -> None:
        self.refused(api, url, lambda spec: spec["containers"][0].update(resources=new), field, says)

    @pytest.mark.parametrize(
        ("edit", "field", "says"),
        [
            (lambda s: s["containers"].append({**s["containers"][0], "name": "b"}), "spec.containers", "added or removed"),
            (lambda s: s["containers"][0].update(name="b"), "spec.containers[0].name", "renamed or reordered"),
            (lambda s: s["containers"][0].update(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}]), "spec", "only cpu and memory"),
        ],
    )  # fmt: skip
    def test_of_the_containers(self, api: Api, url: str, edit: Callable[[Obj], object], field: str, says: str) -> None:
        self.refused(api, url, edit, field, says)

    def test_of_init_containers(self, api: Api, namespace: str) -> None:
        body = asking("q", BURSTABLE, schedulerName="nobody")
        body["spec"]["initContainers"] = [{"name": "first", "image": "i", "resources": BURSTABLE}]
        api.create(path("pods", namespace), body)
        url = path("pods", namespace, "q")
        new = {**BURSTABLE, "limits": {"cpu": "300m", "memory": "64Mi"}}
        patch = {"spec": {"initContainers": [{"name": "first", "resources": new}]}}
        assert (
            answer(api.patch(f"{url}/resize", patch, STRATEGIC), 200)["spec"]["initContainers"][0]["resources"] == new
        )
        new = {"requests": {"cpu": "100m"}}
        self.refused(
            api,
            url,
            lambda spec: spec["initContainers"][0].update(resources=new),
            "spec.initContainers[0].resources.limits",
            "resource limits cannot be removed",
        )

    def test_a_plain_update_of_resources(self, api: Api, url: str) -> None:
        found = causes(failure(api.patch(url, change(limits={"cpu": "1"}), STRATEGIC), 422, "Invalid"))
        assert "pod updates may not change fields other than" in found["spec"]

    def test_without_the_right(self, target: Target, api: Api, namespace: str, url: str, unique: str) -> None:
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]
        role = {"metadata": {"name": "pods"}, "rules": rules}
        api.create(path("roles", namespace), role)
        binding = {
            "metadata": {"name": "pods"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
            "subjects": [{"kind": "User", "name": unique}],
        }
        api.create(path("rolebindings", namespace), binding)
        user = target.user(unique)
        wait_for("the right to read", lambda: user.get(url).status_code == 200)
        failure(user.patch(f"{url}/resize", change(limits={"cpu": "1"}), STRATEGIC), 403, "Forbidden")
        rules[0]["resources"] = ["pods/resize"]
        api.merge(path("roles", namespace, "pods"), {"rules": rules})
        patch = change(limits={"cpu": "1"})
        wait_for("the right to resize", lambda: user.patch(f"{url}/resize", patch, STRATEGIC).status_code == 200)

    @pytest.mark.parametrize(
        ("policy", "says"),
        [
            ([{"resourceName": "cpu"}], "Required value"),
            ([{"resourceName": "disk", "restartPolicy": "NotRequired"}], "supported values"),
            ([{"resourceName": "cpu", "restartPolicy": "Sometimes"}], "supported values"),
            ([{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2, "Duplicate value"),
        ],
    )
    def test_policies_that_are_none(self, api: Api, namespace: str, policy: list[Obj], says: str) -> None:
        body = asking("q", BURSTABLE, container={"resizePolicy": policy})
        found = causes(failure(api.post(path("pods", namespace), body), 422, "Invalid"))
        assert any(
            field.startswith("spec.containers[0].resizePolicy") and says in text for field, text in found.items()
        )

    def test_a_restart_of_what_never_restarts(self, api: Api, namespace: str) -> None:
        policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
        body = asking("q", BURSTABLE, container={"resizePolicy": policy}, restartPolicy="Never")
        found = causes(failure(api.post(path("pods", namespace), body), 422, "Invalid"))
        assert "must be 'NotRequired'" in found["spec.containers[0].resizePolicy"]
        body = asking("q", BURSTABLE)
        body["spec"]["initContainers"] = [{"name": "first", "image": "i", "resizePolicy": policy}]
        found = causes(failure(api.post(path("pods", namespace), body), 422, "Invalid"))
        assert "non-sidecar" in found["spec.initContainers[0].resizePolicy[0].restartPolicy"]


class TestOnANode:
    """What a kubelet makes of it; its pods run in name only."""

    def run(self, api: Api, namespace: str, body: Obj, node: str) -> str:
        body["spec"]["nodeName"] = node
        api.create(path("pods", namespace), body)
        url = path("pods", namespace, body["metadata"]["name"])
        wait_for("running", lambda: (condition(api.read(url), "Ready") or {}).get("status") == "True")
        return url

    def resized(self, api: Api, url: str) -> Obj | None:
        """The pod, once all that it asks for is in force."""
        now = api.read(url)
        status = now["status"]["containerStatuses"][0]
        settled = not any(condition(now, kind) for kind in ("PodResizePending", "PodResizeInProgress"))
        observed = now["status"].get("observedGeneration") == now["metadata"]["generation"]
        return now if observed and settled and status.get("resources") == resources(now) else None

    def test_it_comes_true(self, api: Api, namespace: str, nodes: list[str]) -> None:
        url = self.run(api, namespace, asking("p", BURSTABLE), nodes[0])
        before = api.read(url)
        first = before["status"]["containerStatuses"][0]
        assert first["resources"] == BURSTABLE
        assert first["allocatedResources"] == BURSTABLE["requests"]
        assert before["status"]["observedGeneration"] == before["metadata"]["generation"]
        answer(api.patch(f"{url}/resize", change(requests={"cpu": "150m"}, limits={"cpu": "300m"}), STRATEGIC), 200)
        now = wait_for("resized", lambda: self.resized(api, url))
        second = now["status"]["containerStatuses"][0]
        assert second["allocatedResources"] == {"cpu": "150m", "memory": "32Mi"}
        assert (second["restartCount"], second["containerID"]) == (0, first["containerID"])
        assert (condition(now, "Ready") or {})["observedGeneration"] == now["metadata"]["generation"]

        def told() -> bool:
            events = api.read(path("events", namespace), fieldSelector="involvedObject.name=p")["items"]
            return {"ResizeStarted", "ResizeCompleted"} <= {event["reason"] for event in events}

        wait_for("told by Events", told)

    def test_a_container_restarts_that_asks_for_it(self, api: Api, namespace: str, nodes: list[str]) -> None:
        policy = [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "RestartContainer"},
        ]
        url = self.run(api, namespace, asking("p", BURSTABLE, container={"resizePolicy": policy}), nodes[0])
        answer(api.patch(f"{url}/resize", change(limits={"cpu": "300m"}), STRATEGIC), 200)
        now = wait_for("resized without a restart", lambda: self.resized(api, url))
        assert now["status"]["containerStatuses"][0]["restartCount"] == 0
        answer(api.patch(f"{url}/resize", change(limits={"memory": "96Mi"}), STRATEGIC), 200)
        now = wait_for("resized by a restart", lambda: self.resized(api, url))
        assert now["status"]["containerStatuses"][0]["restartCount"] == 1
        wait_for("ready again", lambda: (condition(api.read(url), "Ready") or {}).get("status") == "True")

    def test_more_than_the_node_has(self, api: Api, namespace: str, nodes: list[str]) -> None:
        url = self.run(api, namespace, asking("p", {"requests": {"cpu": "10m"}}), nodes[0])
        before = api.read(url)
        response = api.patch(f"{url}/resize", change(requests={"cpu": "4000"}), STRATEGIC)
        status = failure(response, 403, "Forbidden")
        assert "node didn't have enough allocatable resources: cpu, requested: 4000000" in status["message"]
        assert [cause["reason"] for cause in status["details"]["causes"]] == ["NodeCapacity"]
        assert api.read(url)["spec"] == before["spec"]

    def test_no_room_for_now(self, api: Api, namespace: str, nodes: list[str]) -> None:
        node = nodes[1]
        cores = int(api.read(path("nodes", name=node))["status"]["allocatable"]["cpu"])
        half = f"{cores * 500}m"
        url = self.run(api, namespace, asking("p", {"requests": {"cpu": "10m"}}), node)
        other = self.run(api, namespace, asking("q", {"requests": {"cpu": half}}), node)
        more = f"{cores * 500 + 100}m"
        answer(api.patch(f"{url}/resize", change(requests={"cpu": more}), STRATEGIC), 200)
        now = wait_for("deferred", lambda: (p := api.read(url)) and condition(p, "PodResizePending") and p)
        pending = condition(now, "PodResizePending") or {}
        assert (pending["status"], pending["reason"]) == ("True", "Deferred")
        assert pending["observedGeneration"] == now["metadata"]["generation"]
        assert "didn't have enough resource: cpu" in pending["message"]
        status = now["status"]["containerStatuses"][0]
        assert (status["resources"], status["allocatedResources"]) == ({"requests": {"cpu": "10m"}}, {"cpu": "10m"})
        api.remove(other)
        now = wait_for("resized when there is room", lambda: self.resized(api, url))
        assert now["status"]["containerStatuses"][0]["resources"] == {"requests": {"cpu": more}}
        api.remove(url, {"gracePeriodSeconds": 0})  # the next test wants the room

    def test_the_scheduler_counts_what_is_asked(self, api: Api, namespace: str, nodes: list[str]) -> None:
        """A pod that still has more than it asks for takes no room away from others twice."""
        node = nodes[1]
        cores = int(api.read(path("nodes", name=node))["status"]["allocatable"]["cpu"])
        url = self.run(api, namespace, asking("p", {"requests": {"cpu": "10m"}}), node)
        answer(api.patch(f"{url}/resize", change(requests={"cpu": f"{cores * 1000 - 400}m"}), STRATEGIC), 200)
        # Pods of other tests may still be on their way out.
        wait_for("resized", lambda: self.resized(api, url), timeout=60)
        selector = {"kubernetes.io/hostname": node}
        api.create(path("pods", namespace), asking("q", {"requests": {"cpu": "500m"}}, nodeSelector=selector))
        waiting = path("pods", namespace, "q")
        wait_for("no room", lambda: (condition(api.read(waiting), "PodScheduled") or {}).get("status") == "False")
        answer(api.patch(f"{url}/resize", change(requests={"cpu": "10m"}), STRATEGIC), 200)
        wait_for("room", lambda: api.read(waiting)["spec"].get("nodeName") == node, timeout=60)

    def test_a_kubelet_that_restarts_goes_on(self, target: Target, api: Api, namespace: str, nodes: list[str]) -> None:
        url = self.run(api, namespace, asking("p", BURSTABLE), nodes[0])
        answer(api.patch(f"{url}/resize", change(limits={"cpu": "300m"}), STRATEGIC), 200)
        wait_for("resized", lambda: self.resized(api, url))
        target.kubelets.processes[nodes[0]].kill()
        answer(api.patch(f"{url}/resize", change(limits={"cpu": "400m"}), STRATEGIC), 200)
        target.kubelets.start(nodes[0])
        now = wait_for("resized again", lambda: self.resized(api, url), timeout=30)
        assert now["status"]["containerStatuses"][0]["restartCount"] == 0

    def test_a_deployment_rolls_out(self, api: Api, namespace: str, nodes: list[str]) -> None:
        """A template is no pod: its change makes new ones, and a resize of a pod leaves its template alone."""
        body = deployment("d")
        body["spec"]["template"]["spec"]["containers"][0]["resources"] = BURSTABLE
        api.create(path("deployments", namespace), body)

        def pods() -> list[Obj]:
            listed = api.read(path("pods", namespace), labelSelector="app=d")["items"]
            return [p for p in listed if "deletionTimestamp" not in p["metadata"] and p["status"]["phase"] == "Running"]

        (first,) = wait_for("running", pods)
        url = path("pods", namespace, first["metadata"]["name"])
        answer(api.patch(f"{url}/resize", change(limits={"cpu": "300m"}), STRATEGIC), 200)
        wait_for("resized", lambda: self.resized(api, url))
        template = api.read(path("deployments", namespace, "d"))["spec"]["template"]
        assert template["spec"]["containers"][0]["resources"] == BURSTABLE
        patch = {"spec": {"template": change(limits={"cpu": "400m"})}}
        answer(api.patch(path("deployments", namespace, "d"), patch, STRATEGIC), 200)
        wait_for(
            "replaced",
            lambda: [p["metadata"]["uid"] for p in pods()] not in ([], [first["metadata"]["uid"]]) and len(pods()) == 1,
        )
        assert resources(pods()[0])["limits"]["cpu"] == "400m"


def test_templates_that_follow_make_no_rollout(api: Api, namespace: str, nodes: list[str]) -> None:
    """A Deployment whose template changes together with that of its ReplicaSet, while it is paused, has nothing to roll out."""
    body = deployment("d", revisionHistoryLimit=2)
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = BURSTABLE
    url = path("deployments", namespace, "d")
    api.apply(url, body, "owner")

    def pods() -> list[Obj]:
        listed = api.read(path("pods", namespace), labelSelector="app=d")["items"]
        return [p for p in listed if "deletionTimestamp" not in p["metadata"] and p["status"]["phase"] == "Running"]

    (first,) = wait_for("running", pods)
    new = {**BURSTABLE, "limits": {"cpu": "300m", "memory": "96Mi"}}
    answer(api.patch(f"{path('pods', namespace, first['metadata']['name'])}/resize", change(**new), STRATEGIC), 200)
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = new
    api.apply(url, {**body, "spec": {**body["spec"], "paused": True}}, "owner", force="true")
    (replica_set,) = api.read(path("replicasets", namespace))["items"]
    name = replica_set["metadata"]["name"]
    follows = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}}
    rs_url = path("replicasets", namespace, name)
    written = api.apply(rs_url, {**follows, "spec": {"template": change(**new)}}, "owner", force="true")
    generation = written["metadata"]["generation"]
    wait_for("seen", lambda: api.read(rs_url)["status"].get("observedGeneration") == generation)
    made = api.apply(url, body, "owner", force="true")
    assert "paused" not in made["spec"]

    def goes_on() -> bool:
        now = api.read(url)
        done = now["status"].get("observedGeneration") == now["metadata"]["generation"]
        return bool(done and now["status"].get("updatedReplicas") == now["status"].get("availableReplicas") == 1)

    wait_for("it goes on", goes_on)
    (replica_set,) = api.read(path("replicasets", namespace))["items"]
    assert (replica_set["metadata"]["name"], replica_set["spec"]["replicas"]) == (name, 1)
    (still,) = pods()
    assert still["metadata"]["uid"] == first["metadata"]["uid"]
    api.remove(path("pods", namespace, first["metadata"]["name"]), {"gracePeriodSeconds": 0})
    (second,) = wait_for("made anew", lambda: [p for p in pods() if p["metadata"]["uid"] != first["metadata"]["uid"]])
    assert resources(second) == new
    # Back to what it was: the hash of that template is taken, and Kubernetes knows what to do about it.
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = BURSTABLE
    api.apply(url, body, "owner", force="true")
    wait_for("rolled out", lambda: [resources(p) for p in pods()] == [BURSTABLE])
    assert api.read(url)["status"].get("collisionCount") == 1


def test_kubectl_patches_it(kubectl: Kubectl, api: Api, namespace: str, nodes: list[str]) -> None:
    body = asking("p", BURSTABLE, nodeName=nodes[0])
    api.create(path("pods", namespace), body)
    url = path("pods", namespace, "p")
    wait_for("running", lambda: api.read(url)["status"]["phase"] == "Running")
    patch = json.dumps(change(limits={"cpu": "250m"}))
    ran = kubectl.run("patch", "pod", "p", "--subresource", "resize", "--patch", patch)
    if "subresource" in ran.err:
        pytest.skip(f"this kubectl does not know the subresource: {ran.err.strip()}")
    assert ran.code == 0, ran.err
    wait_for("resized", lambda: api.read(url)["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == "250m")
    assert "250m" in kubectl("describe", "pod", "p").out
