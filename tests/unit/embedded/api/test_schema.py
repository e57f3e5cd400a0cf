"""Structural schemas: pruning, defaults, messages; and definitions of custom resources."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.validation import definition, schema
from mlsysops_embedded.validation.builtin import DEFINITIONS
from mlsysops_embedded.validation.quantities import parse_quantity

SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "when": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer", "default": 7}}},
        },
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}},
        },
        "one": {"type": "integer", "oneOf": [{"minimum": 5}, {"maximum": 5}]},
        "maybe": {"type": "string", "nullable": True},
    },
}
ROOT = {"type": "object", "properties": {"spec": SPEC}}


def faults(**spec: Any) -> list[str]:
    return [str(cause) for cause in schema.validate({"spec": {"size": 1, **spec}}, ROOT)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": 11}, "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        ({"mode": "c"}, 'spec.mode: Unsupported value: "c": supported values: "a", "b"'),
        ({"name": "A"}, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ({"name": "abcdef"}, "spec.name: Too long: may not be more than 5 bytes"),
        ({"when": "today"}, 'spec.when: Invalid value: "today": spec.when in body must be of type date-time: "today"'),
        (
            {"port": True},
            'spec.port: Invalid value: "boolean": spec.port in body must be of type integer or string: "boolean"',
        ),
        ({"items": [{"k": "a"}, {"k": "a"}]}, 'spec.items[1]: Duplicate value: {"k":"a"}'),
        ({"one": 5}, "spec.one: Invalid value: 5: spec.one in body must validate one and only one schema (oneOf)"),
        ({"name": None}, 'spec.name: Invalid value: "null": spec.name in body must be of type string: "null"'),
    ],
)
def test_messages_are_those_of_kubernetes(spec: dict[str, Any], message: str) -> None:
    assert faults(**spec) == [message]


def test_good_values_pass() -> None:
    assert faults(mode="b", name="ab", when="2026-01-01T00:00:00Z", port="http", maybe=None, one=4, size=2.0) == []
    assert [str(c) for c in schema.validate({"spec": {}}, ROOT)] == ["spec.size: Required value"]


def test_unknown_fields_are_pruned_and_named() -> None:
    obj = {
        "metadata": {"any": 1},
        "spec": {"size": 1, "x": 1, "free": {"y": 1}, "items": [{"k": "a", "z": 1}]},
        "other": 1,
    }
    assert schema.prune(obj, ROOT) == ["spec.x", "spec.items[0].z", "other"]
    assert obj == {"metadata": {"any": 1}, "spec": {"size": 1, "free": {"y": 1}, "items": [{"k": "a"}]}}


def test_defaults_reach_into_maps() -> None:
    obj: dict[str, Any] = {"spec": {"map": {"a": {}}}}
    schema.default(obj, ROOT)
    assert obj == {"spec": {"mode": "a", "map": {"a": {"x": 7}}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SPEC["properties"], "spec", "x"]), inner, max_size=4)
    ),  # type: ignore[misc]
    max_leaves=10,
)


@given(JSON)
def test_anything_can_be_checked(value: Any) -> None:
    schema.prune({"spec": value}, ROOT)
    schema.default({"spec": value}, ROOT)
    schema.validate({"spec": value}, ROOT)


def test_built_in_types_are_complete() -> None:
    assert all(found.get("properties") for found in DEFINITIONS.values())
    spec = DEFINITIONS["PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["restartPolicy"]["default"] == "Always"
    assert spec["securityContext"]["properties"]
    assert spec["securityContext"]["default"] == {}


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("64Mi", 64 * 2**20), ("1e3", 1000.0), ("2", 2.0), (".5", 0.5), ("1E", 1e18)]
)
def test_quantities(text: str, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


def test_versions_sort_as_kubernetes_prefers() -> None:
    names = ["v1alpha1", "v1", "v2beta1", "v10", "v2", "foo"]
    assert sorted(names, key=definition.version_rank) == ["v10", "v2", "v1", "v2beta1", "v1alpha1", "foo"]
