"""Applications that one cluster cannot host: tried elsewhere, or divided, and then their components still reach each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes.resources import ENDPOINT_SLICES, MLSYSOPS_APPS, NODES, PODS, SERVICES
from mlsysops_core.errors import NotFound
from tiers_slice import NAMESPACE, eventually, pair_application
from two_clusters import TwoClusters

NAME = "test-application"


@pytest.fixture
async def two_clusters(tmp_path: Path) -> AsyncIterator[TwoClusters]:
    """A slice of two clusters whose agents and nodes are ready."""
    made = TwoClusters(tmp_path)
    try:
        await made.start()
        await eventually(made.all_ready, seconds=90, what="the slice is ready")
        yield made
    finally:
        await made.stop()


def without_cluster(**changes: Any) -> dict[str, Any]:
    application = pair_application(**changes)
    del application["cluster_placement"]
    return application


async def test_what_one_cluster_refuses_another_one_takes(two_clusters: TwoClusters) -> None:
    # The continuum cannot know of a cordon; it would choose the first of two equal clusters.
    client = two_clusters.members["cluster1"]
    await client.patch(NODES, "worker1", {"spec": {"unschedulable": True}}, field_manager="tests")
    await two_clusters.deploy(without_cluster())
    refused = await eventually(lambda: assigned(two_clusters, "cluster1"), what="the first cluster is asked first")
    assert refused
    status = await two_clusters.running(NAME, 90)
    assert {item["cluster"] for item in status["components"]} == {"cluster2"}
    assert await two_clusters.pods_in("cluster1") == set()
    reasons = [item for decision in status["decisions"] for item in decision.get("rejected") or ()]
    assert any(item["filter"] == "refused" and "unschedulable" in item["reason"] for item in reasons)


async def assigned(two_clusters: TwoClusters, cluster: str) -> bool:
    annotations = (await two_clusters.app(NAME))["metadata"].get("annotations") or {}
    return cluster in annotations.get("mlsysops.eu/component-clusters", "")


async def test_components_in_two_clusters_talk_and_go_on_talking(two_clusters: TwoClusters) -> None:
    application = without_cluster()
    for component, node in zip(application["components"], ("worker1", "worker2"), strict=True):
        component["node_placement"] = {"node": node}
    await two_clusters.deploy(application)
    status = await two_clusters.running(NAME, 90)
    assert {item["name"]: item["cluster"] for item in status["components"]} == {
        "server-app": "cluster1",
        "client-app": "cluster2",
    }

    async def satisfied() -> bool:
        found = await two_clusters.status(NAME)
        return all(item.get("satisfied") for item in found["performance"])

    # What the client sends arrives, and it has nothing but the Service in its own cluster to send it to.
    await eventually(satisfied, seconds=90, what="the client's messages arrive")
    here, there = two_clusters.members["cluster2"], two_clusters.members["cluster1"]
    service = await here.get(SERVICES, "server-app", NAMESPACE)
    assert "selector" not in service["spec"]
    assert await address_of(two_clusters) == await pod_address(two_clusters)

    async def reachable() -> bool:
        found = await two_clusters.status(NAME)
        (condition,) = [item for item in found["conditions"] if item["type"] == "Reachable"]
        return bool(condition["status"] == "True" and condition["reason"] == "AcrossClusters")

    await eventually(reachable, what="the condition says that they reach each other")

    # Another pod, another address: the Service follows.
    before = await pod_address(two_clusters)
    for pod in (await there.list(PODS, NAMESPACE))["items"]:
        await there.delete(PODS, pod["metadata"]["name"], NAMESPACE)

    async def followed() -> bool:
        now = await pod_address(two_clusters)
        return now not in {"", before} and await address_of(two_clusters) == now

    await eventually(followed, seconds=60, what="the Service leads to the new pod")
    await eventually(satisfied, seconds=90, what="messages arrive again")
    assert (await here.get(SERVICES, "server-app", NAMESPACE))["metadata"]["uid"] == service["metadata"]["uid"]

    # Nothing is left of it when the application goes.
    await two_clusters.continuum.delete(MLSYSOPS_APPS, NAME, NAMESPACE)

    async def gone() -> bool:
        try:
            await here.get(SERVICES, "server-app", NAMESPACE)
        except NotFound:
            return not (await here.list(ENDPOINT_SLICES, NAMESPACE))["items"]
        return False

    await eventually(gone, seconds=60, what="Service and addresses are gone")


async def pod_address(two_clusters: TwoClusters) -> str:
    pods = (await two_clusters.members["cluster1"].list(PODS, NAMESPACE))["items"]
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return str((alive[0].get("status") or {}).get("podIP") or "") if len(alive) == 1 else ""


async def address_of(two_clusters: TwoClusters) -> str:
    found = await two_clusters.members["cluster2"].get(ENDPOINT_SLICES, "server-app-elsewhere", NAMESPACE)
    return "".join(address for item in found.get("endpoints") or () for address in item["addresses"])
