"""Which policy claims a template, where it goes, and with how many replicas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_embedded.client import Object
from mlsysops_embedded.propagation.manifests import make_manifest, override, strip
from mlsysops_embedded.propagation.selection import (
    assign_replicas,
    choose_policy,
    cluster_matches,
    divide,
    target_clusters,
)

TEMPLATE: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app", "namespace": "shop", "uid": "u", "resourceVersion": "5", "labels": {"tier": "web"}},
    "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "a"}]}}},
    "status": {"replicas": 3},
}


def policy(name: str, *, namespace: str = "shop", select: Object | None = None, **spec: Any) -> Object:
    selector = {"apiVersion": "apps/v1", "kind": "Deployment", **(select or {})}
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "spec": {"resourceSelectors": [selector], **spec}}


def cluster(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"syncMode": "Pull"}}


BY_NAME = {"name": "app"}
BY_LABEL = {"labelSelector": {"matchLabels": {"tier": "web"}}}


@pytest.mark.parametrize(
    ("policies", "cluster_policies", "winner"),
    [
        ([policy("label", select=BY_LABEL), policy("name", select=BY_NAME)], [], "name"),
        ([policy("all"), policy("label", select=BY_LABEL)], [], "label"),
        ([policy("all", priority=9), policy("name", select=BY_NAME)], [], "all"),
        ([policy("b"), policy("a")], [], "a"),
        ([policy("all")], [policy("clusterwide", namespace="", select=BY_NAME, priority=9)], "all"),
        ([policy("other", select={"name": "x"})], [policy("clusterwide", namespace="")], "clusterwide"),
    ],
)
def test_choice(policies: list[Object], cluster_policies: list[Object], winner: str) -> None:
    chosen = choose_policy(TEMPLATE, policies, cluster_policies, None)
    assert chosen is not None
    assert chosen["metadata"]["name"] == winner


def test_a_claim_holds_until_it_is_preempted_or_void() -> None:
    first, better = policy("first"), policy("better", priority=5)
    assert choose_policy(TEMPLATE, [first, better], [], first) is first
    eager = policy("better", priority=5, preemption="Always")
    assert choose_policy(TEMPLATE, [first, eager], [], first) is eager
    void = policy("void", select={"name": "somebody-else"})
    assert choose_policy(TEMPLATE, [void, first], [], void) is first
    clusterwide = policy("cpp", namespace="", priority=9)
    namespaced = policy("pp", preemption="Always")
    assert choose_policy(TEMPLATE, [namespaced], [clusterwide], clusterwide) is namespaced
    assert choose_policy(TEMPLATE, [first], [clusterwide], clusterwide) is clusterwide


def test_affinity() -> None:
    assert cluster_matches({"clusterNames": ["a"]}, cluster("a"))
    assert not cluster_matches({"clusterNames": ["a"]}, cluster("b"))
    assert not cluster_matches({"clusterNames": ["a"], "exclude": ["a"]}, cluster("a"))
    assert cluster_matches({"labelSelector": {"matchLabels": {"zone": "x"}}}, cluster("a", zone="x"))


def test_a_cluster_that_is_away_keeps_what_it_has_and_gets_nothing_new() -> None:
    away = cluster("a")
    away["spec"]["taints"] = [{"key": "cluster.karmada.io/unreachable", "effect": "NoSchedule"}]
    assert [c["metadata"]["name"] for c in target_clusters({}, [away, cluster("b")], [])] == ["b"]
    assert [c["metadata"]["name"] for c in target_clusters({}, [away, cluster("b")], ["a"])] == ["a", "b"]


def test_affinity_groups_are_tried_in_turn() -> None:
    placement = {"clusterAffinities": [{"clusterNames": ["gone"]}, {"clusterNames": ["b"]}]}
    assert [c["metadata"]["name"] for c in target_clusters(placement, [cluster("a"), cluster("b")], [])] == ["b"]


@given(st.integers(0, 1000), st.dictionaries(st.text(min_size=1), st.integers(1, 50), min_size=1, max_size=8))
def test_division_is_complete_and_fair(replicas: int, weights: dict[str, int]) -> None:
    shares = divide(replicas, weights)
    assert sum(shares.values()) == replicas
    total = sum(weights.values())
    assert all(abs(shares[name] - replicas * weight / total) <= 1 for name, weight in weights.items())


def test_duplicated_and_weighted_replicas() -> None:
    both = [cluster("a"), cluster("b")]
    assert assign_replicas({}, both, 3) == [{"name": "a", "replicas": 3}, {"name": "b", "replicas": 3}]
    assert assign_replicas({}, both, None) == [{"name": "a"}, {"name": "b"}]
    weights = [{"targetCluster": {"clusterNames": [name]}, "weight": weight} for name, weight in (("a", 1), ("b", 2))]
    scheduling = {"replicaSchedulingType": "Divided", "weightPreference": {"staticWeightList": weights}}
    assigned = assign_replicas({"replicaScheduling": scheduling}, both, 10)
    assert assigned == [{"name": "a", "replicas": 3}, {"name": "b", "replicas": 7}]


def test_a_manifest_has_nothing_of_its_control_plane() -> None:
    manifest = make_manifest(TEMPLATE, cluster("a"), 2, [], ("karmada-es-a", "w"), "Abort")
    assert manifest["spec"]["replicas"] == 2
    assert "status" not in manifest
    assert {"uid", "resourceVersion"}.isdisjoint(manifest["metadata"])
    assert manifest["metadata"]["annotations"]["work.karmada.io/name"] == "w"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "1.2.3.4", "ports": []},
    }
    assert strip(service)["spec"] == {"ports": []}


def test_overrides_reach_into_lists_and_name_their_policy_when_they_do_not_fit() -> None:
    def rules(*plaintext: Object, target: Object | None = None) -> Object:
        rule = {"overriders": {"plaintext": list(plaintext)}, **({"targetCluster": target} if target else {})}
        return {"metadata": {"name": "o", "namespace": "shop"}, "spec": {"overrideRules": [rule]}}

    image = {"path": "/spec/template/spec/containers/0/image", "operator": "replace", "value": "b"}
    label = {"path": "/metadata/labels/example.org~1x", "operator": "add", "value": "y"}
    absent = {"path": "/metadata/annotations/none", "operator": "remove"}
    changed = override(TEMPLATE, cluster("a"), [rules(image, label, absent)])
    assert changed["spec"]["template"]["spec"]["containers"] == [{"image": "b"}]
    assert changed["metadata"]["labels"] == {"tier": "web", "example.org/x": "y"}
    assert override(TEMPLATE, cluster("a"), [rules(image, target={"clusterNames": ["b"]})]) == TEMPLATE
    with pytest.raises(ValueError, match="override policy o"):
        override(TEMPLATE, cluster("a"), [rules({**image, "path": "/spec/template/spec/containers/7/image"})])


def overridden(manifest: Object, **overriders: list[Object]) -> Object:
    rules = [{"overriders": overriders}]
    return override(manifest, cluster("a"), [{"metadata": {"name": "o"}, "spec": {"overrideRules": rules}}])


def image_after(image: str, component: str, operator: str, value: str = "") -> str:
    template = {**TEMPLATE, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    rule = {"component": component, "operator": operator, "value": value}
    changed = overridden(template, imageOverrider=[rule])
    return str(changed["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    ("image", "change", "wanted"),
    [
        ("nginx:1.2", ("Registry", "add", "reg.example:5000"), "reg.example:5000/nginx:1.2"),
        ("reg.example:5000/a/nginx", ("Registry", "replace", "other.example"), "other.example/a/nginx"),
        ("localhost/nginx:1", ("Registry", "remove"), "nginx:1"),
        ("team/nginx:1", ("Registry", "add", "r.io"), "r.io/team/nginx:1"),
        ("r.io/nginx:1", ("Repository", "add", "-arm"), "r.io/nginx-arm:1"),
        ("r.io/nginx:1", ("Repository", "replace", "app"), "r.io/app:1"),
        ("nginx", ("Tag", "replace", "2"), "nginx:2"),
        ("nginx:1", ("Tag", "add", "-slim"), "nginx:1-slim"),
        ("nginx:1", ("Tag", "remove"), "nginx"),
        ("nginx:1", ("Tag", "replace", "sha256:" + "a" * 64), "nginx@sha256:" + "a" * 64),
        ("nginx@sha256:" + "a" * 64, ("Tag", "replace", "1"), "nginx:1"),
    ],
)
def test_images_are_overridden_part_by_part(image: str, change: tuple[str, ...], wanted: str) -> None:
    assert image_after(image, *change) == wanted


def test_an_image_that_is_none_names_the_policy() -> None:
    with pytest.raises(ValueError, match="override policy o: imageOverrider"):
        image_after("not an image", "Tag", "replace", "1")
    with pytest.raises(ValueError, match="neither a tag nor a digest"):
        image_after("nginx", "Tag", "replace", "a b")


def test_an_image_outside_of_containers_is_found_by_its_path() -> None:
    manifest = {"apiVersion": "x/v1", "kind": "Robot", "metadata": {"name": "r"}, "spec": {"images": ["a:1"]}}
    rule = {"predicate": {"path": "/spec/images/0"}, "component": "Tag", "operator": "replace", "value": "2"}
    assert overridden(manifest, imageOverrider=[rule])["spec"]["images"] == ["a:2"]


def test_commands_arguments_labels_and_annotations_are_overridden() -> None:
    containers = [{"name": "c", "image": "a", "command": ["run"], "args": ["-v", "-x"]}, {"name": "d", "image": "a"}]
    template = {**TEMPLATE, "spec": {"template": {"spec": {"containers": containers}}}}
    changed = overridden(
        template,
        commandOverrider=[{"containerName": "d", "operator": "add", "value": ["go"]}],
        argsOverrider=[
            {"containerName": "c", "operator": "add", "value": ["-y"]},
            {"containerName": "c", "operator": "remove", "value": ["-v"]},
        ],
        labelsOverrider=[
            {"operator": "replace", "value": {"tier": "db", "absent": "x"}},
            {"operator": "add", "value": {"new/label": "1"}},
        ],
        annotationsOverrider=[{"operator": "remove", "value": {"absent": ""}}],
        plaintext=[{"path": "/metadata/labels/last", "operator": "add", "value": "1"}],
    )
    assert changed["spec"]["template"]["spec"]["containers"] == [
        {"name": "c", "image": "a", "command": ["run"], "args": ["-x", "-y"]},
        {"name": "d", "image": "a", "command": ["go"]},
    ]
    assert changed["metadata"]["labels"] == {"tier": "db", "new/label": "1", "last": "1"}
    assert "annotations" not in changed["metadata"]


@pytest.mark.parametrize(
    ("key", "operator", "values", "fits"),
    [
        ("provider", "In", ["p"], True),
        ("provider", "NotIn", ["p"], False),
        ("region", "In", ["r"], False),
        ("region", "NotIn", ["r"], True),
        ("zone", "In", ["z2", "z9"], True),
        ("zone", "In", ["z9"], False),
        ("zone", "NotIn", ["z1"], False),
        ("zone", "NotIn", ["z9"], True),
    ],
)
def test_clusters_are_chosen_by_their_fields(key: str, operator: str, values: list[str], fits: bool) -> None:
    named = {"metadata": {"name": "a"}, "spec": {"provider": "p", "zones": ["z1", "z2"]}}
    selector = {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    assert cluster_matches({"fieldSelector": selector}, named) is fits


def test_the_older_zone_counts() -> None:
    selector = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}]}
    assert cluster_matches({"fieldSelector": selector}, {"metadata": {"name": "a"}, "spec": {"zone": "z"}})
