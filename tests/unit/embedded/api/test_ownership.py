"""Sets of field paths and server-side apply on them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery import fieldset, ownership
from mlsysops_embedded.machinery.resources import BUILT_INS, Catalog, ResourceInfo
from mlsysops_embedded.validation.builtin import SCHEMAS

Obj = dict[str, Any]
KEYS = st.sampled_from(["f:a", "f:b", "f:c"])
SETS = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3).flatmap(
        lambda d: st.sampled_from([d, {".": {}, **d}])
    ),
    max_leaves=6,
).map(lambda node: {k: v for k, v in node.items() if k != "."})


def members(node: Obj) -> set[str]:
    return set(fieldset.paths(node))


@given(SETS, SETS)
def test_set_algebra_agrees_with_plain_sets(a: Obj, b: Obj) -> None:
    assert members(fieldset.union(a, b)) == members(a) | members(b)
    assert members(fieldset.difference(a, b)) == members(a) - members(b)
    assert members(fieldset.intersection(a, b)) == members(a) & members(b)


@pytest.fixture(scope="module")
def deployments() -> ResourceInfo:
    catalog = Catalog(BUILT_INS)
    catalog.with_schemas(SCHEMAS, {})
    return catalog.require("apps", "v1", "deployments")


def deployment(**spec: Any) -> Obj:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec}


def template(*containers: Obj) -> Obj:
    return {"spec": {"containers": list(containers)}}


def applied(info: ResourceInfo, live: Obj | None, config: Obj, manager: str, *, force: bool = False) -> Obj:
    if live is None:
        entry = ownership.applied_entry(config, info, manager)
        return {**config, "metadata": {**config["metadata"], "managedFields": entry}}
    merged, managers = ownership.apply(live, config, info, manager, "", force)
    return ownership.finish_apply(live, merged, managers)


def owners(obj: Obj) -> dict[str, set[str]]:
    return {e["manager"]: members(e["fieldsV1"]) for e in obj["metadata"].get("managedFields", [])}


def test_what_is_no_longer_applied_goes(deployments: ResourceInfo) -> None:
    first = applied(deployments, None, deployment(replicas=2, paused=True), "a")
    second = applied(deployments, first, deployment(replicas=2), "a")
    assert second["spec"] == {"replicas": 2}
    assert owners(second) == {"a": {".spec.replicas"}}


def test_what_another_manager_owns_stays(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(replicas=2, paused=True), "a")
    live = applied(deployments, live, deployment(paused=True), "b")
    live = applied(deployments, live, deployment(replicas=2), "a")
    assert live["spec"] == {"replicas": 2, "paused": True}


def test_another_value_is_a_conflict_until_forced(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(replicas=2), "a")
    with pytest.raises(ApiError) as error:
        applied(deployments, live, deployment(replicas=3), "b")
    assert error.value.code == 409
    assert error.value.status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".spec.replicas"}
    ]
    forced = applied(deployments, live, deployment(replicas=3), "b", force=True)
    assert forced["spec"]["replicas"] == 3
    assert owners(forced) == {"b": {".spec.replicas"}}


def test_the_same_value_is_shared(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(replicas=2), "a")
    live = applied(deployments, live, deployment(replicas=2), "b")
    assert owners(live) == {"a": {".spec.replicas"}, "b": {".spec.replicas"}}


def test_associative_lists_merge_by_key(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(template=template({"name": "x", "image": "x:1"})), "a")
    live = applied(deployments, live, deployment(template=template({"name": "y", "image": "y:1"})), "b")
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["x", "y"]
    ports = [{"containerPort": 80}]
    live = applied(deployments, live, deployment(template=template({"name": "y", "image": "y:1", "ports": ports})), "b")
    path = '.spec.template.spec.containers[name="y"].ports[containerPort=80,protocol="TCP"]'
    assert path in owners(live)["b"]
    live = applied(deployments, live, deployment(replicas=1), "b")
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["x"]


def test_an_update_takes_over_what_it_changes(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(replicas=2, paused=True), "a")
    wanted = {**live, "spec": {"replicas": 5, "paused": True}}
    new = ownership.track(live, wanted, None, deployments, "editor", "")
    assert owners(new) == {"a": {".spec.paused"}, "editor": {".spec.replicas"}}
    removed = ownership.track(new, {**new, "spec": {"replicas": 5}}, None, deployments, "editor", "")
    assert owners(removed) == {"editor": {".spec.replicas"}}


def test_managed_fields_can_be_reset(deployments: ResourceInfo) -> None:
    live = applied(deployments, None, deployment(replicas=2), "a")
    new = ownership.track(live, live, [{}], deployments, "b", "")
    assert "managedFields" not in new["metadata"]


def test_status_and_server_fields_are_nobodys_of_spec(deployments: ResourceInfo) -> None:
    obj = {**deployment(replicas=1), "status": {"replicas": 1}}
    obj["metadata"] = {"name": "d", "uid": "u", "labels": {"a": "b"}}
    new = ownership.track(None, obj, None, deployments, "m", "")
    # Spec is there in every Deployment, so that nobody brings it.
    assert owners(new)["m"] == {".spec.replicas", ".metadata.labels", ".metadata.labels.a"}
