"""CustomResourceDefinitions that Kubernetes refuses, and some that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kube_api import Api, Obj, failure, path
from kube_crds import INTEGER, STRING, Definition, spec_schema

URL = path("customresourcedefinitions")


def items(**more: Any) -> Obj:
    return {"type": "array", "items": {"type": "object", "properties": {"n": STRING}}, **more}


MAP = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
#: Schema of one field -> the end of the faulty place.
SCHEMAS: dict[str, tuple[Obj, str]] = {
    "no type": ({}, ".type"),
    "unknown type": ({"type": "text"}, ".type"),
    "list of nothing": ({"type": "array"}, ".items"),
    "reference": ({"$ref": "#/x"}, ".$ref"),
    "wrong default": ({"type": "string", "default": 1}, ".default"),
    "two kinds of keys": (
        {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING},
        ".additionalProperties",
    ),
    "keys that may miss": (items(**MAP), ".items.properties[n].default"),
    "map without keys": (items(**{"x-kubernetes-list-type": "map"}), ".x-kubernetes-list-map-keys"),
    "set of objects": (items(**{"x-kubernetes-list-type": "set"}), ".items.x-kubernetes-map-type"),
    "type in an alternative": ({"type": "string", "anyOf": [{"type": "string"}]}, ".anyOf[0].type"),
    "default in an alternative": (
        {"type": "object", "properties": {"b": STRING}, "anyOf": [{"properties": {"b": {"default": "x"}}}]},
        ".anyOf[0].properties[b].default",
    ),
    "pattern": ({"type": "string", "pattern": "("}, ".pattern"),
    "pattern that looks ahead": ({"type": "string", "pattern": "(?=x)"}, ".pattern"),
    "unique items": ({"type": "array", "items": STRING, "uniqueItems": True}, ".uniqueItems"),
    "preserving nothing": (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
        ".x-kubernetes-preserve-unknown-fields",
    ),
    "embedded nothing": ({"type": "object", "x-kubernetes-embedded-resource": True}, ".properties"),
    "atomic text": ({"type": "string", "x-kubernetes-map-type": "atomic"}, ".type"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(api: Api, name: str) -> None:
    field, place = SCHEMAS[name]
    response = api.post(URL, Definition(spec_schema(a=field)).body, dryRun="All")
    status = failure(response, 422, "Invalid")
    # The field is that of the version, or of all versions where they are the same.
    assert [c["field"] for c in status["details"]["causes"] if c["field"].endswith(place)], status["message"]


@pytest.mark.parametrize(
    "field",
    [
        {"x-kubernetes-int-or-string": True},
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "array", "items": {"type": "object", "required": ["n"], "properties": {"n": STRING}}, **MAP},
        {
            "type": "object",
            "properties": {"b": STRING, "c": STRING},
            "oneOf": [{"required": ["b"]}, {"required": ["c"]}],
        },
        {"type": "string", "nullable": True, "not": {"pattern": "x"}},
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"b": STRING}},
    ],
)
def test_schemas_that_are_fine(api: Api, field: Obj) -> None:
    api.create(URL, Definition(spec_schema(a=field)).body, dryRun="All")


def test_metadata_says_little(api: Api) -> None:
    schema = spec_schema(a=STRING)
    schema["properties"]["metadata"] = {"type": "object", "properties": {"labels": {"type": "object"}}}
    failure(api.post(URL, Definition(schema).body, dryRun="All"), 422, "Invalid")
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    api.create(URL, Definition(schema).body, dryRun="All")


def version(**more: Any) -> Obj:
    schema = {"openAPIV3Schema": spec_schema(a=STRING, size=INTEGER)}
    return {"name": "v1", "served": True, "storage": True, "schema": schema, **more}


def versions(*listed: Obj) -> Callable[[Obj], object]:
    return lambda body: body["spec"].update(versions=list(listed))


def column(**more: Any) -> Callable[[Obj], object]:
    return versions(version(additionalPrinterColumns=[{"name": "a", "type": "string", "jsonPath": ".spec.a", **more}]))


def scale(spec: str, status: str) -> Callable[[Obj], object]:
    paths = {"specReplicasPath": spec, "statusReplicasPath": status}
    return versions(version(subresources={"scale": paths}))


CHANGES: dict[str, Callable[[Obj], object]] = {
    "other name": lambda body: body["metadata"].update(name="x.y"),
    "nothing stored": versions(version(storage=False)),
    "two stored": versions(version(), version(name="v2")),
    "a version twice": versions(version(), version(storage=False)),
    "no version": versions(),
    "no schema": versions({"name": "v1", "served": True, "storage": True}),
    "name of a version": versions(version(name="V1")),
    "scope": lambda body: body["spec"].update(scope="Everywhere"),
    "plural": lambda body: body["spec"]["names"].update(plural="Widgets"),
    "short name": lambda body: body["spec"]["names"].update(shortNames=["A"]),
    "kind of the list": lambda body: body["spec"]["names"].update(listKind="Widget"),
    "everything preserved": lambda body: body["spec"].update(preserveUnknownFields=True),
    "protected group": lambda body: (
        body["spec"].update(group="example.k8s.io"),
        body["metadata"].update(name="widgets.example.k8s.io"),
    ),
    "warning without reason": versions(version(deprecationWarning="old")),
    "type of a column": column(type="text"),
    "path of a column": column(jsonPath="spec.a"),
    "format of a column": column(format="long"),
    "scale of nothing": scale(".other.a", ".status.b"),
    "selectable nothing": versions(version(selectableFields=[{"jsonPath": ".spec.none"}])),
    "selectable twice": versions(version(selectableFields=[{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_definitions(api: Api, name: str) -> None:
    body = Definition(spec_schema(a=STRING)).body
    CHANGES[name](body)
    failure(api.post(URL, body, dryRun="All"), 422, "Invalid")


@pytest.mark.parametrize(
    "change",
    [scale(".spec.size", ".status.size"), versions(version(selectableFields=[{"jsonPath": ".spec.a"}])), column()],
)
def test_definitions_that_are_fine(api: Api, change: Callable[[Obj], object]) -> None:
    body = Definition(spec_schema(a=STRING)).body
    change(body)
    api.create(URL, body, dryRun="All")
