"""A slice of two clusters of one worker each, for what happens when one of them is gone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_CONTINUUMS, PODS
from tiers_slice import NAMESPACE, LocalSlice, Object, eventually

#: Seconds of silence after which the continuum moves what may leave a cluster.
GONE_AFTER = 3.0
#: Seconds that heartbeats hold.
LEASE = 12


class TwoClusters(LocalSlice):
    """cluster1 with worker1, cluster2 with worker2.

    Args:
        directory: For everything.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.members: dict[str, KubernetesClient] = {}

    def inventory(self) -> Object:
        clusters = {
            f"cluster{number}": {
                "children": {
                    "master_nodes": {"hosts": {f"server{number}": {"mls_cluster": f"cluster{number}"}}},
                    "worker_nodes": {"hosts": {f"worker{number}": {"mls_cluster": f"cluster{number}"}}},
                }
            }
            for number in (1, 2)
        }
        found = super().inventory()
        found["all"]["vars"]["mls_lease_seconds"] = LEASE
        manager = found["all"]["children"]["management_cluster"]["hosts"]["management"]
        manager["mls_placement"] = {"cluster_gone_after": GONE_AFTER, "refusal_after": 2.0}
        found["all"]["children"] = {"management_cluster": found["all"]["children"]["management_cluster"], **clusters}
        return found

    async def start(self) -> None:
        self.render()
        servers = ("server1", "server2")
        for host in ("management", *servers):
            await self._bootstrap(host)
        for host in ("management", *servers):
            self.launch(
                f"{host}-controlplane", ["mlsysops_embedded", "controlplane"], self.config(host, "controlplane")
            )
        self.continuum = await self._connect("management")
        places = [(self.continuum, "continuum")]
        for number, host in enumerate(servers, 1):
            self.members[f"cluster{number}"] = await self._connect(host)
            places.insert(0, (self.members[f"cluster{number}"], f"clusters/cluster{number}"))
        self.member = self.members["cluster1"]
        for client, where in places:
            for item in self.manifests(where):
                await eventually(lambda client=client, item=item: self.apply(client, item), what=str(item["metadata"]))
        for worker in self.workers:
            self.launch(f"{worker}-kubelet", ["mlsysops_embedded", "kubelet"], self.config(worker, "kubelet"))
        self.start_agent("management", "continuum")
        for host in servers:
            self.start_agent(host, "cluster")
        for worker in self.workers:
            self.start_agent(worker, "node")

    async def all_ready(self) -> bool:
        status = (await self.continuum.get(MLSYSOPS_CONTINUUMS, "continuum", NAMESPACE)).get("status") or {}
        ready = [agent for agent in status.get("agents") or () if agent["ready"]]
        return len(ready) == 5 and status["nodes"]["ready"] == 2

    async def lose(self, number: int) -> None:
        """End every process of a cluster but its pods: the site is cut off, or its control plane burnt down."""
        for name in (f"server{number}-agent", f"server{number}-controlplane", f"worker{number}-agent"):
            self.processes[name].stop(signal.SIGKILL)

    async def bring_back(self, number: int) -> None:
        """Start them again."""
        for name in (f"server{number}-controlplane", f"server{number}-agent", f"worker{number}-agent"):
            self.processes[name].start()

    async def pods_in(self, cluster: str) -> set[str]:
        """Names of the components with a living pod in a cluster."""
        items: list[dict[str, Any]] = (await self.members[cluster].list(PODS, NAMESPACE))["items"]
        return {
            item["metadata"]["labels"]["mlsysops.eu/component"]
            for item in items
            if "mlsysops.eu/component" in item["metadata"].get("labels", {})
            and not item["metadata"].get("deletionTimestamp")
        }
