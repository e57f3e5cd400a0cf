"""Pods as real processes: environment, volumes, probes, restarts, logs, and a kubelet that dies."""

from __future__ import annotations

import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from embedded_plane import Plane, eventually, gone, node_ready, pod, pod_is, pod_ready
from mlsysops_embedded.client import HttpClient, Object, Resource
from mlsysops_embedded.client.resources import CONFIG_MAPS, PODS, SECRETS

#: Mount point of the memory controller, version 1 or 2.
GROUPS = next(
    (p for p in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists()), Path()
)


def main_status(found: Object) -> Object:
    result: Object = found["status"]["containerStatuses"][0]
    return result


def processes(plane: Plane, uid: str) -> list[int]:
    """Pids of a pod's containers, as its shims recorded them."""
    states = plane.root.glob(f"*-data/pods/{uid}/containers/*/*/state.json")
    return [json.loads(path.read_text())["pid"] for path in states]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def logs(plane: Plane, found: Object, **query: str) -> str:
    context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
    context.load_cert_chain(plane.pki / "apiserver-kubelet-client.crt", plane.pki / "apiserver-kubelet-client.key")
    metadata = found["metadata"]
    address = plane.nodes[found["spec"]["nodeName"]]
    url = f"https://{address}:10250/containerLogs/{metadata['namespace']}/{metadata['name']}/main"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context, params=query) as response:
        assert response.status == 200
        return await response.text()


async def test_metrics(plane: Plane, client: HttpClient) -> None:
    code = "import time\nwhile time.process_time() < 60: pass"
    await client.create(PODS, pod("busy", code), "default")
    await eventually(lambda: pod_is(client, "busy", "Running"))
    metrics = Resource("metrics.k8s.io", "v1beta1", "pods", True, "PodMetrics")

    async def used() -> Object | None:
        listed = (await client.list(metrics, "default", field_selector="metadata.name=busy"))["items"]
        return listed[0] if listed else None

    (container,) = (await eventually(used))["containers"]
    assert container["name"] == "main"
    assert 1e6 < int(container["usage"]["cpu"].removesuffix("n")) < 3e9  # two cores and a neighbour or two
    assert int(container["usage"]["memory"].removesuffix("Ki")) > 1024
    nodes = Resource("metrics.k8s.io", "v1beta1", "nodes", False, "NodeMetrics")
    assert {node["metadata"]["name"] for node in (await client.list(nodes))["items"]} == set(plane.nodes)
    await client.delete(PODS, "busy", "default", grace_period_seconds=0)


async def test_environment_volumes_and_logs(plane: Plane, client: HttpClient) -> None:
    await client.create(
        CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"COLOUR": "blue", "file.txt": "text"}}, "default"
    )
    await client.create(SECRETS, {"metadata": {"name": "hidden"}, "stringData": {"word": "plugh"}}, "default")
    code = "import os, sys\nprint(os.environ['GREETING'], os.environ['COLOUR'], os.environ['WORD'], os.environ['CPU'])\nprint(open('etc/settings/file.txt').read(), sys.argv[1], os.environ['POD_IP'])\nprint('KUBERNETES_SERVICE_HOST' in os.environ)"
    container = {
        "args": ["-c", code, "$(GREETING)/$$(x)"],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "GREETING", "value": "hello-$(NAME)"},
            {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "word"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    spec = {"restartPolicy": "Never", "volumes": [{"name": "settings", "configMap": {"name": "settings"}}]}
    await client.create(PODS, pod("envy", container=container, **spec), "default")
    found = await eventually(lambda: pod_is(client, "envy", "Succeeded"), what="envy succeeds")
    text = await logs(plane, found)
    assert text.splitlines()[:2] == ["hello-envy blue plugh 500", f"text hello-envy/$(x) {found['status']['podIP']}"]
    assert main_status(found)["state"]["terminated"]["exitCode"] == 0
    assert (await logs(plane, found, tailLines="1", timestamps="true")).startswith("20")
    await client.delete(PODS, "envy", "default")
    await eventually(lambda: gone(client, PODS, "envy", "default"))


async def test_missing_config_map_waits_and_recovers(client: HttpClient) -> None:
    container = {"envFrom": [{"configMapRef": {"name": "later"}}]}
    await client.create(PODS, pod("patient", container=container), "default")

    async def waits() -> bool:
        found = await client.get(PODS, "patient", "default")
        statuses = (found.get("status") or {}).get("containerStatuses") or []
        return bool(statuses) and statuses[0]["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"

    await eventually(waits)
    await client.create(CONFIG_MAPS, {"metadata": {"name": "later"}, "data": {"A": "b"}}, "default")
    await eventually(lambda: pod_ready(client, "patient"))
    await client.delete(PODS, "patient", "default")


async def test_crash_loop_backs_off_and_keeps_the_last_state(plane: Plane, client: HttpClient) -> None:
    await client.create(PODS, pod("crasher", "import sys; print('bye'); sys.exit(3)"), "default")

    async def backs_off() -> Object | None:
        found = await client.get(PODS, "crasher", "default")
        statuses = (found.get("status") or {}).get("containerStatuses") or [{}]
        reason = statuses[0].get("state", {}).get("waiting", {}).get("reason")
        return found if reason == "CrashLoopBackOff" else None

    found = await eventually(backs_off)
    status = main_status(found)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert found["status"]["phase"] == "Running"
    assert await logs(plane, found, previous="true") == "bye\n"
    await client.delete(PODS, "crasher", "default")


async def test_init_container_runs_first(client: HttpClient) -> None:
    made = pod("ordered", "import os; assert os.path.exists('shared/done'); import time; time.sleep(100)")
    made["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    mount = [{"name": "shared", "mountPath": "/shared"}]
    made["spec"]["containers"][0]["volumeMounts"] = mount
    made["spec"]["initContainers"] = [
        {"name": "first", "image": "local/python", "args": ["-c", "open('shared/done', 'w')"], "volumeMounts": mount}
    ]
    await client.create(PODS, made, "default")
    found = await eventually(lambda: pod_ready(client, "ordered"))
    assert main_status(found)["restartCount"] == 0
    assert found["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    await client.delete(PODS, "ordered", "default")


async def test_liveness_restarts_and_readiness_gates(plane: Plane, client: HttpClient) -> None:
    code = "import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200 if os.path.exists('data/ok') or self.path == '/live' else 500)\n        self.end_headers()\nhttp.server.HTTPServer((os.environ['EMBEDDED_POD_IP'], 8080), H).serve_forever()"
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    container = {
        "args": ["-c", code],
        "ports": [{"name": "web", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "web"}, **probe},
        "livenessProbe": {"exec": {"command": ["/bin/sh", "-c", "test ! -e data/dead"]}, **probe},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    await client.create(PODS, pod("probed", container=container, volumes=[{"name": "data", "emptyDir": {}}]), "default")
    found = await eventually(lambda: pod_is(client, "probed"))
    assert not await pod_ready(client, "probed")
    data = plane.root / f"{found['spec']['nodeName']}-data" / "pods" / found["metadata"]["uid"] / "volumes" / "data"
    (data / "ok").touch()
    await eventually(lambda: pod_ready(client, "probed"))
    (data / "dead").touch()

    async def restarted() -> bool:
        return bool(main_status(await client.get(PODS, "probed", "default"))["restartCount"] >= 1)

    await eventually(restarted)
    await client.delete(PODS, "probed", "default")


async def test_graceful_stop_reaches_the_program_then_kills_the_group(plane: Plane, client: HttpClient) -> None:
    stubborn = (
        "import signal, subprocess, time; signal.signal(15, 1); subprocess.Popen(['sleep', '999']); time.sleep(999)"
    )
    await client.create(PODS, pod("stubborn", stubborn), "default")
    found = await eventually(lambda: pod_ready(client, "stubborn"))
    (pid,) = processes(plane, found["metadata"]["uid"])

    async def children() -> list[int]:
        return children_of(pid)

    below = await eventually(children)
    await client.delete(PODS, "stubborn", "default")
    await eventually(lambda: gone(client, PODS, "stubborn", "default"))
    assert not any(alive(number) for number in [pid, *below])


async def test_kubelet_killed_finds_its_pods_again(plane: Plane, client: HttpClient) -> None:
    await client.create(PODS, pod("steady", nodeName="worker1"), "default")
    before = await eventually(lambda: pod_ready(client, "steady"))
    (pid,) = processes(plane, before["metadata"]["uid"])
    plane.daemons["worker1"].stop(signal.SIGKILL)
    os.kill(pid, 0)
    plane.daemons["worker1"].start()

    async def adopted() -> bool:
        return "adopted container main" in plane.daemons["worker1"].log.read_text()

    await eventually(adopted)
    await eventually(lambda: node_ready(client, "worker1"))
    after = await eventually(lambda: pod_ready(client, "steady"))
    assert processes(plane, before["metadata"]["uid"]) == [pid]
    os.kill(pid, 0)
    assert main_status(after)["restartCount"] == 0
    assert after["status"]["podIP"] == before["status"]["podIP"]
    await client.delete(PODS, "steady", "default")
    await eventually(lambda: gone(client, PODS, "steady", "default"))


async def test_program_that_died_while_api_and_kubelet_were_away_is_restarted_offline(
    plane: Plane, client: HttpClient
) -> None:
    await client.create(PODS, pod("offline", nodeName="worker2"), "default")
    before = await eventually(lambda: pod_ready(client, "offline"))
    uid = before["metadata"]["uid"]
    (pid,) = processes(plane, uid)
    plane.daemons["worker2"].stop(signal.SIGKILL)
    plane.daemons["controlplane"].stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    plane.daemons["worker2"].start()

    async def runs_again() -> Any:
        return [p for p in processes(plane, uid) if p != pid and alive(p)]

    (new,) = await eventually(runs_again)
    plane.daemons["controlplane"].start()
    await plane.ready(client)

    async def reported() -> bool:
        found = await client.get(PODS, "offline", "default")
        return bool(main_status(found)["restartCount"] == 1 and await pod_ready(client, "offline"))

    await eventually(reported)
    os.kill(new, 0)
    await client.delete(PODS, "offline", "default")


async def test_after_a_reboot_nothing_is_adopted_and_all_is_started_again_offline(
    plane: Plane, client: HttpClient
) -> None:
    await client.create(PODS, pod("rebooted", nodeName="worker2"), "default")
    uid = (await eventually(lambda: pod_ready(client, "rebooted")))["metadata"]["uid"]
    (state,) = plane.root.glob(f"*-data/pods/{uid}/containers/*/*/state.json")
    known = json.loads(state.read_text())
    plane.daemons["worker2"].stop(signal.SIGKILL)
    plane.daemons["controlplane"].stop(signal.SIGKILL)
    # Numbers of processes mean nothing on another boot, whoever has them by then; here the old ones still have.
    state.write_text(json.dumps({**known, "boot_id": "another"}))
    try:
        plane.daemons["worker2"].start()

        async def runs_again() -> Any:
            return [p for p in processes(plane, uid) if p != known["pid"] and alive(p)]

        (new,) = await eventually(runs_again)
    finally:
        os.kill(known["shim"], signal.SIGUSR1)
    plane.daemons["controlplane"].start()
    await plane.ready(client)

    async def reported() -> bool:
        found = await client.get(PODS, "rebooted", "default")
        return bool(main_status(found)["restartCount"] == 1 and await pod_ready(client, "rebooted"))

    await eventually(reported)
    os.kill(new, 0)
    await client.delete(PODS, "rebooted", "default")
    await eventually(lambda: gone(client, PODS, "rebooted", "default"))


async def test_unknown_image_is_simulated_and_says_so(client: HttpClient) -> None:
    await client.create(PODS, pod("pretended", container={"image": "nginx:1"}), "default")
    found = await eventually(lambda: pod_ready(client, "pretended"))

    async def annotated() -> bool:
        annotations = (await client.get(PODS, "pretended", "default"))["metadata"].get("annotations") or {}
        return bool(annotations.get("embedded.kubernetes.local/runtime") == "simulated")

    await eventually(annotated)
    assert any(
        c["type"].endswith("Simulated") and "in name only" in c["message"] for c in found["status"]["conditions"]
    )
    await client.delete(PODS, "pretended", "default")


async def test_logs_are_only_for_the_api_server(plane: Plane, client: HttpClient) -> None:
    context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
    context.load_cert_chain(plane.root / "worker1-pki" / "kubelet.crt", plane.root / "worker1-pki" / "kubelet.key")
    url = f"https://{plane.nodes['worker1']}:10250/stats/summary"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
        assert response.status == 403


@pytest.mark.skipif(os.geteuid() != 0 or not GROUPS.is_dir(), reason="needs root and the memory control group")
async def test_memory_limit_kills_and_says_so_and_leaves_no_group(plane: Plane, client: HttpClient) -> None:
    container = {"resources": {"limits": {"memory": "64Mi"}}}
    hungry = pod("hungry", "x = b'x' * (512 * 2**20)", container=container, restartPolicy="Never")
    await client.create(PODS, hungry, "default")
    found = await eventually(lambda: pod_is(client, "hungry", "Failed"))
    assert main_status(found)["state"]["terminated"]["reason"] == "OOMKilled"
    assert not (GROUPS / "embedded" / f"pod{found['metadata']['uid']}").exists()
    await client.delete(PODS, "hungry", "default")
