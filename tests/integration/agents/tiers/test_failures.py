"""Nodes and whole clusters that go away and come back, on real processes: what may move moves, and nothing runs twice."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from mlsysops_agents.adapters.kubernetes.resources import LEASES, NODES
from tiers_slice import LocalSlice, Object, eventually, pair_application
from two_clusters import LEASE, TwoClusters

NAME = "test-application"


class ShortLeases(LocalSlice):
    """A slice whose nodes and agents are missed soon."""

    def inventory(self) -> Object:
        found = super().inventory()
        found["all"]["vars"]["mls_lease_seconds"] = LEASE
        return found


@pytest.fixture
async def short_leases(tmp_path: Path) -> AsyncIterator[ShortLeases]:
    """A slice with short Leases whose agents and nodes are ready."""
    made = ShortLeases(tmp_path)
    try:
        await made.start()
        await eventually(made.all_ready, seconds=90, what="the slice is ready")
        yield made
    finally:
        await made.stop()


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


async def test_components_of_a_silent_node_run_elsewhere_within_two_leases(short_leases: ShortLeases) -> None:
    await short_leases.deploy(pair_application())
    status = await short_leases.running(NAME)
    (lost,) = {item["node"] for item in status["components"]}
    (other,) = set(short_leases.workers) - {lost}
    short_leases.processes[f"{lost}-kubelet"].stop(signal.SIGKILL)

    async def moved() -> bool:
        found = await short_leases.status(NAME)
        return {item.get("node") for item in found["components"]} == {other} and found["phase"] == "Running"

    await eventually(moved, seconds=90, what="components run elsewhere")
    # How long programs take to start is up to the machine; when they were placed anew is up to us.
    heartbeat = (await short_leases.member.get(LEASES, lost, "kube-node-lease"))["spec"]["renewTime"]
    decisions = (await short_leases.status(NAME))["decisions"]
    decided = min(item["time"] for item in decisions if item["policy"] == "relocateComponents" and item.get("plan"))
    assert datetime.fromisoformat(decided) - datetime.fromisoformat(heartbeat) <= timedelta(seconds=2 * LEASE)
    # The Node object is still there: it was silence that moved them, not a deletion.
    await short_leases.member.get(NODES, lost)


async def test_a_lost_cluster_is_left_and_nothing_runs_twice_when_it_is_back(two_clusters: TwoClusters) -> None:
    application = pair_application(permitted_actions=["component_relocation"])
    del application["cluster_placement"]
    await two_clusters.deploy(application)
    status = await two_clusters.running(NAME, 90)
    (lost,) = {item["cluster"] for item in status["components"]}
    (other,) = {"cluster1", "cluster2"} - {lost}
    assert {item["type"]: item["status"] for item in status["conditions"]}["Reachable"] == "True"
    number = int(lost[-1])
    await two_clusters.lose(number)

    async def moved() -> bool:
        found = await two_clusters.status(NAME)
        return {item.get("cluster") for item in found["components"]} == {other} and found["phase"] == "Running"

    await eventually(moved, seconds=120, what="the application runs in the other cluster")
    uids = await two_clusters.pods_in(other)
    assert uids == {"server-app", "client-app"}

    await two_clusters.bring_back(number)

    async def once() -> bool:
        return not await two_clusters.pods_in(lost)

    await eventually(once, seconds=60, what="the old copy is gone")
    await eventually(two_clusters.all_ready, seconds=90, what="the cluster is back")
    assert await two_clusters.pods_in(other) == {"server-app", "client-app"}
    status = await two_clusters.status(NAME)
    assert {item["cluster"] for item in status["components"]} == {other}
    assert status["phase"] == "Running"
    assert await two_clusters.pods_in(lost) == set()
