"""JSON patches, merge patches, strategic merge patches."""

from __future__ import annotations

from typing import Any

import pytest
from kube_api import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Api,
    Obj,
    answer,
    causes,
    config_map,
    deployment,
    failure,
    path,
)
from kube_targets import Target


@pytest.fixture
def cm(api: Api, namespace: str) -> str:
    """URL of a ConfigMap {a: 1, b: 2, a/b: x}."""
    api.create(path("configmaps", namespace), config_map("cm", {"a": "1", "b": "2"}, annotations={"x/y": "z"}))
    return path("configmaps", namespace, "cm")


@pytest.fixture
def deploy(api: Api, namespace: str) -> str:
    """URL of a paused Deployment with two containers."""
    body = deployment("d", paused=True)
    body["spec"]["template"]["spec"] = {
        "containers": [
            {
                "name": "one",
                "image": "example.com/one:1",
                "args": ["x", "y"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"containerPort": 80, "name": "http"}],
            },
            {"name": "two", "image": "example.com/two:1"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "nodeSelector": {"a": "1", "b": "2"},
    }
    api.create(path("deployments", namespace), body)
    return path("deployments", namespace, "d")


class TestMerge:
    def test_merges_objects_and_removes_nulls(self, api: Api, cm: str) -> None:
        patched = api.merge(cm, {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"l": "m"}}})
        assert patched["data"] == {"b": "2", "c": "3"}
        assert patched["metadata"]["labels"] == {"l": "m"}

    def test_replaces_lists(self, api: Api, deploy: str) -> None:
        new = [{"name": "three", "image": "example.com/three:1"}]
        patched = api.merge(deploy, {"spec": {"template": {"spec": {"containers": new}}}})
        assert [c["name"] for c in patched["spec"]["template"]["spec"]["containers"]] == ["three"]

    def test_checks_a_version_in_the_patch(self, api: Api, cm: str) -> None:
        old = api.read(cm)["metadata"]["resourceVersion"]
        newer = api.merge(cm, {"metadata": {"resourceVersion": old}, "data": {"a": "2"}})
        assert newer["data"]["a"] == "2"
        failure(api.patch(cm, {"metadata": {"resourceVersion": old}, "data": {"a": "3"}}), 409, "Conflict")

    def test_checks_a_uid_in_the_patch(self, api: Api, cm: str) -> None:
        wrong = {"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}
        status = failure(api.patch(cm, wrong), 422, "Invalid")
        assert "field is immutable" in causes(status)["metadata.uid"]

    def test_cannot_rename(self, api: Api, cm: str) -> None:
        assert api.patch(cm, {"metadata": {"name": "other"}}).status_code in (400, 422)
        assert api.patch(cm, {"metadata": {"namespace": "default"}}).status_code in (400, 422)

    @pytest.mark.parametrize("text", ["", "{", "[]", '"text"'])
    def test_malformed(self, api: Api, cm: str, text: str) -> None:
        response = api.http.patch(cm, content=text, headers={"Content-Type": MERGE})
        failure(response, 400, "BadRequest")

    def test_result_is_checked(self, api: Api, cm: str) -> None:
        response = api.patch(cm, {"data": {"a": 1}})
        assert response.status_code in (400, 422)
        assert api.read(cm)["data"]["a"] == "1"

    def test_writers_of_different_fields_do_not_disturb_each_other(self, api: Api, cm: str) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: api.patch(cm, {"data": {f"k{i}": str(i)}}).status_code, range(40)))
        assert answers == [200] * 40
        assert {f"k{i}": str(i) for i in range(40)}.items() <= api.read(cm)["data"].items()


class TestJson:
    def patched(self, api: Api, url: str, *operations: Obj) -> Obj:
        return answer(api.patch(url, list(operations), JSON_PATCH), 200)

    def test_operations(self, api: Api, cm: str) -> None:
        data = self.patched(
            api,
            cm,
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "add", "path": "/data/c", "value": "3"},
            {"op": "replace", "path": "/data/a", "value": "one"},
            {"op": "copy", "from": "/data/b", "path": "/data/copied"},
            {"op": "move", "from": "/data/b", "path": "/data/moved"},
            {"op": "remove", "path": "/data/c"},
        )["data"]
        assert data == {"a": "one", "copied": "2", "moved": "2"}

    def test_escapes(self, api: Api, cm: str) -> None:
        patched = self.patched(
            api,
            cm,
            {"op": "replace", "path": "/metadata/annotations/x~1y", "value": "w"},
            {"op": "add", "path": "/metadata/annotations/t~0", "value": "no"},
            {"op": "remove", "path": "/metadata/annotations/t~0"},
        )
        assert patched["metadata"]["annotations"] == {"x/y": "w"}

    def test_list_positions(self, api: Api, deploy: str) -> None:
        base = "/spec/template/spec/containers/0/args"
        patched = self.patched(
            api,
            deploy,
            {"op": "add", "path": f"{base}/-", "value": "z"},
            {"op": "add", "path": f"{base}/0", "value": "w"},
            {"op": "remove", "path": f"{base}/1"},
        )
        assert patched["spec"]["template"]["spec"]["containers"][0]["args"] == ["w", "y", "z"]

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/data/a", "value": "other"},
            {"op": "remove", "path": "/data/none"},
            {"op": "replace", "path": "/data/none/deeper", "value": "x"},
            {"op": "move", "from": "/data/none", "path": "/data/d"},
            {"op": "test", "path": "/data/none", "value": "x"},
            {"op": "add", "path": "/data/none/deeper", "value": "x"},
        ],
    )
    def test_what_cannot_be_done(self, api: Api, cm: str, operation: Obj) -> None:
        before = api.read(cm)
        response = api.patch(cm, [{"op": "add", "path": "/data/c", "value": "3"}, operation], JSON_PATCH)
        failure(response, 422, "Invalid")
        assert api.read(cm) == before

    def test_replace_may_add(self, api: Api, cm: str) -> None:
        """Unlike RFC 6902 has it (4.3), the key of an object need not be there."""
        assert self.patched(api, cm, {"op": "replace", "path": "/data/none", "value": "x"})["data"]["none"] == "x"

    def test_test_of_nothing(self, api: Api, cm: str) -> None:
        self.patched(api, cm, {"op": "test", "path": "/data/none", "value": None})

    @pytest.mark.parametrize("patch", [{}, "text", [1]])
    def test_malformed(self, api: Api, cm: str, patch: Any) -> None:
        failure(api.patch(cm, patch, JSON_PATCH), 400, "BadRequest")

    @pytest.mark.parametrize(
        "operation", [{"op": "twist", "path": "/data"}, {"path": "/data/b", "value": "1"}, {"op": "add", "value": "1"}]
    )
    def test_unknown_operation(self, api: Api, cm: str, operation: Obj) -> None:
        failure(api.patch(cm, [operation], JSON_PATCH), 422, "Invalid")

    def test_positions_from_the_end(self, api: Api, deploy: str) -> None:
        operation = {"op": "remove", "path": "/spec/template/spec/containers/0/args/-1"}
        patched = self.patched(api, deploy, operation)
        assert patched["spec"]["template"]["spec"]["containers"][0]["args"] == ["x"]

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "add", "path": "/data/d"},
            {"op": "copy", "from": "/data/none", "path": "/data/d"},
            {"op": "add", "path": "data/d", "value": "x"},
        ],
    )
    def test_what_kubernetes_guesses(self, target: Target, api: Api, cm: str, operation: Obj) -> None:
        """Its library is lax with what RFC 6902 forbids; we are not."""
        code = api.patch(cm, [operation], JSON_PATCH).status_code
        assert code == (422 if target.embedded else 200)


class TestStrategic:
    def patched(self, api: Api, url: str, spec: Obj) -> Obj:
        patch = {"spec": {"template": {"spec": spec}}}
        result: Obj = answer(api.patch(url, patch, STRATEGIC), 200)["spec"]["template"]["spec"]
        return result

    def test_lists_merge_by_key(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {
                "containers": [
                    {"name": "two", "image": "example.com/two:2"},
                    {"name": "one", "env": [{"name": "B", "value": "changed"}, {"name": "C", "value": "3"}]},
                ],
                "volumes": [{"name": "w", "emptyDir": {}}],
            },
        )
        containers = {container["name"]: container for container in spec["containers"]}
        assert containers["two"]["image"] == "example.com/two:2"
        assert containers["one"]["image"] == "example.com/one:1"
        env = {entry["name"]: entry["value"] for entry in containers["one"]["env"]}
        assert env == {"A": "1", "B": "changed", "C": "3"}
        assert {volume["name"] for volume in spec["volumes"]} == {"v", "w"}

    def test_ports_merge_by_number(self, api: Api, deploy: str) -> None:
        patch = {
            "containers": [{"name": "one", "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81}]}]
        }
        spec = self.patched(api, deploy, patch)
        ports = {port["containerPort"]: port.get("name") for port in spec["containers"][0]["ports"]}
        assert ports == {80: "web", 81: None}

    def test_other_lists_are_replaced(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {"tolerations": [{"key": "b", "operator": "Exists"}], "containers": [{"name": "one", "args": ["z"]}]},
        )
        assert spec["tolerations"] == [{"key": "b", "operator": "Exists"}]
        assert spec["containers"][0]["args"] == ["z"]

    def test_delete_directive(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {
                "containers": [
                    {"name": "two", "$patch": "delete"},
                    {"name": "one", "env": [{"name": "A", "$patch": "delete"}]},
                ]
            },
        )
        assert [container["name"] for container in spec["containers"]] == ["one"]
        assert spec["containers"][0]["env"] == [{"name": "B", "value": "2"}]

    def test_replace_directive(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {
                "containers": [{"$patch": "replace"}, {"name": "new", "image": "example.com/new:1"}],
                "nodeSelector": {"$patch": "replace", "c": "3"},
            },
        )
        assert [container["name"] for container in spec["containers"]] == ["new"]
        assert spec["nodeSelector"] == {"c": "3"}

    def test_order_directive(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {
                "$setElementOrder/containers": [{"name": "two"}, {"name": "three"}, {"name": "one"}],
                "containers": [{"name": "three", "image": "example.com/three:1"}],
            },
        )
        assert [container["name"] for container in spec["containers"]] == ["two", "three", "one"]

    def test_retain_keys_directive(self, api: Api, deploy: str) -> None:
        spec = self.patched(
            api,
            deploy,
            {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "cm"}}]},
        )
        volume = spec["volumes"][0]
        assert "emptyDir" not in volume
        assert volume["configMap"]["name"] == "cm"

    def test_lists_of_values(self, api: Api, cm: str) -> None:
        """Finalizers merge; `$deleteFromPrimitiveList` takes out."""
        api.merge(cm, {"metadata": {"finalizers": ["example.com/a"]}})
        both = answer(api.patch(cm, {"metadata": {"finalizers": ["example.com/b"]}}, STRATEGIC), 200)
        assert sorted(both["metadata"]["finalizers"]) == ["example.com/a", "example.com/b"]
        take = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}
        one = answer(api.patch(cm, take, STRATEGIC), 200)
        assert one["metadata"]["finalizers"] == ["example.com/b"]
        api.merge(cm, {"metadata": {"finalizers": None}})

    def test_nulls_remove(self, api: Api, deploy: str) -> None:
        spec = self.patched(api, deploy, {"nodeSelector": {"a": None}, "tolerations": None})
        assert spec["nodeSelector"] == {"b": "2"}
        assert "tolerations" not in spec

    def test_nothing_changes_nothing(self, api: Api, deploy: str) -> None:
        before = api.read(deploy)
        after = answer(api.patch(deploy, {"spec": {}}, STRATEGIC), 200)
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]

    def test_merge_key_is_needed(self, target: Target, api: Api, deploy: str) -> None:
        """Kubernetes calls this an error of its own (500); what a client got wrong is a 400 to us."""
        patch = {"spec": {"template": {"spec": {"containers": [{"image": "example.com/x:1"}]}}}}
        response = api.patch(deploy, patch, STRATEGIC)
        assert response.status_code == (400 if target.embedded else 500)


class TestScale:
    def test_of_a_deployment(self, api: Api, namespace: str, deploy: str) -> None:
        scale = api.read(f"{deploy}/scale")
        assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
        assert scale["metadata"]["name"] == "d"
        assert scale["metadata"]["namespace"] == namespace
        assert scale["spec"]["replicas"] == 1
        assert scale["status"]["selector"] == "app=d"
        api.merge(f"{deploy}/scale", {"spec": {"replicas": 0}})
        now = api.read(deploy)
        assert now["spec"]["replicas"] == 0
        assert now["metadata"]["generation"] == 2
        scale = api.read(f"{deploy}/scale")
        scale["spec"]["replicas"] = 3
        del scale["metadata"]["resourceVersion"]  # controllers may have written since
        assert api.replace(f"{deploy}/scale", scale)["spec"]["replicas"] == 3
        failure(api.patch(f"{deploy}/scale", {"spec": {"replicas": -1}}), 422, "Invalid")

    def test_zero_is_said(self, api: Api, deploy: str) -> None:
        """A scale of nothing may leave the number out, as omitempty has it; it never is another number."""
        api.merge(f"{deploy}/scale", {"spec": {"replicas": 0}})
        assert api.read(f"{deploy}/scale")["spec"].get("replicas", 0) == 0
