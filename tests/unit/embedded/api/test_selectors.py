"""Label and field selectors."""

from __future__ import annotations

import pytest
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.selectors import (
    field_value,
    parse_field_selector,
    parse_label_selector,
    selector_from_object,
)

LABELS = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app in (web, db)", True),
        ("app notin (web,db)", False),
        ("missing notin (a)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("n>4", True),
        ("n<5", False),
        ("app=web,tier in (back),x", False),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    assert parse_label_selector(text).matches_labels(LABELS) is matches


@pytest.mark.parametrize("text", ["a=b=c d", "-a=b", "a in (b", "a=!", "a/b/c=d", "=x"])
def test_malformed_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as error:
        parse_label_selector(text)
    assert error.value.code == 400


def test_field_selectors() -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"flag": True}}
    selector = parse_field_selector("metadata.name=a,spec.flag=true,status.phase!=Failed")
    assert selector.matches(lambda path: field_value(obj, path))
    assert selector.exact("metadata.name") == "a"
    with pytest.raises(ApiError):
        parse_field_selector("metadata.name")


def test_selector_objects() -> None:
    assert not selector_from_object(None).matches_labels(LABELS)
    assert selector_from_object({}).matches_labels(LABELS)
    expressions = [{"key": "app", "operator": "In", "values": ["web"]}, {"key": "x", "operator": "DoesNotExist"}]
    assert selector_from_object({"matchLabels": {"tier": "front"}, "matchExpressions": expressions}).matches_labels(
        LABELS
    )
