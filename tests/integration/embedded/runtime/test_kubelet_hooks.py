"""What a kubelet does around a running container: hooks, deadlines, contents of volumes that change, datagrams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from embedded_plane import Plane, eventually, free_slice, gone, pod, pod_is, pod_ready
from mlsysops_embedded.client import HttpClient, Object
from mlsysops_embedded.client.resources import CONFIG_MAPS, EVENTS, PODS, SERVICES


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane with a kubelet that looks at mounted ConfigMaps often."""
    made = Plane(tmp_path_factory.mktemp("hooks") / "plane", "hooks", free_slice(), 0)
    made.bootstrap(nodes=("worker1",))
    try:
        made.start()
        made.start_kubelet("worker1", refresh_interval=0.3)
        yield made
    finally:
        made.close()


async def test_a_container_with_a_grpc_probe_does_not_start_and_says_why(client: HttpClient) -> None:
    probe = {"livenessProbe": {"grpc": {"port": 5000}, "periodSeconds": 1}}
    await client.create(PODS, pod("asks-grpc", container=probe), "default")

    async def refused() -> Object | None:
        found = await client.get(PODS, "asks-grpc", "default")
        statuses = (found.get("status") or {}).get("containerStatuses") or [{}]
        waiting: Object = (statuses[0].get("state") or {}).get("waiting") or {}
        return waiting if waiting.get("reason") == "CreateContainerConfigError" else None

    text = "livenessProbe: grpc is not supported by this runtime; use httpGet, tcpSocket or exec"
    assert (await eventually(refused))["message"] == text
    await client.delete(PODS, "asks-grpc", "default")
    await eventually(lambda: gone(client, PODS, "asks-grpc", "default"))


async def _reasons(client: HttpClient, name: str) -> set[str]:
    events = (await client.list(EVENTS, "default"))["items"]
    return {event["reason"] for event in events if event["involvedObject"]["name"] == name}


async def test_a_post_start_hook_runs_before_the_container_is_ready(client: HttpClient) -> None:
    # A program's root directory is also where its hooks find its files.
    hook = {"postStart": {"exec": {"command": ["/bin/sh", "-c", 'echo begun > "$EMBEDDED_ROOTFS/begun"']}}}
    probe = {"exec": {"command": ["/bin/sh", "-c", 'test -e "$EMBEDDED_ROOTFS/begun"']}, "periodSeconds": 1}
    await client.create(PODS, pod("hooked", container={"lifecycle": hook, "readinessProbe": probe}), "default")
    await eventually(lambda: pod_ready(client, "hooked"))
    await client.delete(PODS, "hooked", "default")
    await eventually(lambda: gone(client, PODS, "hooked", "default"))


async def test_a_container_whose_hook_fails_is_killed(client: HttpClient) -> None:
    hook = {"postStart": {"exec": {"command": ["/bin/false"]}}}
    await client.create(PODS, pod("unhooked", container={"lifecycle": hook}, restartPolicy="Never"), "default")
    await eventually(lambda: pod_is(client, "unhooked", "Failed"))

    async def told() -> bool:
        return "FailedPostStartHook" in await _reasons(client, "unhooked")

    await eventually(told)
    await client.delete(PODS, "unhooked", "default")


async def test_a_pod_that_is_active_for_too_long_fails(client: HttpClient) -> None:
    await client.create(PODS, pod("slow", activeDeadlineSeconds=1), "default")
    found = await eventually(lambda: pod_is(client, "slow", "Failed"))
    assert found["status"]["reason"] == "DeadlineExceeded"

    async def stopped() -> Object | None:
        status = (await client.get(PODS, "slow", "default"))["status"]["containerStatuses"][0]
        return status if "terminated" in status["state"] else None

    status = await eventually(stopped)
    assert status["restartCount"] == 0
    await client.delete(PODS, "slow", "default")
    await eventually(lambda: gone(client, PODS, "slow", "default"))


async def test_a_mounted_config_map_changes_while_its_pod_runs(client: HttpClient) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "live"}, "data": {"word": "one"}}, "default")
    code = """
import os, pathlib, time
path = pathlib.Path(os.environ["EMBEDDED_ROOTFS"], "etc/live/word")
while path.read_text() != "two":
    time.sleep(0.05)
"""
    volume = {"name": "live", "configMap": {"name": "live"}}
    mount = {"name": "live", "mountPath": "/etc/live"}
    given = pod("reads", code, volumes=[volume], container={"volumeMounts": [mount]}, restartPolicy="Never")
    await client.create(PODS, given, "default")
    await eventually(lambda: pod_ready(client, "reads"))
    await client.patch(CONFIG_MAPS, "live", {"data": {"word": "two"}}, "default", patch_type="merge")
    await eventually(lambda: pod_is(client, "reads", "Succeeded"))


async def test_datagrams_reach_a_service_and_their_answers_come_back(client: HttpClient) -> None:
    code = """
import os, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((os.environ["EMBEDDED_POD_IP"], 5353))
while True:
    data, peer = server.recvfrom(2048)
    server.sendto(data.upper(), peer)
"""
    port = {"name": "dns", "containerPort": 5353, "protocol": "UDP"}
    await client.create(PODS, pod("echo", code, container={"ports": [port]}), "default")
    spec = {
        "selector": {"app": "echo"},
        "ports": [{"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}],
    }
    service = await client.create(SERVICES, {"metadata": {"name": "echo"}, "spec": spec}, "default")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect((service["spec"]["clusterIP"], 53))
        loop = asyncio.get_running_loop()

        async def answered() -> bool:
            try:
                async with asyncio.timeout(0.5):
                    await loop.sock_sendall(sender, b"hello")
                    return await loop.sock_recv(sender, 2048) == b"HELLO"
            except (OSError, TimeoutError):  # nobody forwards yet
                return False

        await eventually(answered)
    await client.delete(PODS, "echo", "default")
