"""Create, read, update, delete: names, versions, generations, concurrency, dry runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from kube_api import Api, Obj, causes, config_map, deployment, failure, names, path, pod, version

URL = "configmaps"


def test_created_object_is_complete(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("one"))
    assert (created["apiVersion"], created["kind"]) == ("v1", "ConfigMap")
    assert created["data"] == {"key": "value"}
    metadata = created["metadata"]
    assert metadata["name"] == "one"
    assert metadata["namespace"] == namespace
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    made = datetime.strptime(metadata["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - made).total_seconds()) < 60
    assert metadata["resourceVersion"].isdigit()
    assert "generation" not in metadata
    assert api.read(path(URL, namespace, "one")) == created


def test_kind_and_version_may_be_left_out(api: Api, namespace: str) -> None:
    """The path says what it is."""
    created = api.create(path(URL, namespace), {"metadata": {"name": "bare"}})
    assert (created["apiVersion"], created["kind"]) == ("v1", "ConfigMap")


def test_system_fields_cannot_be_chosen(api: Api, namespace: str) -> None:
    mine = {"uid": "11111111-1111-1111-1111-111111111111", "creationTimestamp": "2001-01-01T00:00:00Z"}
    created = api.create(path(URL, namespace), config_map("chosen", **mine))
    assert created["metadata"]["uid"] != mine["uid"]
    assert created["metadata"]["creationTimestamp"] != mine["creationTimestamp"]
    created["metadata"]["creationTimestamp"] = mine["creationTimestamp"]
    replaced = api.replace(path(URL, namespace, "chosen"), created)
    assert replaced["metadata"]["creationTimestamp"] != mine["creationTimestamp"]


def test_generate_name(api: Api, namespace: str) -> None:
    made = set()
    for _ in range(5):
        created = api.create(
            path(URL, namespace), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
        )
        assert re.fullmatch(r"gen-[bcdfghjklmnpqrstvwxz2456789]{5}", created["metadata"]["name"])
        assert created["metadata"]["generateName"] == "gen-"
        made.add(created["metadata"]["name"])
    assert len(made) == 5


def test_a_name_wins_over_generate_name(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("given", generateName="gen-"))
    assert created["metadata"]["name"] == "given"


def test_name_is_required(api: Api, namespace: str) -> None:
    status = failure(api.post(path(URL, namespace), {"kind": "ConfigMap", "apiVersion": "v1"}), 422, "Invalid")
    assert causes(status)["metadata.name"] == "Required value: name or generateName is required"


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.", "x" * 254, "sp ace", "sl/ash"])
def test_names_are_checked(api: Api, namespace: str, name: str) -> None:
    status = failure(api.post(path(URL, namespace), config_map(name)), 422, "Invalid")
    assert "metadata.name" in causes(status)
    assert status["details"]["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {"bad key!": "x"}),
        ("labels", {"key": "bad value!"}),
        ("labels", {"key": "x" * 64}),
        ("annotations", {"bad key!": "x"}),
        ("finalizers", ["unqualified"]),
        ("ownerReferences", [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}]),
    ],
)
def test_metadata_is_checked(api: Api, namespace: str, field: str, value: object) -> None:
    status = failure(api.post(path(URL, namespace), config_map("meta", **{field: value})), 422, "Invalid")
    assert any(where.startswith(f"metadata.{field}") for where in causes(status)), status


def test_already_exists(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), config_map("twice"))
    status = failure(api.post(path(URL, namespace), config_map("twice")), 409, "AlreadyExists")
    assert status["message"] == 'configmaps "twice" already exists'
    assert status["details"] == {"name": "twice", "kind": "configmaps"}


def test_not_found(api: Api, namespace: str) -> None:
    for response in (
        api.get(path(URL, namespace, "none")),
        api.delete(path(URL, namespace, "none")),
        api.patch(path(URL, namespace, "none"), {"data": {}}),
    ):
        status = failure(response, 404, "NotFound")
        assert status["message"] == 'configmaps "none" not found'
        assert status["details"] == {"name": "none", "kind": "configmaps"}
    status = failure(api.get(path("deployments", namespace, "none")), 404, "NotFound")
    assert status["message"] == 'deployments.apps "none" not found'
    assert status["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


def test_namespace_has_to_exist(api: Api) -> None:
    status = failure(api.post(path(URL, "no-such-namespace"), config_map("x")), 404, "NotFound")
    assert status["message"] == 'namespaces "no-such-namespace" not found'
    assert api.read(path(URL, "no-such-namespace"))["items"] == []


def test_namespace_of_path_and_object_have_to_agree(api: Api, namespace: str) -> None:
    failure(api.post(path(URL, namespace), config_map("x", namespace="default")), 400, "BadRequest")


def test_kind_of_path_and_object_have_to_agree(api: Api, namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    failure(api.post(path(URL, namespace), secret), 400, "BadRequest")
    other = {**config_map("x"), "apiVersion": "v2"}
    failure(api.post(path(URL, namespace), other), 400, "BadRequest")


def test_resource_version_is_not_for_creation(api: Api, namespace: str) -> None:
    response = api.post(path(URL, namespace), config_map("x", resourceVersion="1"))
    assert response.status_code >= 400
    assert "resourceVersion should not be set on objects to be created" in response.json()["message"]


def test_replace_with_the_version_read(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("cm"))
    url = path(URL, namespace, "cm")
    newer = api.replace(url, {**created, "data": {"key": "two"}})
    assert version(newer) > version(created)
    assert newer["metadata"]["uid"] == created["metadata"]["uid"]
    status = failure(api.put(url, {**created, "data": {"key": "three"}}), 409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "cm": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert status["details"] == {"name": "cm", "kind": "configmaps"}
    assert api.read(url)["data"] == {"key": "two"}


def test_replace_without_a_version_takes_the_newest(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), config_map("cm"))
    replaced = api.replace(path(URL, namespace, "cm"), config_map("cm", {"other": "x"}))
    assert replaced["data"] == {"other": "x"}


def test_replace_drops_what_is_not_sent(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), config_map("cm", labels={"a": "b"}))
    replaced = api.replace(path(URL, namespace, "cm"), config_map("cm"))
    assert "labels" not in replaced["metadata"]


def test_replace_of_what_is_not_there(api: Api, namespace: str) -> None:
    failure(api.put(path(URL, namespace, "none"), config_map("none")), 404, "NotFound")


def test_replace_needs_the_name_of_the_path(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), config_map("cm"))
    status = failure(api.put(path(URL, namespace, "cm"), config_map("other")), 400, "BadRequest")
    assert status["message"] == "the name of the object (other) does not match the name on the URL (cm)"


def test_replace_with_another_uid(api: Api, namespace: str) -> None:
    api.create(path(URL, namespace), config_map("cm"))
    wrong = config_map("cm", uid="11111111-1111-1111-1111-111111111111")
    failure(api.put(path(URL, namespace, "cm"), wrong), 409, "Conflict")


def test_writing_the_same_changes_no_version(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("cm"))
    url = path(URL, namespace, "cm")
    assert version(api.replace(url, created)) == version(created)
    assert version(api.merge(url, {"data": {"key": "value"}})) == version(created)


def test_resource_versions_are_one_order_over_all_kinds(api: Api, namespace: str) -> None:
    first = api.create(path(URL, namespace), config_map("cm"))
    second = api.create(path("secrets", namespace), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    third = api.create(path(URL, namespace), config_map("cm2"))
    assert version(first) < version(second) < version(third)


def test_generation_counts_changes_of_the_wish(api: Api, namespace: str) -> None:
    url = path("deployments", namespace, "web")
    created = api.create(path("deployments", namespace), deployment("web", replicas=0, paused=True))
    assert created["metadata"]["generation"] == 1
    labelled = api.merge(url, {"metadata": {"labels": {"x": "y"}}})
    assert labelled["metadata"]["generation"] == 1
    assert api.merge(url, {"spec": {"minReadySeconds": 3}})["metadata"]["generation"] == 2
    reported = api.merge(f"{url}/status", {"status": {"observedGeneration": 2}})
    assert reported["metadata"]["generation"] == 2


def test_status_is_written_apart(api: Api, namespace: str) -> None:
    """Pods are bound to a node that does not exist: no kubelet interferes."""
    body = pod("apart", nodeName="nowhere")
    created = api.create(path("pods", namespace), {**body, "status": {"message": "mine"}})
    assert created["status"].get("message") is None
    assert created["status"]["phase"] == "Pending"
    url = path("pods", namespace, "apart")
    assert "message" not in api.merge(url, {"status": {"message": "mine"}})["status"]
    now = api.merge(f"{url}/status", {"status": {"message": "mine"}, "spec": {"activeDeadlineSeconds": 9}})
    assert now["status"]["message"] == "mine"
    assert "activeDeadlineSeconds" not in now["spec"]
    assert api.read(f"{url}/status")["status"]["message"] == "mine"


def test_delete(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("cm"))
    url = path(URL, namespace, "cm")
    status = api.remove(url)
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {"name": "cm", "kind": "configmaps", "uid": created["metadata"]["uid"]}
    failure(api.get(url), 404, "NotFound")
    again = api.create(path(URL, namespace), config_map("cm"))
    assert again["metadata"]["uid"] != created["metadata"]["uid"]


def test_delete_with_preconditions(api: Api, namespace: str) -> None:
    created = api.create(path(URL, namespace), config_map("cm"))
    url = path(URL, namespace, "cm")
    wrong_uid = {"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}}
    failure(api.delete(url, wrong_uid), 409, "Conflict")
    newer = api.merge(url, {"data": {"key": "two"}})
    old = {"preconditions": {"resourceVersion": created["metadata"]["resourceVersion"]}}
    failure(api.delete(url, old), 409, "Conflict")
    right = {"uid": created["metadata"]["uid"], "resourceVersion": newer["metadata"]["resourceVersion"]}
    api.remove(url, {"preconditions": right})
    assert api.gone(url)


def test_delete_collection(api: Api, namespace: str) -> None:
    for index in range(4):
        api.create(path(URL, namespace), config_map(f"cm-{index}", labels={"even": str(index % 2 == 0).lower()}))
    deleted = api.remove(path(URL, namespace), labelSelector="even=true")
    assert deleted["kind"] == "ConfigMapList"
    assert names(deleted) == ["cm-0", "cm-2"]
    left = names(api.read(path(URL, namespace), labelSelector="even"))
    assert left == ["cm-1", "cm-3"]


class TestDryRun:
    def test_create(self, api: Api, namespace: str) -> None:
        made = api.create(path(URL, namespace), config_map("dry"), dryRun="All")
        assert made["metadata"]["uid"]
        assert api.gone(path(URL, namespace, "dry"))

    def test_create_is_checked(self, api: Api, namespace: str) -> None:
        failure(api.post(path(URL, namespace), config_map("Bad"), dryRun="All"), 422, "Invalid")
        api.create(path(URL, namespace), config_map("there"))
        failure(api.post(path(URL, namespace), config_map("there"), dryRun="All"), 409, "AlreadyExists")

    def test_update_patch_and_delete(self, api: Api, namespace: str) -> None:
        created = api.create(path(URL, namespace), config_map("dry"))
        url = path(URL, namespace, "dry")
        assert api.replace(url, config_map("dry", {"a": "b"}), dryRun="All")["data"] == {"a": "b"}
        assert api.merge(url, {"data": {"a": "b"}}, dryRun="All")["data"] == {"key": "value", "a": "b"}
        api.remove(url, dryRun="All")
        api.remove(url, {"dryRun": ["All"]})
        assert api.read(url) == created

    def test_other_values_are_refused(self, api: Api, namespace: str) -> None:
        failure(api.post(path(URL, namespace), config_map("dry"), dryRun="Some"), 422, "Invalid")
        assert api.gone(path(URL, namespace, "dry"))


class TestDefaults:
    def test_pod(self, api: Api, namespace: str) -> None:
        body = pod("defaults", nodeName="nowhere")
        body["spec"]["containers"].append(
            {"name": "latest", "image": "example.com/x", "ports": [{"containerPort": 80}]}
        )
        spec = api.create(path("pods", namespace), body)["spec"]
        assert spec["restartPolicy"] == "Always"
        assert spec["dnsPolicy"] == "ClusterFirst"
        assert spec["terminationGracePeriodSeconds"] == 30
        assert spec["schedulerName"] == "default-scheduler"
        assert spec["securityContext"] == {}
        tagged, latest = spec["containers"]
        assert tagged["imagePullPolicy"] == "IfNotPresent"
        assert latest["imagePullPolicy"] == "Always"
        assert latest["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
        assert tagged["resources"] == {}
        assert tagged["terminationMessagePath"] == "/dev/termination-log"

    def test_deployment(self, api: Api, namespace: str) -> None:
        body = deployment("defaults", paused=True)
        del body["spec"]["replicas"]
        spec = api.create(path("deployments", namespace), body)["spec"]
        assert spec["replicas"] == 1
        assert spec["revisionHistoryLimit"] == 10
        assert spec["progressDeadlineSeconds"] == 600
        assert spec["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        }
        assert spec["template"]["spec"]["restartPolicy"] == "Always"

    def test_service(self, api: Api, namespace: str) -> None:
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"}, "spec": {"ports": [{"port": 80}]}}
        spec = api.create(path("services", namespace), body)["spec"]
        assert spec["type"] == "ClusterIP"
        assert spec["sessionAffinity"] == "None"
        assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
        assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", spec["clusterIP"])
        assert spec["clusterIPs"] == [spec["clusterIP"]]

    def test_headless_service(self, api: Api, namespace: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "headless"},
            "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
        }
        assert api.create(path("services", namespace), body)["spec"]["clusterIP"] == "None"

    def test_secret(self, api: Api, namespace: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "secret"},
            "data": {"kept": "eA=="},
            "stringData": {"text": "hello"},
        }
        created = api.create(path("secrets", namespace), body)
        assert created["type"] == "Opaque"
        assert created["data"] == {"kept": "eA==", "text": "aGVsbG8="}
        assert "stringData" not in created


class TestChecksOfKinds:
    def refused(self, api: Api, url: str, body: Obj) -> dict[str, str]:
        return causes(failure(api.post(url, body), 422, "Invalid"))

    def test_deployment_needs_a_selector_that_fits(self, api: Api, namespace: str) -> None:
        url = path("deployments", namespace)
        without = deployment("d")
        del without["spec"]["selector"]
        assert "spec.selector" in self.refused(api, url, without)
        unlike = deployment("d")
        unlike["spec"]["selector"]["matchLabels"] = {"app": "other"}
        found = self.refused(api, url, unlike)
        assert "`selector` does not match template `labels`" in found["spec.template.metadata.labels"]

    def test_deployment_selector_is_immutable(self, api: Api, namespace: str) -> None:
        api.create(path("deployments", namespace), deployment("d", paused=True))
        patch = {
            "spec": {"selector": {"matchLabels": {"more": "x"}}, "template": {"metadata": {"labels": {"more": "x"}}}}
        }
        status = failure(api.patch(path("deployments", namespace, "d"), patch), 422, "Invalid")
        assert "field is immutable" in causes(status)["spec.selector"]

    def test_containers_need_name_and_image(self, api: Api, namespace: str) -> None:
        body = deployment("d")
        body["spec"]["template"]["spec"]["containers"] = [{}]
        found = self.refused(api, path("deployments", namespace), body)
        assert found["spec.template.spec.containers[0].name"].startswith("Required value")
        assert found["spec.template.spec.containers[0].image"].startswith("Required value")
        empty = pod("p")
        empty["spec"]["containers"] = []
        assert self.refused(api, path("pods", namespace), empty)["spec.containers"].startswith("Required value")

    def test_container_names_are_unique(self, api: Api, namespace: str) -> None:
        body = pod("p")
        body["spec"]["containers"] *= 2
        found = self.refused(api, path("pods", namespace), body)
        assert found["spec.containers[1].name"].startswith("Duplicate value")

    def test_enumerations(self, api: Api, namespace: str) -> None:
        found = self.refused(api, path("pods", namespace), pod("p", restartPolicy="Sometimes"))
        assert found["spec.restartPolicy"].startswith("Unsupported value")

    def test_quantities(self, api: Api, namespace: str) -> None:
        body = pod("p")
        body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "many"}}
        response = api.post(path("pods", namespace), body)
        assert response.status_code in (400, 422)

    def test_most_of_a_pod_is_immutable(self, api: Api, namespace: str) -> None:
        api.create(path("pods", namespace), pod("p", nodeName="nowhere"))
        url = path("pods", namespace, "p")
        status = failure(api.patch(url, {"spec": {"hostname": "other"}}), 422, "Invalid")
        assert "pod updates may not change fields other than" in causes(status)["spec"]
        changed = api.merge(url, {"spec": {"containers": [{"name": "main", "image": "example.com/simulated:2"}]}})
        assert changed["spec"]["containers"][0]["image"].endswith(":2")

    def test_immutable_config_map(self, api: Api, namespace: str) -> None:
        api.create(path(URL, namespace), {**config_map("cm"), "immutable": True})
        status = failure(api.patch(path(URL, namespace, "cm"), {"data": {"key": "two"}}), 422, "Invalid")
        assert "field is immutable when `immutable` is set" in causes(status)["data"]

    def test_config_map_keys_and_size(self, api: Api, namespace: str) -> None:
        assert "data[a b]" in self.refused(api, path(URL, namespace), config_map("cm", {"a b": "x"}))
        failure(api.post(path(URL, namespace), config_map("cm", {"big": "x" * (1 << 20) + "x"})), 422, "Invalid")

    def test_secret_data_is_base64(self, api: Api, namespace: str) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "not base64!"}}
        failure(api.post(path("secrets", namespace), body), 400, "BadRequest")

    def test_service_ports(self, api: Api, namespace: str) -> None:
        body: Obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": []}}
        assert "spec.ports" in self.refused(api, path("services", namespace), body)
        body["spec"]["ports"] = [{"port": 70_000}]
        assert "spec.ports[0].port" in self.refused(api, path("services", namespace), body)
