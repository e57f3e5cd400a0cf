"""A cluster of nodes that are nothing but objects: its control plane, its agent, and what is said of the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from mlsysops_agents.adapters.kubernetes.resources import DEPLOYMENTS, EVENTS, MLSYSOPS_APPS, MLSYSOPS_CLUSTERS
from tiers_slice import MLSYSOPS_NODES, NAMESPACE, NODES, LocalSlice, Object, eventually

CRDS = Path(__file__).parents[5] / "templates/crds"


class SimulatedNodes(LocalSlice):
    """A cluster's control plane and its agent, and nodes that are nothing but objects."""

    def __init__(self, directory: Path, count: int) -> None:
        super().__init__(directory)
        self.nodes = [f"n{number:02d}" for number in range(count)]

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

    def start_cluster_agent(self) -> None:
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
        return bool(status.get("nodes") == {"total": len(self.nodes), "ready": count})

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
