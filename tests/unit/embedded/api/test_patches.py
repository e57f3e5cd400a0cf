"""JSON, merge and strategic merge patches."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.patch import json_patch, merge_patch, strategic_patch
from mlsysops_embedded.validation.builtin import SCHEMAS

DEPLOYMENT = SCHEMAS["apps/v1", "Deployment"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_a_merge_patch_is_idempotent_and_leaves_its_arguments(target: object, patch: object) -> None:
    before = copy.deepcopy((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert (target, patch) == before


def test_null_removes_in_a_merge_patch() -> None:
    assert merge_patch({"a": 1, "b": {"c": 1, "d": 2}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 2}}


def test_json_patch_operations() -> None:
    doc = {"a": [1, 2], "b/c": {"d~e": 1}}
    patch = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/1", "value": 9},
        {"op": "add", "path": "/a/-", "value": 8},
        {"op": "remove", "path": "/a/0"},
        {"op": "replace", "path": "/b~1c/d~0e", "value": 2},
        {"op": "copy", "from": "/a/0", "path": "/f"},
        {"op": "move", "from": "/f", "path": "/g"},
    ]
    assert json_patch(doc, patch) == {"a": [9, 2, 8], "b/c": {"d~e": 2}, "g": 9}
    assert doc == {"a": [1, 2], "b/c": {"d~e": 1}}


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([{"op": "remove", "path": "/x"}], 422),
        ([{"op": "replace", "path": "/x/y", "value": 1}], 422),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "add", "path": "/l/9", "value": 2}], 422),
        ([{"op": "jump", "path": "/a"}], 422),
        ([{"op": "add", "path": "a", "value": 1}], 422),
        ([{"op": "add", "path": "/a"}], 422),
        ({"op": "add"}, 400),
        ([1], 400),
    ],
)
def test_a_json_patch_that_cannot_be_applied_is_refused(patch: object, code: int) -> None:
    with pytest.raises(ApiError) as error:
        json_patch({"a": 1, "l": []}, patch)
    assert error.value.code == code


def containers(*names: str) -> dict[str, object]:
    return {"spec": {"template": {"spec": {"containers": [{"name": n, "image": f"{n}:1"} for n in names]}}}}


def test_a_strategic_patch_merges_lists_by_key() -> None:
    patch = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "b", "env": [{"name": "X", "value": "1"}]}, {"name": "c"}]}}
        }
    }
    result = strategic_patch(containers("a", "b"), patch, DEPLOYMENT)
    assert result["spec"]["template"]["spec"]["containers"] == [
        {"name": "a", "image": "a:1"},
        {"name": "b", "image": "b:1", "env": [{"name": "X", "value": "1"}]},
        {"name": "c"},
    ]


def test_directives_of_a_strategic_patch() -> None:
    def patched(items: object, **more: object) -> list[dict[str, str]]:
        body = {"spec": {"template": {"spec": {"containers": items, **more}}}}
        result = strategic_patch(containers("a", "b"), body, DEPLOYMENT)
        return result["spec"]["template"]["spec"]["containers"]  # type: ignore[no-any-return]

    assert [c["name"] for c in patched([{"name": "a", "$patch": "delete"}])] == ["b"]
    assert patched([{"$patch": "replace"}, {"name": "z"}]) == [{"name": "z"}]
    order = [{"name": "c"}, {"name": "b"}, {"name": "a"}]
    assert [c["name"] for c in patched([{"name": "c"}], **{"$setElementOrder/containers": order})] == ["c", "b", "a"]
    target = {"metadata": {"finalizers": ["a", "b"]}}
    kept = strategic_patch(target, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, DEPLOYMENT)
    assert kept["metadata"]["finalizers"] == ["b"]
    strategy = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    changed = strategic_patch(
        strategy, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, DEPLOYMENT
    )
    assert changed["spec"]["strategy"] == {"type": "Recreate"}


def test_an_atomic_list_is_replaced() -> None:
    target = {"spec": {"template": {"spec": {"containers": [{"name": "a", "args": ["x", "y"]}]}}}}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "args": ["z"]}]}}}}
    result = strategic_patch(target, patch, DEPLOYMENT)
    assert result["spec"]["template"]["spec"]["containers"][0]["args"] == ["z"]


@pytest.mark.timeout(60)  # a fraction of a second in time linear in the lists, many minutes in quadratic time
def test_long_lists_merge() -> None:
    schema = {
        "properties": {
            "texts": {"type": "array", "x-kubernetes-patch-strategy": "merge"},
            "items": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "n"},
        }
    }
    count = 40_000
    texts = [f"t{i}" for i in range(count)]
    target = {"texts": texts, "items": [{"n": i, "v": 0} for i in range(count)]}
    patch = {
        "texts": [f"u{i}" for i in range(count)],
        "$setElementOrder/texts": [*reversed(texts), *(f"u{i}" for i in range(count))],
        "items": [{"n": i, "v": 1} for i in range(1, count)] + [{"n": 0, "$patch": "delete"}],
        "$setElementOrder/items": [{"n": i} for i in reversed(range(1, count))],
    }
    result = strategic_patch(target, patch, schema)
    assert (result["texts"][0], result["texts"][-1]) == (texts[-1], f"u{count - 1}")
    assert (len(result["items"]), result["items"][0]) == (count - 1, {"n": count - 1, "v": 1})
