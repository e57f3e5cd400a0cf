"""A node whose pods have taken all addresses of its network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from embedded_plane import Plane, eventually, free_slice, gone, pod, pod_is
from mlsysops_embedded.client import HttpClient, Object
from mlsysops_embedded.client.resources import EVENTS, PODS

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane with a kubelet that has a handful of addresses."""
    octet = free_slice()
    made = Plane(tmp_path_factory.mktemp("full") / "plane", "full", octet, 0)
    made.bootstrap(nodes=("worker1",))
    try:
        made.start()
        made.start_kubelet("worker1", pod_cidr=f"127.{octet}.64.0/30")
        yield made
    finally:
        made.close()


async def test_a_pod_without_an_address_gets_the_next_one_that_is_free_and_can_be_deleted(client: HttpClient) -> None:
    for name in NAMES:
        await client.create(PODS, pod(name), "default")

    async def homeless() -> list[str]:
        events = (await client.list(EVENTS, "default"))["items"]
        return sorted({e["involvedObject"]["name"] for e in events if e["reason"] == "FailedCreatePodSandBox"})

    async def settled() -> tuple[list[str], list[str]] | None:
        pods: list[Object] = (await client.list(PODS, "default"))["items"]
        running = [p["metadata"]["name"] for p in pods if (p.get("status") or {}).get("phase") == "Running"]
        without = await homeless()
        return (running, without) if running and len(running) + len(without) == len(NAMES) else None

    running, without = await eventually(settled)
    assert len(without) >= 2
    await client.delete(PODS, running[0], "default")
    await eventually(lambda: gone(client, PODS, running[0], "default"))

    async def taken_in() -> list[str]:
        return [name for name in without if await pod_is(client, name)]

    (lucky,) = await eventually(taken_in)
    for name in without:
        if name != lucky:
            await client.delete(PODS, name, "default")
            await eventually(lambda name=name: gone(client, PODS, name, "default"))  # type: ignore[misc]
