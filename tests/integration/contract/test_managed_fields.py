"""The record of who owns what: what clients may write into it, and lists that hold a key twice."""

from __future__ import annotations

from typing import Any

import pytest
from kube_api import APPLY, Api, Obj, causes, config_map, deployment, failure, path


def entry(fields: Any, **more: Any) -> Obj:
    common = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return {**common, **more}


def managers(obj: Obj) -> list[str]:
    return [entry["manager"] for entry in obj["metadata"].get("managedFields", ())]


@pytest.mark.parametrize(
    "written",
    [
        entry({"f:data": 5}),
        entry({"bogus": {}}),
        entry({"f:data": {"k:{bad": {}}}, operation="Apply"),
        entry({}, operation="Bogus"),
        entry({"f:data": {}}, fieldsType="X"),
    ],
)
def test_what_nobody_can_read_is_not_kept(api: Api, namespace: str, written: Obj) -> None:
    """Kept, it would break every later apply."""
    api.create(path("configmaps", namespace), {"metadata": {"name": "made", "managedFields": [written]}})
    api.create(path("configmaps", namespace), config_map("cm", {"a": "1"}), fieldManager="first")
    changed = {"metadata": {"managedFields": [written]}, "data": {"a": "2"}}
    assert managers(api.merge(path("configmaps", namespace, "cm"), changed, fieldManager="second")) == [
        "first",
        "second",
    ]
    for name in ("made", "cm"):
        api.apply(path("configmaps", namespace, name), config_map(name, {"b": "1"}), "third")


def test_names_have_a_limit(api: Api, namespace: str) -> None:
    body = {"metadata": {"name": "cm", "managedFields": [entry({"f:data": {}}, manager="m" * 129)]}}
    failure(api.post(path("configmaps", namespace), body), 422, "Invalid")


def test_an_applied_configuration_has_none(api: Api, namespace: str) -> None:
    url = path("configmaps", namespace, "cm")
    failure(api.patch(url, config_map("cm", {"a": "1"}, managedFields=[]), APPLY, fieldManager="m"), 400, "BadRequest")


def test_what_is_wiped_stays_so_until_somebody_applies(api: Api, namespace: str) -> None:
    url = path("configmaps", namespace, "cm")
    api.create(path("configmaps", namespace), config_map("cm", {"a": "1"}))
    wiped = api.merge(url, {"metadata": {"managedFields": [{}]}, "data": {"a": "2"}})
    assert managers(wiped) == []
    assert managers(api.merge(url, {"data": {"a": "3"}})) == []
    assert managers(api.apply(url, config_map("cm", {"b": "1"}), "m")) == ["m", "before-first-apply"]


def test_who_applies_a_null_owns_the_field(api: Api, namespace: str) -> None:
    """So `creationTimestamp: null`, which many tools write, is a conflict between two that apply it."""
    url = path("deployments", namespace, "web")
    body = deployment("web", replicas=0)
    body["spec"]["template"]["metadata"]["creationTimestamp"] = None
    body["spec"]["template"]["spec"]["nodeSelector"] = None
    body["metadata"]["annotations"] = {"note": None}
    made = api.apply(url, body, "first")
    assert made["metadata"]["annotations"]["note"] == ""
    assert "nodeSelector" not in made["spec"]["template"]["spec"]
    again = api.apply(url, body, "first")
    assert again["spec"] == made["spec"]
    (entry,) = (entry for entry in again["metadata"]["managedFields"] if entry["manager"] == "first")
    assert "f:nodeSelector" in entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]
    status = failure(api.patch(url, body, APPLY, fieldManager="second"), 409, "Conflict")
    assert {".metadata.annotations.note", ".spec.template.spec.nodeSelector"} <= set(causes(status))


class TestTwice:
    """An environment may hold a variable twice, which only an update can make so."""

    def container(self, *env: tuple[str, str]) -> Obj:
        return {"name": "main", "env": [{"name": name, "value": value} for name, value in env]}

    def url(self, api: Api, namespace: str) -> str:
        body = deployment("web", replicas=0)
        container = body["spec"]["template"]["spec"]["containers"][0]
        container.update(self.container(("A", "1"), ("B", "2"), ("A", "3")))
        api.create(path("deployments", namespace), body, fieldManager="creator")
        return path("deployments", namespace, "web")

    def config(self, *env: tuple[str, str]) -> Obj:
        spec = {"template": {"spec": {"containers": [self.container(*env)]}}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}

    def env(self, obj: Obj) -> list[tuple[str, str]]:
        (container,) = obj["spec"]["template"]["spec"]["containers"]
        return [(item["name"], item["value"]) for item in container["env"]]

    def test_others_stay(self, api: Api, namespace: str) -> None:
        url = self.url(api, namespace)
        assert self.env(api.apply(url, self.config(("C", "4")), "m")) == [
            ("A", "1"),
            ("B", "2"),
            ("A", "3"),
            ("C", "4"),
        ]
        assert self.env(api.apply(url, self.config(("B", "2")), "m")) == [("A", "1"), ("B", "2"), ("A", "3")]

    def test_one_takes_the_place_of_both(self, api: Api, namespace: str) -> None:
        url = self.url(api, namespace)
        failure(api.patch(url, self.config(("A", "9")), APPLY, fieldManager="m"), 409, "Conflict")
        assert self.env(api.apply(url, self.config(("A", "9")), "m", force="true")) == [("A", "9"), ("B", "2")]

    def test_nobody_applies_such(self, api: Api, namespace: str) -> None:
        """Kubernetes calls it an error of its own."""
        response = api.patch(self.url(api, namespace), self.config(("C", "1"), ("C", "2")), APPLY, fieldManager="m")
        assert response.status_code in (400, 500)
        assert "duplicate entries for key" in response.json()["message"]
        finalizers = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "finalizers": ["a/b", "a/b"]}}
        response = api.patch(path("configmaps", namespace, "x"), finalizers, APPLY, fieldManager="m")
        assert response.status_code in (400, 500)
