"""Server-side apply: who owns which field, and what follows from that."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kube_api import APPLY, MERGE, Api, Obj, answer, causes, config_map, deployment, failure, path, version


def entry(obj: Obj, manager: str, operation: str = "Apply", subresource: str = "") -> Obj:
    """The managedFields entry of a manager."""
    found: list[Obj] = [
        entry
        for entry in obj["metadata"].get("managedFields", ())
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, operation, subresource)
    ]
    assert len(found) == 1, (manager, operation, subresource, obj["metadata"].get("managedFields"))
    return found[0]


def managers(obj: Obj) -> set[tuple[str, str]]:
    return {(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", ())}


def applied(name: str, data: dict[str, str], **metadata: Any) -> Obj:
    body = config_map(name, data, **metadata)
    if not data:
        del body["data"]
    return body


@pytest.fixture
def url(namespace: str) -> str:
    """Of a ConfigMap that is not there yet."""
    return path("configmaps", namespace, "cm")


class TestConfigMap:
    def test_creates_then_updates(self, api: Api, url: str) -> None:
        response = api.patch(url, applied("cm", {"a": "1"}), APPLY, fieldManager="alice")
        created = answer(response, 201)
        mine = entry(created, "alice")
        assert mine["apiVersion"] == "v1"
        assert mine["fieldsType"] == "FieldsV1"
        assert mine["fieldsV1"] == {"f:data": {"f:a": {}}}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", mine["time"])
        response = api.patch(url, applied("cm", {"a": "2"}), APPLY, fieldManager="alice")
        assert answer(response, 200)["data"] == {"a": "2"}

    def test_again_changes_nothing(self, api: Api, url: str) -> None:
        first = api.apply(url, applied("cm", {"a": "1"}), "alice")
        assert version(api.apply(url, applied("cm", {"a": "1"}), "alice")) == version(first)

    def test_yaml(self, api: Api, url: str) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\ndata:\n  a: '1'\n"
        response = api.http.patch(url, content=text, headers={"Content-Type": APPLY}, params={"fieldManager": "alice"})
        assert answer(response, 201)["data"] == {"a": "1"}

    def test_removes_what_is_no_longer_applied(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1", "b": "2"}, labels={"x": "y"}), "alice")
        now = api.apply(url, applied("cm", {"a": "1"}), "alice")
        assert now["data"] == {"a": "1"}
        assert "labels" not in now["metadata"]

    def test_managers_own_apart(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1"}), "alice")
        now = api.apply(url, applied("cm", {"b": "2"}), "bob")
        assert now["data"] == {"a": "1", "b": "2"}
        assert entry(now, "alice")["fieldsV1"] == {"f:data": {"f:a": {}}}
        assert entry(now, "bob")["fieldsV1"] == {"f:data": {"f:b": {}}}
        now = api.apply(url, applied("cm", {}), "bob")
        assert now["data"] == {"a": "1"}
        assert managers(now) == {("alice", "Apply")}

    def test_conflict(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1", "b": "2"}), "alice")
        response = api.patch(url, applied("cm", {"a": "x", "b": "2"}), APPLY, fieldManager="bob")
        status = failure(response, 409, "Conflict")
        assert status["details"]["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "alice"', "field": ".data.a"}
        ]
        assert status["message"] == 'Apply failed with 1 conflict: conflict with "alice": .data.a'
        assert api.read(url)["data"] == {"a": "1", "b": "2"}

    def test_conflicts_with_several(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1"}), "alice")
        api.apply(url, applied("cm", {"b": "2"}), "bob")
        response = api.patch(url, applied("cm", {"a": "x", "b": "x"}), APPLY, fieldManager="carol")
        status = failure(response, 409, "Conflict")
        assert causes(status) == {".data.a": 'conflict with "alice"', ".data.b": 'conflict with "bob"'}
        assert status["message"].startswith("Apply failed with 2 conflicts: ")

    def test_the_same_value_is_shared(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1"}), "alice")
        shared = api.apply(url, applied("cm", {"a": "1"}), "bob")
        assert entry(shared, "alice")["fieldsV1"] == entry(shared, "bob")["fieldsV1"]
        # One gives it up: it stays for the other.
        now = api.apply(url, applied("cm", {"mine": "x"}), "alice")
        assert now["data"] == {"a": "1", "mine": "x"}
        # Nobody wants it any more.
        now = api.apply(url, applied("cm", {"his": "x"}), "bob")
        assert now["data"] == {"mine": "x", "his": "x"}

    def test_force_takes_over(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1", "b": "2"}), "alice")
        now = api.apply(url, applied("cm", {"a": "x"}), "bob", force="true")
        assert now["data"] == {"a": "x", "b": "2"}
        assert entry(now, "alice")["fieldsV1"] == {"f:data": {"f:b": {}}}
        assert entry(now, "bob")["fieldsV1"] == {"f:data": {"f:a": {}}}
        # Alice, who no longer applies what she lost, removes nothing of it.
        assert api.apply(url, applied("cm", {"b": "2"}), "alice")["data"] == {"a": "x", "b": "2"}

    def test_an_update_takes_over(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1", "b": "2"}), "alice")
        now = api.merge(url, {"data": {"a": "x"}}, fieldManager="editor")
        assert entry(now, "editor", "Update")["fieldsV1"] == {"f:data": {"f:a": {}}}
        assert entry(now, "alice")["fieldsV1"] == {"f:data": {"f:b": {}}}
        response = api.patch(url, applied("cm", {"a": "1", "b": "2"}), APPLY, fieldManager="alice")
        status = failure(response, 409, "Conflict")
        assert status["details"]["causes"][0]["message"].startswith('conflict with "editor" using v1')
        assert status["details"]["causes"][0]["field"] == ".data.a"

    def test_an_update_that_changes_nothing_owns_nothing(self, api: Api, url: str) -> None:
        before = api.apply(url, applied("cm", {"a": "1"}), "alice")
        assert managers(api.merge(url, {"data": {"a": "1"}}, fieldManager="editor")) == {("alice", "Apply")}
        assert version(api.read(url)) == version(before)

    def test_what_an_update_removes_is_nobodys(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {"a": "1", "b": "2"}), "alice")
        now = api.merge(url, {"data": {"a": None}}, fieldManager="editor")
        assert entry(now, "alice")["fieldsV1"] == {"f:data": {"f:b": {}}}
        assert ("editor", "Update") not in managers(now)

    def test_create_and_update_are_recorded(self, api: Api, namespace: str, url: str) -> None:
        made = api.create(path("configmaps", namespace), config_map("cm", labels={"x": "y"}), fieldManager="maker")
        assert entry(made, "maker", "Update")["fieldsV1"] == {
            "f:data": {".": {}, "f:key": {}},
            "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        }

    def test_manager_is_the_program_by_default(self, api: Api, namespace: str) -> None:
        """What stands before the slash of the user agent."""
        made = api.create(path("configmaps", namespace), config_map("cm"))
        assert managers(made) == {("contract-test", "Update")}

    def test_ownership_can_be_wiped(self, api: Api, url: str) -> None:
        for wipe in ([], [{}]):
            api.apply(url, applied("cm", {"a": "1"}), "alice")
            assert "managedFields" in api.merge(url, {"metadata": {"managedFields": None}})["metadata"]
            wiped = api.merge(url, {"metadata": {"managedFields": wipe}})
            assert "managedFields" not in wiped["metadata"]
        # What was there before the first apply is a manager of its own.
        status = failure(api.patch(url, applied("cm", {"a": "2"}), APPLY, fieldManager="bob"), 409, "Conflict")
        assert causes(status)[".data.a"].startswith('conflict with "before-first-apply" using v1')
        assert api.apply(url, applied("cm", {"a": "1"}), "bob")["data"] == {"a": "1"}

    def test_update_without_managed_fields_keeps_them(self, api: Api, url: str) -> None:
        obj = api.apply(url, applied("cm", {"a": "1"}), "alice")
        del obj["metadata"]["managedFields"]
        assert ("alice", "Apply") in managers(api.replace(url, obj))

    def test_version_in_the_applied_object_is_checked(self, api: Api, url: str) -> None:
        old = api.apply(url, applied("cm", {"a": "1"}), "alice")["metadata"]["resourceVersion"]
        api.apply(url, applied("cm", {"a": "2"}), "alice")
        late = applied("cm", {"a": "3"}, resourceVersion=old)
        failure(api.patch(url, late, APPLY, fieldManager="alice"), 409, "Conflict")

    def test_dry_run(self, api: Api, url: str) -> None:
        response = api.patch(url, applied("cm", {"a": "1"}), APPLY, fieldManager="alice", dryRun="All")
        assert answer(response, 201)["data"] == {"a": "1"}
        assert api.gone(url)


class TestRefusals:
    def test_manager_is_required(self, api: Api, url: str) -> None:
        status = failure(api.patch(url, applied("cm", {}), APPLY), 422, "Invalid")
        assert causes(status)["fieldManager"] == "Required value: is required for apply patch"

    def test_manager_is_short(self, api: Api, url: str) -> None:
        status = failure(api.patch(url, applied("cm", {}), APPLY, fieldManager="x" * 129), 422, "Invalid")
        assert "fieldManager" in causes(status)

    def test_force_is_for_apply(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {}), "alice")
        status = failure(api.patch(url, {}, MERGE, force="true"), 422, "Invalid")
        assert causes(status)["force"] == "Forbidden: may not be specified for non-apply patch"

    def test_managed_fields_are_not_applied(self, api: Api, url: str) -> None:
        body = applied("cm", {}, managedFields=[{"manager": "x", "operation": "Apply", "apiVersion": "v1"}])
        status = failure(api.patch(url, body, APPLY, fieldManager="alice"), 400, "BadRequest")
        assert "metadata.managedFields must be nil" in status["message"]

    @pytest.mark.parametrize("field", ["apiVersion", "kind"])
    def test_type_is_required(self, api: Api, url: str, field: str) -> None:
        body = applied("cm", {})
        del body[field]
        response = api.patch(url, body, APPLY, fieldManager="alice")
        assert response.status_code == 400

    def test_name_has_to_agree(self, api: Api, url: str) -> None:
        response = api.patch(url, applied("other", {}), APPLY, fieldManager="alice")
        assert response.status_code == 400


class TestLists:
    @pytest.fixture
    def deploy(self, namespace: str) -> str:
        """URL of a Deployment that is not there yet."""
        return path("deployments", namespace, "d")

    def body(self, *containers: Obj) -> Obj:
        body = deployment("d", paused=True)
        body["spec"]["template"]["spec"]["containers"] = list(containers)
        return body

    def partial(self, *containers: Obj) -> Obj:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"template": {"spec": {"containers": list(containers)}}},
        }

    def containers(self, obj: Obj) -> dict[str, Obj]:
        return {container["name"]: container for container in obj["spec"]["template"]["spec"]["containers"]}

    def test_elements_belong_to_who_applied_them(self, api: Api, deploy: str) -> None:
        api.apply(deploy, self.body({"name": "one", "image": "example.com/one:1"}), "alice")
        now = api.apply(deploy, self.partial({"name": "two", "image": "example.com/two:1"}), "bob")
        assert set(self.containers(now)) == {"one", "two"}
        owned = entry(now, "bob")["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
        assert owned == {'k:{"name":"two"}': {".": {}, "f:image": {}, "f:name": {}}}
        now = api.apply(deploy, self.body({"name": "one", "image": "example.com/one:2"}), "alice")
        assert {n: c["image"][-1] for n, c in self.containers(now).items()} == {"one": "2", "two": "1"}
        # Bob withdraws his.
        withdrawn = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
        assert set(self.containers(api.apply(deploy, withdrawn, "bob"))) == {"one"}

    def test_one_field_of_anothers_element(self, api: Api, deploy: str) -> None:
        api.apply(deploy, self.body({"name": "one", "image": "example.com/one:1"}), "alice")
        env = {"name": "one", "env": [{"name": "A", "value": "1"}]}
        now = self.containers(api.apply(deploy, self.partial(env), "bob"))["one"]
        assert now["env"] == [{"name": "A", "value": "1"}]
        assert now["image"] == "example.com/one:1"
        status = failure(
            api.patch(deploy, self.partial({"name": "one", "image": "example.com/one:9"}), APPLY, fieldManager="bob"),
            409,
            "Conflict",
        )
        assert list(causes(status)) == ['.spec.template.spec.containers[name="one"].image']
        # Alice applies again what she had: bob's variable stays.
        again = api.apply(deploy, self.body({"name": "one", "image": "example.com/one:1"}), "alice")
        assert self.containers(again)["one"]["env"] == [{"name": "A", "value": "1"}]

    def test_ports_have_two_keys(self, api: Api, deploy: str) -> None:
        ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
        now = api.apply(deploy, self.body({"name": "one", "image": "example.com/one:1", "ports": ports}), "alice")
        owned = entry(now, "alice")["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
        assert set(owned['k:{"name":"one"}']["f:ports"]) == {
            'k:{"containerPort":53,"protocol":"TCP"}',
            'k:{"containerPort":53,"protocol":"UDP"}',
        }

    def test_a_default_completes_a_key(self, api: Api, deploy: str) -> None:
        """Protocol is TCP when it is not given, also as a key."""
        body = self.body({"name": "one", "image": "example.com/one:1", "ports": [{"containerPort": 80}]})
        first = api.apply(deploy, body, "alice")
        again = api.apply(deploy, body, "alice")
        assert entry(again, "alice") == entry(first, "alice")
        assert again["spec"] == first["spec"]
        assert len(self.containers(again)["one"]["ports"]) == 1

    def test_atomic_lists_have_one_owner(self, api: Api, deploy: str) -> None:
        api.apply(deploy, self.body({"name": "one", "image": "example.com/one:1", "args": ["a"]}), "alice")
        status = failure(
            api.patch(deploy, self.partial({"name": "one", "args": ["a", "b"]}), APPLY, fieldManager="bob"),
            409,
            "Conflict",
        )
        assert list(causes(status)) == ['.spec.template.spec.containers[name="one"].args']

    def test_sets_are_shared_element_by_element(self, api: Api, url: str) -> None:
        api.apply(url, applied("cm", {}, finalizers=["example.com/a"]), "alice")
        now = api.apply(url, applied("cm", {}, finalizers=["example.com/b"]), "bob")
        assert sorted(now["metadata"]["finalizers"]) == ["example.com/a", "example.com/b"]
        assert entry(now, "bob")["fieldsV1"]["f:metadata"]["f:finalizers"] == {'v:"example.com/b"': {}}
        now = api.apply(url, applied("cm", {}), "alice")
        assert now["metadata"]["finalizers"] == ["example.com/b"]
        api.apply(url, applied("cm", {}), "bob")

    def test_owner_references_by_uid(self, api: Api, namespace: str, url: str) -> None:
        uids = []
        for name in ("o1", "o2"):
            owner = api.create(path("configmaps", namespace), config_map(name))
            uids.append(owner["metadata"]["uid"])
        for manager, uid, name in (("alice", uids[0], "o1"), ("bob", uids[1], "o2")):
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}
            now = api.apply(url, applied("cm", {}, ownerReferences=[reference]), manager)
        assert {reference["uid"] for reference in now["metadata"]["ownerReferences"]} == set(uids)


class TestSubresources:
    def test_status_is_owned_apart(self, api: Api, namespace: str) -> None:
        api.apply(path("deployments", namespace, "d"), deployment("d", paused=True), "alice")
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "status": {
                "conditions": [{"type": "Custom", "status": "True", "reason": "Because", "message": ""}],
            },
        }
        now = api.apply(path("deployments", namespace, "d", "status"), body, "reporter")
        assert "Custom" in [condition["type"] for condition in now["status"]["conditions"]]
        mine = entry(now, "reporter", subresource="status")["fieldsV1"]
        assert list(mine) == ["f:status"]
        assert 'k:{"type":"Custom"}' in mine["f:status"]["f:conditions"]

    def test_updates_of_status_are_recorded_as_such(self, api: Api, namespace: str) -> None:
        api.create(path("deployments", namespace), deployment("d", paused=True), fieldManager="m")
        url = path("deployments", namespace, "d", "status")
        now = api.merge(url, {"status": {"collisionCount": 3}}, fieldManager="m")
        owned = entry(now, "m", "Update", "status")["fieldsV1"]
        assert list(owned) == ["f:status"]
        assert "f:collisionCount" in owned["f:status"]

    def test_scaling_takes_replicas_over(self, api: Api, namespace: str) -> None:
        url = path("deployments", namespace, "d")
        api.apply(url, deployment("d", paused=True, replicas=1), "alice")
        api.merge(f"{url}/scale", {"spec": {"replicas": 2}}, fieldManager="scaler")
        now = api.read(url)
        assert entry(now, "scaler", "Update", "scale")["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
        response = api.patch(url, deployment("d", paused=True, replicas=1), APPLY, fieldManager="alice")
        assert list(causes(failure(response, 409, "Conflict"))) == [".spec.replicas"]
        without = deployment("d", paused=True)
        del without["spec"]["replicas"]
        assert api.apply(url, without, "alice")["spec"]["replicas"] == 2


def test_scale(api: Api, namespace: str) -> None:
    """Who applies the scale owns the number, and others meet a conflict."""
    api.create(path("deployments", namespace), deployment("d", replicas=0, paused=True))
    url = path("deployments", namespace, "d")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
    status = failure(api.patch(f"{url}/scale", scale, APPLY, fieldManager="alice"), 409, "Conflict")
    assert ".spec.replicas" in causes(status)
    assert api.apply(f"{url}/scale", scale, "alice", force="true")["spec"]["replicas"] == 3
    now = api.read(url)
    assert now["spec"]["replicas"] == 3
    assert entry(now, "alice", "Apply", "scale")["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in entry(now, "contract-test", "Update")["fieldsV1"]["f:spec"]
    failure(api.patch(f"{url}/scale", scale, APPLY), 422, "Invalid")
