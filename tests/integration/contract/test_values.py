"""Values at the border of what a type holds: nulls, numbers, formats, sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kube_api import APPLY, JSON_PATCH, Api, failure, path, pod
from kube_crds import INTEGER, STRING, Definition, defined, spec_schema

FORMATS = {
    "cidr": ("10.0.0.0/8", "10.0.0.1"),
    "duration": ("1 d", "1"),
    "email": ("a@example.com", "a"),
    "hostname": ("node.example.com", "a_b"),
    "ipv4": ("10.0.0.01", "::1"),
    "k8s-short-name": ("web", "Web"),
    "mac": ("00:11:22:aa:bb:cc", "00:11"),
    "uri": ("http://example.com/a", "x"),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "x"),
}


@pytest.fixture(scope="module")
def widgets(api: Api) -> Iterator[Definition]:
    """Widgets with a field of each format."""
    formats: dict[str, Any] = {name.replace("-", ""): {"type": "string", "format": name} for name in FORMATS}
    open_ended = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = spec_schema(
        text=STRING,
        number=INTEGER,
        listed={"type": "array", "items": INTEGER},
        mapped={"type": "object", "additionalProperties": INTEGER},
        anything=open_ended,
        **formats,
    )
    with defined(api, Definition(schema)) as definition:
        yield definition


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"text": None}, {}),
        ({"listed": None, "number": None}, {}),
        ({"mapped": None}, {}),
        ({"mapped": {"a": None}}, {"mapped": {}}),
        (None, None),
    ],
)
def test_nulls_of_what_may_not_be_null_are_dropped(
    api: Api, namespace: str, widgets: Definition, spec: Any, kept: Any
) -> None:
    made = api.create(widgets.url(namespace), widgets.widget("w", spec))
    assert made.get("spec") == kept


def test_nulls_of_what_may_not_be_null_are_not_applied(api: Api, namespace: str, widgets: Definition) -> None:
    body = widgets.widget("w", {"text": None})
    failure(api.patch(widgets.url(namespace, "w"), body, APPLY, fieldManager="m"), 422, "Invalid")


def test_nulls_in_lists_stay_wrong(api: Api, namespace: str, widgets: Definition) -> None:
    failure(api.post(widgets.url(namespace), widgets.widget("w", {"listed": [None]})), 422, "Invalid")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 1.5])
def test_numbers_beyond_integers(api: Api, namespace: str, widgets: Definition, number: float) -> None:
    failure(api.post(widgets.url(namespace), widgets.widget("w", {"number": number})), 422, "Invalid")


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.0])
def test_integers(api: Api, namespace: str, widgets: Definition, number: float) -> None:
    assert api.create(widgets.url(namespace), widgets.widget("w", {"number": number}))["spec"]["number"] == number


def test_built_in_kinds_take_no_fractions(api: Api, namespace: str) -> None:
    """Not even those of nothing, unless they come as YAML."""
    url = path("pods", namespace)
    body = pod("p", terminationGracePeriodSeconds=5.0)
    failure(api.post(url, body, dryRun="All"), 400, "BadRequest")
    text = "{metadata: {name: p}, spec: {terminationGracePeriodSeconds: 5.0, containers: [{name: c, image: i}]}}"
    response = api.http.post(url, content=text, headers={"Content-Type": "application/yaml"}, params={"dryRun": "All"})
    assert response.status_code == 201, response.text
    assert response.json()["spec"]["terminationGracePeriodSeconds"] == 5


@pytest.mark.parametrize("name", FORMATS)
def test_formats(api: Api, namespace: str, widgets: Definition, name: str) -> None:
    field = name.replace("-", "")
    good, bad = FORMATS[name]
    api.create(widgets.url(namespace), widgets.widget("good", {field: good}))
    status = failure(api.post(widgets.url(namespace), widgets.widget("bad", {field: bad})), 422, "Invalid")
    assert [(c["reason"], c["field"]) for c in status["details"]["causes"]] == [
        ("FieldValueTypeInvalid", f"spec.{field}")
    ]


def test_copies_of_a_patch_do_not_add_up(api: Api, namespace: str, widgets: Definition) -> None:
    """Each operation doubles the object; there could be ten thousand."""
    url = widgets.url(namespace, "w")
    api.create(widgets.url(namespace), widgets.widget("w", {"anything": {"a": "x" * 1000}}))
    patch = [{"op": "copy", "from": "/spec/anything", "path": f"/spec/anything/k{index}"} for index in range(30)]
    failure(api.patch(url, patch, JSON_PATCH), 422, "Invalid")
    assert len(api.get(url).content) < 10_000


def test_a_patch_may_not_nest_without_end(api: Api, namespace: str, widgets: Definition) -> None:
    """Kubernetes takes more levels, but not any number."""
    url = widgets.url(namespace, "w")
    api.create(widgets.url(namespace), widgets.widget("w", {"anything": {}}))
    for depth in (250, 900, 1200):
        patch = [{"op": "add", "path": "/spec/anything" + "/d" * (i + 1), "value": {}} for i in range(depth)]
        assert api.patch(url, patch, JSON_PATCH).status_code in (200, 400, 422)
        assert api.get(url).status_code == 200


def test_objects_do_not_grow_for_ever(api: Api, namespace: str, widgets: Definition) -> None:
    """Patch by patch; Kubernetes calls it an error of its own."""
    url = widgets.url(namespace, "w")
    api.create(widgets.url(namespace), widgets.widget("w", {"anything": {}}))
    codes = [api.patch(url, {"spec": {"anything": {f"k{i}": "x" * 900_000}}}).status_code for i in range(2)]
    assert codes in ([200, 413], [200, 500])
    assert len(api.get(url).content) < 1_500_000
