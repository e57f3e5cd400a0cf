"""The Kubernetes adapter against a real API server that is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import (
    AlreadyExists,
    EventRecorder,
    Heartbeat,
    Informer,
    KubernetesClient,
    StatusWriter,
    lease_name,
)
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS, EVENTS, LEASES, MLSYSOPS_NODES
from mlsysops_core.errors import Conflict, InvalidInput, NotFound

NODE = {
    "apiVersion": "mlsysops.eu/v1",
    "kind": "MLSysOpsNode",
    "metadata": {"name": "w1", "namespace": "mlsysops"},
    "spec": {
        "name": "w1",
        "continuum_layer": "edge",
        "cluster_id": "c1",
        "mobile": False,
        "environment": {"node_type": "virtualized", "os": "ubuntu", "container_runtime": ["containerd"]},
        "hardware": {"cpu": {"model": "test", "architecture": "amd64"}, "memory": 16, "disk": "256"},
    },
}


@pytest.fixture
async def client(control_plane: Any) -> AsyncIterator[KubernetesClient]:
    async with await KubernetesClient.connect(control_plane.kubeconfig) as connected:
        yield connected


@contextlib.asynccontextmanager
async def running(*activities: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(activity) for activity in activities]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "mlsysops"}, "data": data}


async def test_life_of_an_object(client: KubernetesClient) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a", k="v"))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map("a"))
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": None, "l": "w"}}, "mlsysops")
    with pytest.raises(Conflict):
        await client.update(CONFIG_MAPS, made)
    found = await client.get(CONFIG_MAPS, "a", "mlsysops")
    assert found["data"] == {"l": "w"}
    applied = await client.apply(CONFIG_MAPS, config_map("a", m="x"), field_manager="tester")
    assert applied["data"] == {"l": "w", "m": "x"}
    applied = await client.apply(CONFIG_MAPS, config_map("a", n="y"), field_manager="tester")
    assert applied["data"] == {"l": "w", "n": "y"}
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", "mlsysops", uid="another")
    await client.delete(CONFIG_MAPS, "a", "mlsysops", uid=found["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "mlsysops")
    with pytest.raises(InvalidInput):
        await client.create(CONFIG_MAPS, config_map("Not A Name"))


async def test_pages_and_selectors(client: KubernetesClient) -> None:
    for number in range(7):
        labels = {"parity": "even" if number % 2 == 0 else "odd"}
        labelled = config_map(f"m{number}")
        labelled["metadata"]["labels"] = labels
        await client.create(CONFIG_MAPS, labelled)

    first = await client.list(CONFIG_MAPS, "mlsysops", label_selector="parity", limit=3)
    rest = await client.list(
        CONFIG_MAPS, "mlsysops", label_selector="parity", limit=10, continue_token=first["metadata"]["continue"]
    )
    even = await client.list(CONFIG_MAPS, "mlsysops", label_selector="parity in (even)")
    one = await client.list(CONFIG_MAPS, "mlsysops", field_selector="metadata.name=m3")

    names = [item["metadata"]["name"] for item in [*first["items"], *rest["items"]]]
    assert names == [f"m{number}" for number in range(7)]
    assert len(even["items"]) == 4
    assert [item["metadata"]["name"] for item in one["items"]] == ["m3"]


async def test_informer_across_a_killed_server(client: KubernetesClient, control_plane: Any, until: Any) -> None:
    informer = Informer(client, CONFIG_MAPS, namespace="mlsysops", label_selector="watched")
    heard: list[str] = []
    informer.subscribe(lambda change: heard.append(f"{change.kind} {change.new['metadata']['name']}"))

    async def put(name: str, **data: str) -> None:
        labelled = config_map(name, **data)
        labelled["metadata"]["labels"] = {"watched": "yes"}
        await client.apply(CONFIG_MAPS, labelled, field_manager="tester")

    await put("a")
    async with running(informer.run()):
        await until(lambda: heard == ["ADDED a"])
        await put("b")
        await until(lambda: "ADDED b" in heard)
        await control_plane.stop(signal.SIGKILL)
        assert len(informer) == 2
        await control_plane.start()
        await put("b", k="v")
        await client.delete(CONFIG_MAPS, "a", "mlsysops")
        await until(lambda: "DELETED a" in heard)

    assert heard == ["ADDED a", "ADDED b", "MODIFIED b", "DELETED a"]


async def test_heartbeat_across_a_killed_server(client: KubernetesClient, control_plane: Any, until: Any) -> None:
    heartbeat = Heartbeat(client, lease_name("node", "w1"), "mlsysops-framework", duration=2, renew=0.2)
    async with running(heartbeat.run()):
        await until(lambda: heartbeat.healthy)
        before = (await client.get(LEASES, "mlsysops-node-w1", "mlsysops-framework"))["spec"]
        await control_plane.stop(signal.SIGKILL)
        await until(lambda: not heartbeat.healthy)
        await control_plane.start()
        await until(lambda: heartbeat.healthy)
    after = (await client.get(LEASES, "mlsysops-node-w1", "mlsysops-framework"))["spec"]

    assert after["renewTime"] > before["renewTime"]
    assert after["holderIdentity"] == before["holderIdentity"]
    assert after["acquireTime"] == before["acquireTime"]


async def test_events(client: KubernetesClient) -> None:
    made = await client.create(MLSYSOPS_NODES, NODE)
    recorder = EventRecorder(client, component="mlsysops-node-agent", instance="w1")
    for _ in range(3):
        await recorder.record(made, kind="Normal", reason="Tested", message="hello")

    found = await client.list(EVENTS, "mlsysops", field_selector="involvedObject.name=w1")
    assert [(event["reason"], event["count"]) for event in found["items"]] == [("Tested", 3)]


async def test_status_is_written_apart_from_the_spec(client: KubernetesClient, until: Any) -> None:
    await client.create(MLSYSOPS_NODES, NODE)
    writer = StatusWriter(client, MLSYSOPS_NODES, "w1", "mlsysops", interval=0)
    writer.offer({"observedGeneration": 1, "capacity": {"cpu": 2.0}})
    await writer.flush()
    await client.patch(MLSYSOPS_NODES, "w1", {"spec": {"mobile": True}}, "mlsysops")
    found = await client.get(MLSYSOPS_NODES, "w1", "mlsysops")

    assert found["status"] == {"observedGeneration": 1, "capacity": {"cpu": 2.0}}
    assert found["spec"]["mobile"] is True
    assert found["metadata"]["generation"] == 2
