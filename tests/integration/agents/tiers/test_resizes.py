"""Changes that a node's policy asks for while clients are served: in place where that can be, and by replacement without a gap."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES, PODS, REPLICA_SETS, SERVICES
from tiers_slice import NAMESPACE, LocalSlice, Object, eventually

ACTIONS = ["change_container_resource_requirements", "change_container_image"]
SERVER = Path(__file__).parent / "support" / "echo_server.py"
#: Does what a file says, for as long as it says so.
POLICY = """
import json, pathlib

FILE = pathlib.Path({file!r})


def initialize():
    return {{"scope": "application", "configuration": {{"analyze_interval": "500ms"}}, "mechanisms": {actions!r}}}


def missing(mechanisms):
    # What is told and not asked for yet; a plan may be put off.
    told = json.loads(FILE.read_text()) if FILE.exists() else {{}}
    for name, (command, value) in told.items():
        here = mechanisms[name]["state"]["applications"].get(command["application"], {{}}).get(command["component"])
        if here is not None and here["requested"].get("0") != value:
            yield name, command


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return any(True for _ in missing(mechanisms)), context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return dict(missing(mechanisms)), context
"""


class Traffic:
    """Clients that come one after the other and all want an answer."""

    def __init__(self, address: str, port: int) -> None:
        self.place = (address, port)
        self.answered = 0
        self.failures: list[str] = []

    async def _ask(self) -> bytes:
        reader, writer = await asyncio.open_connection(*self.place)
        try:
            writer.write(b"hello\n")
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _client(self) -> None:
        while True:
            try:
                answer = await asyncio.wait_for(self._ask(), 10)
            except OSError as exc:
                self.failures.append(repr(exc))
                await asyncio.sleep(0.1)
                continue
            if answer == b"hello\n":
                self.answered += 1
            else:
                self.failures.append(f"answered {answer!r}")

    @contextlib.asynccontextmanager
    async def flowing(self, clients: int = 3) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._client()) for _ in range(clients)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # transports close in the next turn


def application(cpu: str = "100m") -> Object:
    needs = {"cpu": {"requests": cpu}, "memory": {"requests": "64Mi"}}
    container = {"image": "example.com/echo:1", "ports": [{"container_port": 10000}], "platform_requirements": needs}
    component = {
        "metadata": {"name": "echo"},
        "node_placement": {"continuum_layer": ["*"]},
        "containers": [container],
    }
    return {
        "name": "shop",
        "cluster_placement": {"cluster_id": ["cluster1"]},
        "components": [component],
        "permitted_actions": ACTIONS,
    }


async def prepare(local_slice: LocalSlice) -> tuple[Path, Path]:
    """Let kubelets know the program, and node agents the policy; return the policy's file and what it is told."""
    plugins = local_slice.directory / "plugins"
    plugins.mkdir()
    policy, told = plugins / "policy-told.py", local_slice.directory / "told.json"
    policy.write_text(POLICY.format(file=str(told), actions=ACTIONS))
    for worker in local_slice.workers:
        await local_slice.continuum.patch(
            MLSYSOPS_NODES, worker, {"spec": {"permitted_actions": ACTIONS[1:]}}, NAMESPACE
        )
        config = local_slice.config(worker, "agent")
        config.write_text(config.read_text().replace("plugin_dirs: []", f"plugin_dirs: [{plugins}]"))
        teach(local_slice, worker)
    restart(local_slice, "kubelet", "agent")
    return policy, told


def teach(local_slice: LocalSlice, worker: str) -> None:
    """Let a kubelet know the program."""
    runtime = Path(yaml.safe_load(local_slice.config(worker, "kubelet").read_text())["runtime_config"])
    known = yaml.safe_load(runtime.read_text())
    known["images"].insert(0, {"image": "example.com/echo:*", "exec": [sys.executable, str(SERVER)]})
    runtime.write_text(yaml.safe_dump(known))


def restart(local_slice: LocalSlice, *what: str) -> None:
    for worker in local_slice.workers:
        for name in what:
            process = local_slice.processes[f"{worker}-{name}"]
            process.stop()
            process.start()


async def the_pod(local_slice: LocalSlice) -> Object | None:
    """The component's pod, while there is exactly one."""
    pods = list((await local_slice.pods()).values())
    return pods[0] if len(pods) == 1 else None


async def resized(local_slice: LocalSlice, cpu: str) -> Object | None:
    """The pod, when it and all that makes pods have that much."""
    pod = await the_pod(local_slice)
    if pod is None:
        return None
    (status,) = pod["status"].get("containerStatuses") or [{}]
    sets = (await local_slice.member.list(REPLICA_SETS, NAMESPACE))["items"]
    serving = [rs for rs in sets if rs["spec"]["replicas"]]
    deployment = (await local_slice.deployments())["shop-echo"]
    templates = [deployment["spec"]["template"], *(rs["spec"]["template"] for rs in serving)]
    asked = [template["spec"]["containers"][0]["resources"]["requests"]["cpu"] for template in templates]
    same = asked == [cpu, cpu] and status.get("allocatedResources", {}).get("cpu") == cpu
    return pod if same and not deployment["spec"].get("paused") else None


async def test_clients_notice_nothing(local_slice: LocalSlice) -> None:
    policy, told = await prepare(local_slice)
    await local_slice.deploy(application())
    await local_slice.running("shop")
    first = await eventually(lambda: resized(local_slice, "100m"), what="one pod runs")
    service = await local_slice.member.get(SERVICES, "echo", NAMESPACE)
    traffic = Traffic(service["spec"]["clusterIP"], 10000)
    command: dict[str, Any] = {"application": "shop", "component": "echo"}
    more = {"cpu": {"requests": "200m"}}
    commands: dict[str, Any] = {"change_container_resource_requirements": [{**command, **more}, more]}
    async with traffic.flowing():
        told.write_text(json.dumps(commands))
        second = await eventually(lambda: resized(local_slice, "200m"), seconds=60, what="resized in place")
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        assert second["status"]["containerStatuses"][0]["restartCount"] == 0
        in_place = traffic.answered
        commands["change_container_image"] = [{**command, "image": "example.com/echo:2"}, "example.com/echo:2"]
        told.write_text(json.dumps(commands))

        async def replaced() -> Object | None:
            pod = await resized(local_slice, "200m")
            return pod if pod and pod["spec"]["containers"][0]["image"] == "example.com/echo:2" else None

        third = await eventually(replaced, seconds=60, what="replaced")
    assert third["metadata"]["uid"] != first["metadata"]["uid"]
    assert 20 < in_place < traffic.answered - 20
    assert traffic.failures == []

    # A pod that is made anew has what the policy asked for, from its first moment on.
    await local_slice.member.delete(PODS, third["metadata"]["name"], NAMESPACE)

    async def made_anew() -> Object | None:
        pod = await resized(local_slice, "200m")
        return pod if pod and pod["metadata"]["uid"] != third["metadata"]["uid"] else None

    fourth = await eventually(made_anew, seconds=60, what="made anew")
    assert fourth["metadata"]["generation"] == 1

    # The node asks for the image no more: replaced; without its policy for no amounts either: in place.
    commands["change_container_image"] = [{**command, "command": "reset"}, None]
    told.write_text(json.dumps(commands))

    async def the_described_image() -> Object | None:
        pod = await resized(local_slice, "200m")
        return pod if pod and pod["spec"]["containers"][0]["image"] == "example.com/echo:1" else None

    fifth = await eventually(the_described_image, seconds=90, what="replaced again")
    policy.unlink()
    restart(local_slice, "agent")
    sixth = await eventually(lambda: resized(local_slice, "100m"), seconds=60, what="as described again")
    assert sixth["metadata"]["uid"] == fifth["metadata"]["uid"]
    assert sixth["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_whoever_is_killed_while_it_resizes_finishes_when_it_is_back(local_slice: LocalSlice) -> None:
    """The owner's own change of amounts is made in place, too, and the cluster's agent is killed at some moment of it."""
    for worker in local_slice.workers:
        teach(local_slice, worker)
    restart(local_slice, "kubelet")
    await local_slice.deploy(application())
    await local_slice.running("shop")
    first = await eventually(lambda: resized(local_slice, "100m"), what="one pod runs")
    agent = local_slice.processes["server1-agent"]
    chance = random.Random(36)
    for number in range(5):
        cpu = f"{110 + 10 * number}m"
        await local_slice.deploy(application(cpu))

        async def arrived(cpu: str = cpu) -> bool:
            found = await local_slice.app("shop", local_slice.member)
            needs = found["spec"]["components"][0]["containers"][0]["platform_requirements"]
            return bool(needs["cpu"]["requests"] == cpu)

        await eventually(arrived, what="the member knows")
        await asyncio.sleep(chance.uniform(0.0, 0.6))  # the instant of the kill is the test's input
        agent.stop(signal.SIGKILL)
        agent.start()
        now = await eventually(lambda cpu=cpu: resized(local_slice, cpu), seconds=60, what=f"resized to {cpu}")
        assert now["metadata"]["uid"] == first["metadata"]["uid"]
        annotations = (await local_slice.deployments())["shop-echo"]["metadata"]["annotations"]
        assert "mlsysops.eu/resizing" not in annotations
