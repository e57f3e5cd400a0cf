"""A node falls silent for good: its Lease runs out, it is tainted, its pods are evicted and replaced elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path

from embedded_plane import PROGRAM, Plane, eventually, free_slice, node_ready
from mlsysops_embedded.client import Object
from mlsysops_embedded.client.resources import DEPLOYMENTS, NODES, PODS

UNREACHABLE = "node.kubernetes.io/unreachable"


async def test_pods_of_a_lost_node_are_evicted_and_replaced(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "plane", "eviction", free_slice(), 0)
    plane.bootstrap(nodes=("worker1", "worker2"))
    plane.options = {"lease": {"duration": 4.0, "renew": 1.0}}
    try:
        plane.start()
        for node in plane.nodes:
            plane.start_kubelet(node, lease_renew=0.5)
        async with plane.client() as client:
            await plane.ready(client)
            container = {"name": "main", "image": PROGRAM, "args": ["-c", "import time; time.sleep(1000)"]}
            impatient = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
            template = {
                "metadata": {"labels": {"app": "moves"}},
                "spec": {"containers": [container], "tolerations": [impatient], "terminationGracePeriodSeconds": 1},
            }
            spec = {"replicas": 1, "selector": {"matchLabels": {"app": "moves"}}, "template": template}
            await client.create(DEPLOYMENTS, {"metadata": {"name": "moves"}, "spec": spec}, "default")

            async def running(without: str = "") -> Object | None:
                pods = (await client.list(PODS, "default", label_selector="app=moves"))["items"]
                up = [p for p in pods if (p.get("status") or {}).get("phase") == "Running"]
                return next((p for p in up if p["spec"]["nodeName"] != without), None)

            first = await eventually(running)
            lost = first["spec"]["nodeName"]
            plane.daemons[lost].stop(signal.SIGKILL)
            await eventually(lambda: node_ready(client, lost, "Unknown"), timeout=60)

            async def tainted() -> bool:
                taints = (await client.get(NODES, lost))["spec"].get("taints") or []
                return {(t["key"], t["effect"]) for t in taints} >= {
                    (UNREACHABLE, "NoSchedule"),
                    (UNREACHABLE, "NoExecute"),
                }

            await eventually(tainted)

            async def evicted() -> bool:
                found = await client.get(PODS, first["metadata"]["name"], "default")
                return bool(found["metadata"].get("deletionTimestamp"))

            await eventually(evicted)
            await eventually(lambda: running(lost))
    finally:
        plane.close()
