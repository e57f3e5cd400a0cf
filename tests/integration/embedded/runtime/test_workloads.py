"""Deployments, DaemonSets, services, scheduling, garbage and nodes, on a real control plane with real processes."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from embedded_plane import PROGRAM, Plane, eventually, gone, node_ready, pod, pod_is, pod_ready
from mlsysops_embedded.client import HttpClient, Object
from mlsysops_embedded.client.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)

SERVER = """
import os, socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall((os.environ["HOSTNAME"] + " " + os.environ.get("V", "")).encode())
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((os.environ["EMBEDDED_POD_IP"], 9000), H).serve_forever()
"""


def deployment(name: str, replicas: int = 2, *, image: str = PROGRAM, **spec: Any) -> Object:
    container = {
        "name": "main",
        "image": image,
        "args": ["-c", SERVER],
        "env": [{"name": "V", "value": "1"}],
        "ports": [{"name": "tcp", "containerPort": 9000}],
        "readinessProbe": {"tcpSocket": {"port": "tcp"}, "periodSeconds": 1},
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
            **spec,
        },
    }


def service(name: str, app: str) -> Object:
    ports = [{"name": "tcp", "port": 80, "targetPort": "tcp"}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": app}, "ports": ports}}


async def available(client: HttpClient, name: str, count: int, revision: str = "") -> Object | None:
    found = await client.get(DEPLOYMENTS, name, "default")
    status = found.get("status") or {}
    settled = status.get("observedGeneration") == found["metadata"]["generation"] and status.get("replicas") == count
    wanted = status.get("availableReplicas") == count == status.get("updatedReplicas")
    annotation = found["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision")
    return found if settled and wanted and revision in ("", annotation) else None


async def ask(address: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    data = await reader.read()
    writer.close()
    return data.decode()


async def test_rollout_history_and_undo(client: HttpClient) -> None:
    await client.create(DEPLOYMENTS, deployment("roller", 3), "default")
    first = await eventually(lambda: available(client, "roller", 3, "1"))
    conditions = {c["type"]: c["reason"] for c in first["status"]["conditions"]}
    assert conditions == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
    env = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "V", "value": "2"}]}]}}}}
    await client.patch(DEPLOYMENTS, "roller", env, "default", patch_type="strategic")
    await eventually(lambda: available(client, "roller", 3, "2"))
    sets = (await client.list(REPLICA_SETS, "default", label_selector="app=roller"))["items"]
    assert sorted(rs["spec"]["replicas"] for rs in sets) == [0, 3]
    old = next(rs for rs in sets if rs["spec"]["replicas"] == 0)
    # What `kubectl rollout undo` does: put the old template back.
    template = {**old["spec"]["template"]}
    template["metadata"]["labels"].pop("pod-template-hash")
    undo = [{"op": "replace", "path": "/spec/template", "value": template}]
    await client.patch(DEPLOYMENTS, "roller", undo, "default", patch_type="json")
    await eventually(lambda: available(client, "roller", 3, "3"))
    assert len((await client.list(REPLICA_SETS, "default", label_selector="app=roller"))["items"]) == 2
    await client.delete(DEPLOYMENTS, "roller", "default", propagation_policy="Foreground")
    await eventually(lambda: gone(client, DEPLOYMENTS, "roller", "default"))
    assert not (await client.list(PODS, "default", label_selector="app=roller"))["items"]


async def test_recreate_scale_and_pause(client: HttpClient) -> None:
    await client.create(DEPLOYMENTS, deployment("again", 2, strategy={"type": "Recreate"}), "default")
    await eventually(lambda: available(client, "again", 2))
    await client.patch(DEPLOYMENTS, "again", {"spec": {"replicas": 4}}, "default", patch_type="merge")
    await eventually(lambda: available(client, "again", 4))
    pause = {"spec": {"paused": True, "template": {"metadata": {"annotations": {"x": "y"}}}}}
    await client.patch(DEPLOYMENTS, "again", pause, "default", patch_type="merge")

    async def paused() -> bool:
        found = await client.get(DEPLOYMENTS, "again", "default")
        return any(c.get("reason") == "DeploymentPaused" for c in found["status"]["conditions"])

    await eventually(paused)
    assert len((await client.list(REPLICA_SETS, "default", label_selector="app=again"))["items"]) == 1
    await client.patch(DEPLOYMENTS, "again", {"spec": {"paused": False}}, "default", patch_type="merge")
    await eventually(lambda: available(client, "again", 4, "2"))
    await client.delete(DEPLOYMENTS, "again", "default")


async def test_orphaned_pods_stay_and_are_adopted(client: HttpClient) -> None:
    await client.create(DEPLOYMENTS, deployment("orphan", 1, image="simulated/x"), "default")
    await eventually(lambda: available(client, "orphan", 1))
    (before,) = (await client.list(PODS, "default", label_selector="app=orphan"))["items"]
    await client.delete(DEPLOYMENTS, "orphan", "default", propagation_policy="Orphan")
    await eventually(lambda: gone(client, DEPLOYMENTS, "orphan", "default"))
    await client.create(DEPLOYMENTS, deployment("orphan", 1, image="simulated/x"), "default")
    await eventually(lambda: available(client, "orphan", 1))
    (after,) = (await client.list(PODS, "default", label_selector="app=orphan"))["items"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    await client.delete(DEPLOYMENTS, "orphan", "default")


async def test_service_keeps_its_address_across_relocation(client: HttpClient) -> None:
    made = await client.create(SERVICES, service("front", "front"), "default")
    address = made["spec"]["clusterIP"]
    pinned = deployment("front", 1)
    pinned["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "worker1"}
    await client.create(DEPLOYMENTS, pinned, "default")
    await eventually(lambda: available(client, "front", 1))

    async def answers() -> str:
        try:
            return await ask(address, 80)
        except OSError:
            return ""

    first = await eventually(answers)
    move = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "worker2"}}}}}
    await client.patch(DEPLOYMENTS, "front", move, "default", patch_type="merge")
    await eventually(lambda: available(client, "front", 1, "2"))

    async def moved() -> bool:
        text = await answers()
        return bool(text) and text != first

    await eventually(moved)
    (found,) = (await client.list(ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=front"))[
        "items"
    ]
    assert [e["nodeName"] for e in found["endpoints"] if e["conditions"]["ready"]] == ["worker2"]
    await client.delete(SERVICES, "front", "default")
    await client.delete(DEPLOYMENTS, "front", "default")

    async def unbound() -> bool:
        try:
            await ask(address, 80)
        except OSError:
            return True
        return False

    await eventually(unbound)


async def test_pod_that_fits_nowhere_says_why_and_runs_when_room_appears(client: HttpClient) -> None:
    await client.create(
        PODS, pod("picky", nodeSelector={"disk": "fast"}, container={"image": "simulated/x"}), "default"
    )

    async def explained() -> str:
        found = await client.get(PODS, "picky", "default")
        conditions = (found.get("status") or {}).get("conditions") or ()
        return next((c["message"] for c in conditions if c.get("reason") == "Unschedulable"), "")

    message = await eventually(explained)
    assert message == "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."

    async def told() -> bool:
        events = (await client.list(EVENTS, "default"))["items"]
        return any(e["reason"] == "FailedScheduling" and e["message"] == message for e in events)

    await eventually(told)
    await client.patch(NODES, "worker2", {"metadata": {"labels": {"disk": "fast"}}}, patch_type="merge")
    found = await eventually(lambda: pod_is(client, "picky"))
    assert found["spec"]["nodeName"] == "worker2"
    await client.delete(PODS, "picky", "default")


async def test_daemon_set_covers_every_node(client: HttpClient) -> None:
    template = deployment("daemon", image="simulated/x")["spec"]["template"]
    obj = {
        "metadata": {"name": "daemon"},
        "spec": {"selector": {"matchLabels": {"app": "daemon"}}, "template": template},
    }
    await client.create(DAEMON_SETS, obj, "default")

    async def everywhere() -> bool:
        status = (await client.get(DAEMON_SETS, "daemon", "default")).get("status") or {}
        return bool(status.get("numberAvailable") == status.get("desiredNumberScheduled") == 2)

    await eventually(everywhere)
    pods = (await client.list(PODS, "default", label_selector="app=daemon"))["items"]
    assert {p["spec"]["nodeName"] for p in pods} == {"worker1", "worker2"}
    await client.delete(DAEMON_SETS, "daemon", "default")

    async def cleared() -> bool:
        return not (await client.list(PODS, "default", label_selector="app=daemon"))["items"]

    await eventually(cleared)


async def test_namespace_is_furnished_and_emptied(client: HttpClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "room"}})

    async def furnished() -> bool:
        await client.get(SERVICE_ACCOUNTS, "default", "room")
        return "ca.crt" in (await client.get(CONFIG_MAPS, "kube-root-ca.crt", "room"))["data"]

    await eventually(furnished)
    await client.create(PODS, pod("tenant"), "room")
    await eventually(lambda: pod_ready(client, "tenant", "room"))
    await client.delete(NAMESPACES, "room")
    await eventually(lambda: gone(client, NAMESPACES, "room"))


@pytest.fixture
def quick_plane(tmp_path: Any) -> Any:
    from embedded_plane import free_slice

    made = Plane(tmp_path / "q", "quick", free_slice(), 0)
    made.bootstrap(nodes=("worker1",))
    try:
        yield made
    finally:
        made.close()


async def test_silent_node_becomes_unknown_and_tainted_and_recovers(quick_plane: Plane) -> None:
    quick_plane.start()
    quick_plane.start_kubelet("worker1", lease_renew=1.0)
    async with quick_plane.client() as client:
        await quick_plane.ready(client)
        await client.create(PODS, pod("resident"), "default")
        before = await eventually(lambda: pod_ready(client, "resident"))
        quick_plane.daemons["worker1"].stop(signal.SIGKILL)
        await eventually(lambda: node_ready(client, "worker1", "Unknown"), timeout=60)

        async def tainted(present: bool) -> bool:
            taints = (await client.get(NODES, "worker1"))["spec"].get("taints") or []
            return present is any(t["key"] == "node.kubernetes.io/unreachable" for t in taints)

        await eventually(lambda: tainted(True))
        quick_plane.daemons["worker1"].start()
        await eventually(lambda: node_ready(client, "worker1"))
        await eventually(lambda: tainted(False))
        after = await eventually(lambda: pod_ready(client, "resident"))
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["containerStatuses"][0]["restartCount"] == 0
