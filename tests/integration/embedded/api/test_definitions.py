"""Custom resources: served at once, checked, pruned, defaulted, in several versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"content-type": "application/merge-patch+json"}


def definition(**spec: Any) -> Obj:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                        },
                    },
                },
            },
            "status": {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}},
        },
    }
    scale = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.size",
        "labelSelectorPath": ".status.selector",
    }
    version = {
        "served": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {**version, "name": "v1", "storage": True},
                {**version, "name": "v1beta1", "storage": False, "deprecated": True},
            ],
            **spec,
        },
    }


@pytest.fixture
def widgets(api: httpx.Client, namespace: str, eventually: Callable[..., Any]) -> Iterator[str]:
    created = api.post(CRDS, json=definition())
    assert created.status_code == 201, created.text
    yield f"/apis/example.com/v1/namespaces/{namespace}/widgets"
    api.delete(f"{CRDS}/widgets.example.com")
    eventually(lambda: api.get(f"{CRDS}/widgets.example.com").status_code == 404)
    assert api.get(f"/apis/example.com/v1/namespaces/{namespace}/widgets").status_code == 404


def widget(name: str = "w", **spec: Any) -> Obj:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1, **spec}}


def test_a_definition_is_established_at_once(api: httpx.Client, widgets: str) -> None:
    found = api.get(f"{CRDS}/widgets.example.com").json()
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert found["spec"]["names"]["listKind"] == "WidgetList"
    resources = api.get("/apis/example.com/v1").json()["resources"]
    assert [r["name"] for r in resources] == ["widgets", "widgets/scale", "widgets/status"]
    none = api.get(widgets).json()
    assert (none["kind"], none["items"]) == ("WidgetList", [])


def test_defaults_pruning_and_checks(api: httpx.Client, widgets: str) -> None:
    created = api.post(widgets, json={**widget(odd=1), "other": 2})
    assert created.status_code == 201
    assert created.json()["spec"] == {"size": 1, "color": "red"}
    assert "other" not in created.json()
    assert 'unknown field \\"spec.odd\\"' in created.headers["warning"]
    for spec, field in (({"size": 0}, "spec.size"), ({"color": "green"}, "spec.color"), ({"size": "x"}, "spec.size")):
        bad = api.post(widgets, json=widget("x", **spec))
        assert bad.status_code == 422, bad.text
        assert bad.json()["details"]["causes"][0]["field"] == field
    missing = api.post(widgets, json={**widget("x"), "spec": {}})
    assert missing.json()["message"] == 'Widget.example.com "x" is invalid: spec.size: Required value'


def test_status_scale_and_generation(api: httpx.Client, widgets: str) -> None:
    created = api.post(widgets, json={**widget(), "status": {"size": 9}}).json()
    assert "status" not in created
    api.patch(f"{widgets}/w/status", content='{"status":{"size":3},"spec":{"size":5}}', headers=MERGE)
    found = api.get(f"{widgets}/w").json()
    assert (found["spec"]["size"], found["status"], found["metadata"]["generation"]) == (1, {"size": 3}, 1)
    assert api.get(f"{widgets}/w/scale").json()["status"] == {"replicas": 3}
    api.patch(f"{widgets}/w/scale", content='{"spec":{"replicas":4}}', headers=MERGE)
    found = api.get(f"{widgets}/w").json()
    assert (found["spec"]["size"], found["metadata"]["generation"]) == (4, 2)


def test_other_versions(api: httpx.Client, widgets: str) -> None:
    api.post(widgets, json=widget())
    old = api.get(widgets.replace("/v1/", "/v1beta1/") + "/w")
    assert old.json()["apiVersion"] == "example.com/v1beta1"
    assert "deprecated" in old.headers["warning"]
    created = api.post(widgets.replace("/v1/", "/v1beta1/"), json={**widget("b"), "apiVersion": "example.com/v1beta1"})
    assert created.status_code == 201
    assert {item["apiVersion"] for item in api.get(widgets).json()["items"]} == {"example.com/v1"}
    assert api.post(widgets, json={**widget("c"), "apiVersion": "example.com/v1beta1"}).status_code == 400


def test_strategic_patches_are_for_built_in_kinds(api: httpx.Client, widgets: str) -> None:
    api.post(widgets, json=widget())
    answer = api.patch(f"{widgets}/w", content="{}", headers={"content-type": "application/strategic-merge-patch+json"})
    assert answer.status_code == 415


def test_apply_merges_keyed_lists(api: httpx.Client, widgets: str) -> None:
    def apply(manager: str, *parts: Obj) -> Obj:
        headers = {"content-type": "application/apply-patch+yaml"}
        answer = api.patch(
            f"{widgets}/w",
            content=json.dumps(widget(parts=list(parts))),
            headers=headers,
            params={"fieldManager": manager},
        )
        assert answer.status_code in (200, 201), answer.text
        return answer.json()  # type: ignore[no-any-return]

    apply("a", {"name": "x", "n": 1})
    merged = apply("b", {"name": "y", "n": 2})
    assert [p["name"] for p in merged["spec"]["parts"]] == ["x", "y"]
    assert [p["name"] for p in apply("b")["spec"]["parts"]] == ["x"]


def test_definitions_are_checked(api: httpx.Client) -> None:
    wrong = [
        {"scope": "Everywhere"},
        {"versions": []},
        {"names": {"plural": "gadgets", "kind": "Widget"}},
        {
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}},
                }
            ]
        },
        {"versions": [{"name": "v1", "served": True, "storage": True}]},
        {"group": "nodots"},
    ]
    for spec in wrong:
        answer = api.post(CRDS, json=definition(**spec))
        assert answer.status_code == 422, (spec, answer.text)
        assert answer.json()["details"]["causes"]


def test_openapi_describes_them(api: httpx.Client, widgets: str) -> None:
    paths = api.get("/openapi/v3").json()["paths"]
    document = api.get(paths["apis/example.com/v1"]["serverRelativeURL"]).json()
    schema = document["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["spec"]["required"] == ["size"]
