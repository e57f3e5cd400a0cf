"""Nodes fall silent: one for good, whose pods are evicted and replaced elsewhere; most at once, and nothing is evicted."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

from embedded_plane import PROGRAM, Plane, eventually, free_slice, node_ready
from mlsysops_embedded.client import Object
from mlsysops_embedded.client.resources import DEPLOYMENTS, LEASES, NAMESPACES, NODES, PODS
from mlsysops_embedded.controllers.nodes import LEASE_NAMESPACE

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


async def test_nothing_is_evicted_while_most_nodes_are_silent_at_once(tmp_path: Path) -> None:
    """Nodes of heartbeats alone: it takes no kubelet to fall silent."""
    plane = Plane(tmp_path / "plane", "disruption", free_slice(), 0)
    plane.bootstrap()
    plane.options = {"lease": {"duration": 4.0, "renew": 1.0}}
    names = [f"n{number}" for number in range(5)]
    alive = set(names)
    try:
        plane.start()
        async with plane.client() as client:
            await plane.ready(client)
            await eventually(
                lambda: client.get(NAMESPACES, LEASE_NAMESPACE), what="Leases of nodes have their namespace"
            )
            for name in names:
                await client.create(NODES, {"metadata": {"name": name}})
                ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
                await client.patch(NODES, name, ready, patch_type="merge", subresource="status")
                await client.create(LEASES, {"metadata": {"name": name}, "spec": {}}, LEASE_NAMESPACE)

            async def beat() -> None:
                while True:
                    for name in sorted(alive):
                        spec = {"spec": {"renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
                        await client.patch(LEASES, name, spec, LEASE_NAMESPACE, patch_type="merge")
                        back = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
                        await client.patch(NODES, name, back, patch_type="merge", subresource="status")
                    await asyncio.sleep(0.5)

            async def tainted(effect: str) -> set[str]:
                items = (await client.list(NODES))["items"]
                return {
                    item["metadata"]["name"]
                    for item in items
                    if (UNREACHABLE, effect) in {(t["key"], t["effect"]) for t in item["spec"].get("taints") or ()}
                }

            async def shunned(*wanted: str) -> bool:
                return await tainted("NoSchedule") == set(wanted)

            beating = asyncio.create_task(beat())
            try:
                alive.clear()

                async def let_be() -> bool:
                    return await shunned(*names) and not await tainted("NoExecute")

                # The first to be missed may have been tainted; once nobody is left, what was to be evicted is let be.
                await eventually(let_be, timeout=60)
                alive.update(("n3", "n4"))
                await eventually(lambda: shunned("n0", "n1", "n2"), timeout=60)
                # Three of five are silent.
                assert not await tainted("NoExecute")
            finally:
                beating.cancel()
    finally:
        plane.close()
