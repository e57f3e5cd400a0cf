"""Many nodes that fall silent at once, on a real control plane with a real cluster agent: what leaves them, and when.

The nodes are simulated: the test says of them what Kubernetes' node lifecycle controller would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_agents.adapters.kubernetes.resources import DEPLOYMENTS, EVENTS, MLSYSOPS_APPS, MLSYSOPS_CLUSTERS
from tiers_slice import MLSYSOPS_NODES, NAMESPACE, NODES, LocalSlice, Object, eventually

pytestmark = pytest.mark.timeout(300)
CRDS = Path(__file__).parents[4] / "templates/crds"
#: More than 50 nodes are a large zone, which is left slowly; of these, 30 are more than 55 %.
COUNT, LOST = 52, 30
APPS = tuple(f"app-{number}" for number in range(6))


class ManyNodes(LocalSlice):
    """A cluster's control plane and its agent, and nodes that are nothing but objects."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.nodes = [f"n{number:02d}" for number in range(COUNT)]

    def inventory(self) -> Object:
        found = super().inventory()
        # Nobody renews the nodes' Leases: that must tell nothing here.
        found["all"]["vars"]["mls_lease_seconds"] = 900
        return found

    async def start(self) -> None:
        self.render()
        for host in ("management", "server1"):
            await self._bootstrap(host)
        self.launch(
            "server1-controlplane", ["mlsysops_embedded", "controlplane"], self.config("server1", "controlplane")
        )
        self.member = await self._connect("server1")
        definitions = [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]
        for item in (*definitions, *self.manifests("clusters/cluster1")):
            await eventually(lambda item=item: self.apply(self.member, item), what=str(item["metadata"]))
        described = {"name": "cluster1", "cluster_id": "cluster1", "nodes": self.nodes}
        await eventually(lambda: self.describe("MLSysOpsCluster", "cluster1", described), what="definitions are served")
        await asyncio.gather(*(self.join(name) for name in self.nodes))
        self.start_agent("server1", "cluster")

    async def describe(self, kind: str, name: str, spec: Object, **metadata: Any) -> Object:
        resource = {"MLSysOpsCluster": MLSYSOPS_CLUSTERS, "MLSysOpsNode": MLSYSOPS_NODES, "MLSysOpsApp": MLSYSOPS_APPS}
        item = {"apiVersion": "mlsysops.eu/v1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
        return await self.member.apply(resource[kind], item, NAMESPACE, field_manager="tests")

    async def join(self, name: str) -> None:
        hardware = {"cpu": {"cores": 8, "architecture": "amd64"}, "memory": 32, "disk": "100"}
        spec = {
            "name": name,
            "cluster_id": "cluster1",
            "continuum_layer": "edge",
            "environment": {},
            "hardware": hardware,
        }
        await self.describe("MLSysOpsNode", name, spec)
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        await self.member.apply(NODES, node, None, field_manager="tests")
        amounts = {"cpu": "8", "memory": "32Gi", "pods": "110"}
        await self.say([name], "True", capacity=amounts, allocatable=amounts)

    async def say(self, nodes: Iterable[str], ready: str, **status: Any) -> None:
        """Have nodes be ready (``True``) or not heard of (``Unknown``), from now on."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": ready, "reason": "Said", "message": "", "lastTransitionTime": at}
        patch = {"status": {"conditions": [condition], **status}}
        await asyncio.gather(
            *(self.member.patch(NODES, name, patch, None, patch_type="merge", subresource="status") for name in nodes)
        )

    async def seen_ready(self, count: int) -> bool:
        """Whether the agent has seen that so many nodes are ready."""
        status = (await self.member.get(MLSYSOPS_CLUSTERS, "cluster1", NAMESPACE)).get("status") or {}
        return bool(status.get("nodes") == {"total": COUNT, "ready": count})

    async def places(self) -> dict[str, str]:
        items = (await self.member.list(DEPLOYMENTS, NAMESPACE))["items"]
        pinned = {
            i["metadata"]["labels"]["mlsysops.eu/app"]: i["spec"]["template"]["spec"]["nodeSelector"] for i in items
        }
        return {name: selector["kubernetes.io/hostname"] for name, selector in pinned.items()}

    async def told(self, words: str) -> set[str]:
        """The applications of which the agent has said that."""
        events = (await self.member.list(EVENTS, NAMESPACE))["items"]
        return {item["involvedObject"]["name"] for item in events if words in item.get("message", "")}


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[ManyNodes]:
    made = ManyNodes(tmp_path)
    try:
        await made.start()
        await eventually(lambda: made.seen_ready(COUNT), seconds=120, what="the agent sees its nodes")
        yield made
    finally:
        await made.stop()


async def another_second() -> None:
    """Return in another second: conditions carry whole ones, and which came first is to be known."""
    begun = int(time.time())
    while int(time.time()) == begun:  # noqa: ASYNC110 - time is the condition
        await asyncio.sleep(0.02)


async def test_components_leave_silent_nodes_slowly_or_not_at_all_while_many_are_silent(many: ManyNodes) -> None:
    needs = {"cpu": {"requests": "5"}, "memory": {"requests": "64Mi"}}  # more than half a node
    for name in APPS:
        component = {"metadata": {"name": "web"}, "containers": [{"image": "x:1", "platform_requirements": needs}]}
        annotations = {"mlsysops.eu/component-clusters": '{"web": "cluster1"}'}
        spec = {"name": name, "components": [component]}
        await many.describe("MLSysOpsApp", name, spec, annotations=annotations)
    await eventually(lambda: placed(many), seconds=120, what="applications are placed")
    begin = await many.places()
    assert len(set(begin.values())) == len(APPS)

    # All of them: nobody is moved, for there is nowhere to go; and when they are back, all is as it was.
    used = sorted(begin.values())
    unused = [name for name in many.nodes if name not in used]
    await many.say(
        unused, "Unknown"
    )  # before those that have something to lose: however long it takes, there is nowhere to go
    await many.say(used, "Unknown")
    await eventually(lambda: says(many, APPS, f"0/{COUNT} nodes fit"), seconds=120, what="they stay")
    assert await many.places() == begin
    await another_second()
    await many.say(many.nodes, "True")
    await eventually(lambda: many.seen_ready(COUNT), seconds=120, what="the nodes are back")
    assert await many.places() == begin

    # More than half of them: one node is left, the others have to wait for their turn.
    await another_second()
    others = unused[: LOST - len(APPS)]
    await many.say(others, "Unknown")
    await many.say(used, "Unknown")
    (first,) = await eventually(lambda: moved(many, begin), seconds=120, what="one node is left")
    held = [name for name in APPS if name != first]
    await eventually(
        lambda: says(many, held, "they are left one in 100 s"), seconds=120, what="the others say why they stay"
    )
    now = await many.places()
    assert {name: now[name] for name in held} == {name: begin[name] for name in held}
    assert now[first] not in {*used, *others}

    # Enough of them are back, so that it is the rest that is gone: at once they may leave.
    await many.say(others, "True")

    async def left() -> bool:
        return not set((await many.places()).values()) & set(used)

    await eventually(left, seconds=120, what="the nodes that are gone are left")


async def placed(many: ManyNodes) -> bool:
    return (await many.places()).keys() == set(APPS)


async def moved(many: ManyNodes, begin: dict[str, str]) -> list[str]:
    now = await many.places()
    return [name for name in APPS if now[name] != begin[name]]


async def says(many: ManyNodes, names: Iterable[str], words: str) -> bool:
    return set(names) <= await many.told(words)
