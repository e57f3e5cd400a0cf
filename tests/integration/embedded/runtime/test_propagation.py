"""Two control planes: what policies send down, what comes up, and a member that is away meanwhile."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from embedded_plane import Plane, eventually, free_slice, gone
from mlsysops_embedded.client import HttpClient, Object, Resource
from mlsysops_embedded.client.resources import (
    CLUSTER_POLICIES,
    CLUSTERS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    NAMESPACES,
    OVERRIDE_POLICIES,
    PODS,
    POLICIES,
    REPLICA_SETS,
    RESOURCE_BINDINGS,
    WORKS,
)
from mlsysops_embedded.errors import ApiError

WIDGETS = Resource("example.org", "v1", "widgets", True, "Widget")


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plane, Plane]]:
    """A continuum and one member of it."""
    octet, root = free_slice(), tmp_path_factory.mktemp("federation")
    top, member = Plane(root / "top", "continuum", octet, 0), Plane(root / "member", "cluster1", octet, 1)
    top.bootstrap(member="karmada:agent:cluster1")
    member.bootstrap(nodes=("worker1",))
    top.options = {"propagation": {"enabled": True}}
    member.options = {"member": {"cluster": "cluster1", "kubeconfig": str(top.member_kubeconfig)}}
    try:
        top.start()
        member.start()
        member.start_kubelet("worker1")
        yield top, member
    finally:
        member.close()
        top.close()


@pytest.fixture
async def clients(planes: tuple[Plane, Plane]) -> AsyncIterator[tuple[HttpClient, HttpClient]]:
    top, member = planes
    async with top.client() as above, member.client() as below:
        await top.ready(above)
        await member.ready(below)

        async def joined() -> bool:
            cluster = await above.get(CLUSTERS, "cluster1")
            conditions = (cluster.get("status") or {}).get("conditions") or ()
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        await eventually(joined)
        yield above, below


def config_map(name: str, data: dict[str, str], **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "data": data}


def policy(name: str, *selectors: Object, **spec: Any) -> Object:
    placement = {"clusterAffinity": {"clusterNames": ["cluster1"]}}
    body = {"resourceSelectors": list(selectors), "placement": placement, **spec}
    return {"apiVersion": POLICIES.api_version, "kind": "PropagationPolicy", "metadata": {"name": name}, "spec": body}


def selects(kind: str, api_version: str = "v1", **more: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, **more}


async def has_data(client: HttpClient, name: str, data: dict[str, str], namespace: str = "default") -> Object | None:
    found = await client.get(CONFIG_MAPS, name, namespace)
    return found if found.get("data") == data else None


async def binding_applied(client: HttpClient, name: str, namespace: str = "default") -> Object | None:
    found = await client.get(RESOURCE_BINDINGS, name, namespace)
    items = (found.get("status") or {}).get("aggregatedStatus") or []
    return found if items and all(item["applied"] for item in items) else None


async def test_the_cluster_describes_itself(clients: tuple[HttpClient, HttpClient]) -> None:
    cluster = await clients[0].get(CLUSTERS, "cluster1")
    assert cluster["spec"]["syncMode"] == "Pull"
    versions = {entry["groupVersion"] for entry in cluster["status"]["apiEnablements"]}
    assert {"v1", "apps/v1"} <= versions


async def test_a_config_map_goes_down_changes_and_goes_away(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await above.create(POLICIES, policy("maps", selects("ConfigMap", name="shared")), "default")
    await above.create(CONFIG_MAPS, config_map("shared", {"a": "1"}), "default")
    live = await eventually(lambda: has_data(below, "shared", {"a": "1"}))
    assert live["metadata"]["labels"]["karmada.io/managed"] == "true"
    await eventually(lambda: binding_applied(above, "shared-configmap"))
    template = await above.get(CONFIG_MAPS, "shared", "default")
    assert template["metadata"]["annotations"]["propagationpolicy.karmada.io/name"] == "maps"
    await above.patch(CONFIG_MAPS, "shared", {"data": {"a": None, "b": "2"}}, "default", patch_type="merge")
    await eventually(lambda: has_data(below, "shared", {"b": "2"}))
    # Drift is mended, and what only the member has stays.
    drift = {"data": {"b": "drifted"}, "metadata": {"annotations": {"local": "kept"}}}
    await below.patch(CONFIG_MAPS, "shared", drift, "default", patch_type="merge")
    mended = await eventually(lambda: has_data(below, "shared", {"b": "2"}))
    assert mended["metadata"]["annotations"]["local"] == "kept"
    # Without its policy it stays, without its template it goes.
    await above.delete(POLICIES, "maps", "default")
    await above.delete(CONFIG_MAPS, "shared", "default")
    await eventually(lambda: gone(below, CONFIG_MAPS, "shared", "default"))
    await eventually(lambda: gone(above, RESOURCE_BINDINGS, "shared-configmap", "default"))
    works = (await above.list(WORKS, "karmada-es-cluster1"))["items"]
    assert not any(w["spec"]["workload"]["manifests"][0]["metadata"]["name"] == "shared" for w in works)


async def test_namespaces_definitions_and_custom_resources_with_status(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    await above.create(CUSTOM_RESOURCE_DEFINITIONS, {**kind, "metadata": {"name": "widgets.example.org"}, "spec": spec})
    everything = policy(
        "kinds", selects("CustomResourceDefinition", "apiextensions.k8s.io/v1", name="widgets.example.org")
    )
    everything["kind"] = "ClusterPropagationPolicy"
    everything["spec"]["placement"] = {}
    await above.create(CLUSTER_POLICIES, everything)
    await above.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await eventually(lambda: below.get(NAMESPACES, "shop"))
    await eventually(lambda: below.get(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.org"))
    selector = selects("Widget", "example.org/v1", labelSelector={"matchLabels": {"go": "down"}})
    await above.create(POLICIES, policy("widgets", selector), "shop")
    widget = {
        "apiVersion": "example.org/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "labels": {"go": "down"}},
        "spec": {"n": 1},
    }

    async def created() -> bool:
        await above.create(WIDGETS, widget, "shop")
        return True

    await eventually(created)
    await eventually(lambda: below.get(WIDGETS, "w", "shop"))
    await below.patch(WIDGETS, "w", {"status": {"phase": "Running"}}, "shop", patch_type="merge", subresource="status")

    async def came_up() -> bool:
        found = await above.get(RESOURCE_BINDINGS, "w-widget", "shop")
        return [i.get("status") for i in found["status"]["aggregatedStatus"]] == [{"phase": "Running"}]

    await eventually(came_up)
    await above.patch(WIDGETS, "w", {"spec": {"n": 2}}, "shop", patch_type="merge")

    async def changed() -> bool:
        found = await below.get(WIDGETS, "w", "shop")
        return bool(found["spec"]["n"] == 2 and found["status"] == {"phase": "Running"})

    await eventually(changed)
    await above.delete(WIDGETS, "w", "shop")
    await eventually(lambda: gone(below, WIDGETS, "w", "shop"))
    await above.delete(NAMESPACES, "shop")
    await eventually(lambda: gone(below, NAMESPACES, "shop"))


async def test_what_somebody_else_made_is_left_alone(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await below.create(CONFIG_MAPS, config_map("mine", {"a": "local"}), "default")
    await above.create(POLICIES, policy("abort", selects("ConfigMap", name="mine")), "default")
    await above.create(CONFIG_MAPS, config_map("mine", {"a": "global"}), "default")

    async def refused() -> bool:
        found = await above.get(RESOURCE_BINDINGS, "mine-configmap", "default")
        items = (found.get("status") or {}).get("aggregatedStatus") or []
        return bool(items) and "not managed by this Work" in items[0].get("appliedMessage", "")

    await eventually(refused)
    assert await has_data(below, "mine", {"a": "local"})
    await above.patch(POLICIES, "abort", {"spec": {"conflictResolution": "Overwrite"}}, "default", patch_type="merge")
    await eventually(lambda: has_data(below, "mine", {"a": "global"}))
    await above.delete(CONFIG_MAPS, "mine", "default")
    await eventually(lambda: gone(below, CONFIG_MAPS, "mine", "default"))


async def test_what_is_to_stay_stays_without_a_mark(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    stays = policy("stays", selects("ConfigMap", name="heirloom"))
    stays["spec"]["preserveResourcesOnDeletion"] = True
    await above.create(POLICIES, stays, "default")
    await above.create(CONFIG_MAPS, config_map("heirloom", {"a": "1"}), "default")
    await eventually(lambda: has_data(below, "heirloom", {"a": "1"}))
    await eventually(lambda: binding_applied(above, "heirloom-configmap"))
    await above.delete(CONFIG_MAPS, "heirloom", "default")

    async def let_go() -> Object | None:
        found = await below.get(CONFIG_MAPS, "heirloom", "default")
        return None if "karmada.io" in str(found["metadata"].get("labels")) else found

    left = await eventually(let_go)
    assert left["data"] == {"a": "1"}
    assert not [key for key in left["metadata"].get("annotations") or {} if "karmada.io" in key]


async def test_overrides_and_divided_replicas(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    plaintext = [{"path": "/spec/template/spec/containers/0/image", "operator": "replace", "value": "simulated/b"}]
    rule = {"targetCluster": {"clusterNames": ["cluster1"]}, "overriders": {"plaintext": plaintext}}
    override = {
        "metadata": {"name": "image"},
        "spec": {"resourceSelectors": [selects("Deployment", "apps/v1")], "overrideRules": [rule]},
    }
    await above.create(OVERRIDE_POLICIES, override, "default")
    divided = {
        "clusterAffinity": {"clusterNames": ["cluster1"]},
        "replicaScheduling": {
            "replicaSchedulingType": "Divided",
            "replicaDivisionPreference": "Weighted",
            "weightPreference": {"staticWeightList": [{"targetCluster": {"clusterNames": ["cluster1"]}, "weight": 1}]},
        },
    }
    await above.create(
        POLICIES, policy("deploys", selects("Deployment", "apps/v1", name="app"), placement=divided), "default"
    )
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "simulated/a"}]}}
    deployment = {
        "metadata": {"name": "app"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    await above.create(DEPLOYMENTS, deployment, "default")
    found = await eventually(lambda: below.get(DEPLOYMENTS, "app", "default"))
    assert found["spec"]["replicas"] == 3
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "simulated/b"
    binding = await eventually(lambda: binding_applied(above, "app-deployment"))
    assert binding["spec"]["clusters"] == [{"name": "cluster1", "replicas": 3}]
    await above.delete(OVERRIDE_POLICIES, "image", "default")
    await above.delete(DEPLOYMENTS, "app", "default")
    await eventually(lambda: gone(below, DEPLOYMENTS, "app", "default"))


async def test_a_template_runs_in_members_alone_and_tells_how_they_fare(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await above.create(POLICIES, policy("runs", selects("Deployment", "apps/v1", name="runs")), "default")
    template = {"metadata": {"labels": {"a": "runs"}}, "spec": {"containers": [{"name": "c", "image": "simulated/a"}]}}
    deployment = {
        "metadata": {"name": "runs"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "runs"}}, "template": template},
    }
    await above.create(DEPLOYMENTS, deployment, "default")

    async def rolled_out(replicas: int) -> bool:
        found = await above.get(DEPLOYMENTS, "runs", "default")
        status = found.get("status") or {}
        return status.get("observedGeneration") == found["metadata"]["generation"] and all(
            status.get(field) == replicas for field in ("replicas", "updatedReplicas", "availableReplicas")
        )

    await eventually(lambda: rolled_out(2))
    for resource in (REPLICA_SETS, PODS):
        assert (await below.list(resource, "default"))["items"]
        assert not (await above.list(resource, "default"))["items"]
    await above.patch(DEPLOYMENTS, "runs", {"spec": {"replicas": 3}}, "default", patch_type="merge")
    await eventually(lambda: rolled_out(3))
    await above.delete(DEPLOYMENTS, "runs", "default")
    await eventually(lambda: gone(below, DEPLOYMENTS, "runs", "default"))


async def test_overriders_of_every_kind_go_down(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    overriders = {
        "imageOverrider": [{"component": "Registry", "operator": "replace", "value": "mirror.example"}],
        "commandOverrider": [{"containerName": "c", "operator": "add", "value": ["run"]}],
        "argsOverrider": [{"containerName": "c", "operator": "remove", "value": ["-v"]}],
        "labelsOverrider": [{"operator": "add", "value": {"from": "override"}}],
        "annotationsOverrider": [{"operator": "add", "value": {"from": "override"}}],
    }
    chosen = {"fieldSelector": {"matchExpressions": [{"key": "region", "operator": "In", "values": ["north"]}]}}
    rule = {"targetCluster": chosen, "overriders": overriders}
    selector = selects("Deployment", "apps/v1", name="parts")
    spec = {"resourceSelectors": [selector], "overrideRules": [rule]}
    await above.create(OVERRIDE_POLICIES, {"metadata": {"name": "parts"}, "spec": spec}, "default")
    await above.create(POLICIES, policy("parts", selector, placement={}), "default")
    container = {"name": "c", "image": "simulated.example/a:1", "args": ["-v", "-x"]}
    template = {"metadata": {"labels": {"a": "parts"}}, "spec": {"containers": [container]}}
    deployment = {
        "metadata": {"name": "parts"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "parts"}}, "template": template},
    }
    await above.create(DEPLOYMENTS, deployment, "default")
    plain = await eventually(lambda: below.get(DEPLOYMENTS, "parts", "default"))
    assert plain["spec"]["template"]["spec"]["containers"][0]["image"] == "simulated.example/a:1"
    # A cluster that says where it is comes to be one of those that the rule is for.
    await above.patch(CLUSTERS, "cluster1", {"spec": {"region": "north"}}, patch_type="merge")

    async def overridden() -> bool:
        found = await below.get(DEPLOYMENTS, "parts", "default")
        own, marks = found["spec"]["template"]["spec"]["containers"][0], found["metadata"]
        return (
            own["image"] == "mirror.example/a:1"
            and own["command"] == ["run"]
            and own["args"] == ["-x"]
            and marks["labels"]["from"] == "override"
            and marks["annotations"]["from"] == "override"
        )

    await eventually(overridden)
    await above.delete(DEPLOYMENTS, "parts", "default")
    await above.patch(CLUSTERS, "cluster1", {"spec": {"region": None}}, patch_type="merge")


@pytest.mark.parametrize(
    ("placement", "text"),
    [
        ({"spreadConstraints": [{"spreadByField": "cluster", "maxGroups": 1}]}, "spreadConstraints is not supported"),
        (
            {"replicaScheduling": {"weightPreference": {"dynamicWeight": "AvailableReplicas"}}},
            "dynamicWeight is not supported",
        ),
        (
            {"clusterAffinity": {"clusterNames": ["a"]}, "clusterAffinities": [{"affinityName": "b"}]},
            "clusterAffinities cannot co-exist with clusterAffinity",
        ),
        (
            {"clusterAffinity": {"fieldSelector": {"matchExpressions": [{"key": "name", "operator": "In"}]}}},
            "fieldSelector.matchExpressions[0].key",
        ),
    ],
)
async def test_placements_that_are_not_carried_out_are_refused(
    clients: tuple[HttpClient, HttpClient], placement: Object, text: str
) -> None:
    with pytest.raises(ApiError) as refused:
        await clients[0].create(POLICIES, policy("bad", selects("ConfigMap"), placement=placement), "default")
    assert refused.value.code == 422
    assert text in str(refused.value)


async def test_overriders_that_are_not_carried_out_are_refused(clients: tuple[HttpClient, HttpClient]) -> None:
    rule = {"overriders": {"fieldOverrider": [{"fieldPath": "/data/a", "yaml": []}]}}
    with pytest.raises(ApiError, match="fieldOverrider is not supported by this engine"):
        await clients[0].create(
            OVERRIDE_POLICIES, {"metadata": {"name": "bad"}, "spec": {"overrideRules": [rule]}}, "default"
        )


async def test_a_member_that_was_away_catches_up(
    planes: tuple[Plane, Plane], clients: tuple[HttpClient, HttpClient]
) -> None:
    above, below = clients
    top, member = planes
    await above.create(
        POLICIES, policy("away", selects("ConfigMap", labelSelector={"matchLabels": {"go": "away"}})), "default"
    )
    for name in ("stays", "changes", "goes"):
        await above.create(CONFIG_MAPS, config_map(name, {"a": "1"}, go="away"), "default")
    before = {
        name: await eventually(lambda name=name: has_data(below, name, {"a": "1"})) for name in ("stays", "changes")
    }  # type: ignore[misc]
    await eventually(lambda: has_data(below, "goes", {"a": "1"}))
    # The control plane above is away: nothing changes below, and the member mends drift by itself.
    top.daemons["controlplane"].stop(signal.SIGKILL)
    await below.patch(CONFIG_MAPS, "stays", {"data": {"a": "drift"}}, "default", patch_type="merge")
    await eventually(lambda: has_data(below, "stays", {"a": "1"}))
    assert await has_data(below, "goes", {"a": "1"})
    top.daemons["controlplane"].start()
    await top.ready(above)
    # The member is away: what happens above meanwhile reaches it when it is back.
    member.daemons["controlplane"].stop(signal.SIGKILL)
    await above.delete(CONFIG_MAPS, "goes", "default")
    await above.patch(CONFIG_MAPS, "changes", {"data": {"a": "2"}}, "default", patch_type="merge")
    await above.create(CONFIG_MAPS, config_map("comes", {"a": "1"}, go="away"), "default")
    member.daemons["controlplane"].start()
    await member.ready(below)
    await eventually(lambda: has_data(below, "comes", {"a": "1"}))
    await eventually(lambda: has_data(below, "changes", {"a": "2"}))
    await eventually(lambda: gone(below, CONFIG_MAPS, "goes", "default"))
    for name, old in before.items():
        found = await below.get(CONFIG_MAPS, name, "default")
        assert found["metadata"]["uid"] == old["metadata"]["uid"]


async def test_leaving_takes_nothing_away(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await above.create(POLICIES, policy("leave", selects("ConfigMap", name="left")), "default")
    await above.create(CONFIG_MAPS, config_map("left", {"a": "1"}), "default")
    before = await eventually(lambda: has_data(below, "left", {"a": "1"}))
    first = await above.get(CLUSTERS, "cluster1")
    await above.delete(CLUSTERS, "cluster1")

    async def joined_again() -> bool:
        return bool((await above.get(CLUSTERS, "cluster1"))["metadata"]["uid"] != first["metadata"]["uid"])

    await eventually(joined_again)
    await eventually(lambda: binding_applied(above, "left-configmap"))
    after = await below.get(CONFIG_MAPS, "left", "default")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_what_is_suspended_waits_and_then_goes_down(clients: tuple[HttpClient, HttpClient]) -> None:
    above, below = clients
    await above.create(CONFIG_MAPS, config_map("held", {"a": "1"}), "default")
    held = policy(
        "held", selects("ConfigMap", name="held"), suspension={"dispatchingOnClusters": {"clusterNames": ["cluster1"]}}
    )
    await above.create(POLICIES, held, "default")

    async def suspended() -> bool:
        works = (await above.list(WORKS, "karmada-es-cluster1"))["items"]
        return any(
            w["spec"]["suspendDispatching"] for w in works if w["spec"]["workload"]["manifests"][0]["metadata"]["name"] == "held"
        )  # fmt: skip

    await eventually(suspended)
    assert await gone(below, CONFIG_MAPS, "held", "default")
    await above.patch(POLICIES, "held", {"spec": {"suspension": None}}, "default", patch_type="merge")
    await eventually(lambda: has_data(below, "held", {"a": "1"}))


async def test_a_cluster_says_which_one_it_is_and_kinds_without_a_check_are_healthy(
    clients: tuple[HttpClient, HttpClient],
) -> None:
    above, below = clients
    identity = (await below.get(NAMESPACES, "kube-system"))["metadata"]["uid"]
    assert (await above.get(CLUSTERS, "cluster1"))["spec"]["id"] == identity
    await above.create(CONFIG_MAPS, config_map("well", {"a": "1"}), "default")
    await above.create(POLICIES, policy("well", selects("ConfigMap", name="well")), "default")

    async def healthy() -> bool:
        status = (await above.get(RESOURCE_BINDINGS, "well-configmap", "default")).get("status") or {}
        return [item["health"] for item in status.get("aggregatedStatus") or ()] == ["Healthy"]

    await eventually(healthy)
