"""A node agent as a real process with a real API server: it waits, reports, collects, and outlives the API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import LEASES, MLSYSOPS_NODES
from mlsysops_agents.adapters.telemetry import HttpPush, OtlpReceiver, Point, SeriesKey, TelemetryStore
from mlsysops_core.errors import MlsError, NotFound
from mlsysops_core.model.status import NodeStatus

NODE = {
    "apiVersion": "mlsysops.eu/v1",
    "kind": "MLSysOpsNode",
    "metadata": {"name": "w1", "namespace": "mlsysops"},
    "spec": {
        "name": "w1",
        "continuum_layer": "edge",
        "cluster_id": "c1",
        "mobile": False,
        "environment": {"node_type": "virtualized", "os": "ubuntu", "container_runtime": ["containerd"]},
        "hardware": {"cpu": {"model": "test", "architecture": "amd64"}, "memory": 16, "disk": "256"},
    },
}
POLICY = """
from mlsysops.logger_util import logger


def initialize():
    return {
        "name": "watch",
        "scope": "node",
        "telemetry": {"metrics": ["queue_length"]},
        "mechanisms": [],
        "packages": [],
        "configuration": {"analyze_interval": "1h"},
    }


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    value = telemetry["query"]("queue_length")
    logger.info(f"queue on {system_description['MLSysOpsNode']['name']} is {value}")
    return False, context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {}, context
"""


class Agent:
    """A node agent's process and what belongs to it."""

    def __init__(self, directory: Path, kubeconfig: Path, upstream: str, plugins: Path | None = None) -> None:
        self.address = f"127.78.{200 + os.getpid() % 50}.1"
        self.log = directory / "agent.log"
        self._config = directory / "agent.yaml"
        value = {
            "tier": "node",
            "name": "w1",
            "slice": "test",
            "kubeconfig": str(kubeconfig),
            "state_dir": str(directory / "state"),
            "telemetry": {
                "listen": {"address": self.address, "port": 43170},
                "upstream": upstream,
                "interval": 0.2,
            },
            "lease": {"duration": 4, "renew": 1},
            "plugin_dirs": [str(plugins)] if plugins else [],
        }
        self._config.write_text(yaml.safe_dump(value))
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mlsysops_agents", "node", "--config", str(self._config), stderr=log
            )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def said(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text()


@pytest.fixture
async def client(control_plane: Any) -> AsyncIterator[KubernetesClient]:
    async with await KubernetesClient.connect(control_plane.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[OtlpReceiver, TelemetryStore]]:
    store = TelemetryStore()
    async with OtlpReceiver(store, address="127.0.0.1", port=0) as receiver:
        yield receiver, store


@pytest.fixture
async def agent(tmp_path: Path, control_plane: Any, upstream: Any) -> AsyncIterator[Agent]:
    made = Agent(tmp_path, control_plane.kubeconfig, upstream[0].url)
    await made.start()
    yield made
    await made.stop(signal.SIGKILL)


async def status_of(client: KubernetesClient, **wanted: Any) -> NodeStatus:
    """The node's status, once it is there."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(MlsError):
                status = (await client.get(MLSYSOPS_NODES, "w1", "mlsysops")).get("status") or {}
                if status.get("metrics") and all(status.get(key) == value for key, value in wanted.items()):
                    return NodeStatus.model_validate(status)
            await asyncio.sleep(0.05)


async def test_waits_for_its_node_then_reports(
    agent: Agent, client: KubernetesClient, upstream: Any, until: Any
) -> None:
    await until(lambda: agent.said("waiting for MLSysOpsNode w1"))
    with pytest.raises(NotFound):
        await client.get(MLSYSOPS_NODES, "w1", "mlsysops")
    await client.create(MLSYSOPS_NODES, NODE)
    status = await status_of(client)

    assert {item.type: item.status for item in status.conditions}["Ready"] == "True"
    assert status.observed_generation == 1
    assert status.capacity is not None
    assert status.capacity.memory == psutil.virtual_memory().total
    lease = (await client.get(LEASES, "mlsysops-node-w1", "mlsysops-framework"))["spec"]
    assert lease["leaseDurationSeconds"] == 4
    assert agent.process is not None
    assert lease["holderIdentity"].startswith(f"{agent.process.pid}@")
    await until(lambda: upstream[1].latest("system.cpu.utilization", k8s_node_name="w1") is not None)
    assert psutil.Process(agent.process.pid).memory_info().rss < 90_000_000
    assert await agent.stop() == 0


async def test_status_is_not_written_at_every_measurement(agent: Agent, client: KubernetesClient, until: Any) -> None:
    await client.create(MLSYSOPS_NODES, NODE)
    while len((await status_of(client)).conditions) < 2:  # noqa: ASYNC110 - the loop's own condition comes once, soon
        await asyncio.sleep(0.05)
    before = (await client.get(MLSYSOPS_NODES, "w1", "mlsysops"))["metadata"]["resourceVersion"]
    started = time.monotonic()
    await until(lambda: time.monotonic() - started > 3)

    assert (await client.get(MLSYSOPS_NODES, "w1", "mlsysops"))["metadata"]["resourceVersion"] == before
    await client.patch(MLSYSOPS_NODES, "w1", {"spec": {"mobile": True}}, "mlsysops")
    await status_of(client, observedGeneration=2)


async def test_goes_on_without_the_api_and_catches_up(
    agent: Agent, client: KubernetesClient, control_plane: Any, upstream: Any, until: Any
) -> None:
    await client.create(MLSYSOPS_NODES, NODE)
    await status_of(client)
    await control_plane.stop(signal.SIGKILL)
    await until(lambda: agent.said("heartbeat mlsysops-node-w1 not renewed"))
    async with aiohttp.ClientSession() as session:
        push = HttpPush(session, f"http://{agent.address}:43170")
        await push([Point(SeriesKey.make("orders", {"service.name": "shop"}), 7, time.time())])
    await until(lambda: upstream[1].latest("orders", service_name="shop", k8s_node_name="w1") is not None)
    await control_plane.start()
    await until(lambda: agent.said("heartbeat mlsysops-node-w1 renewed again"))
    await client.patch(MLSYSOPS_NODES, "w1", {"spec": {"mobile": True}}, "mlsysops")
    await status_of(client, observedGeneration=2)
    assert await agent.stop() == 0


async def test_a_node_removed_and_registered_again_is_reported_anew(
    agent: Agent, client: KubernetesClient, until: Any
) -> None:
    await client.create(MLSYSOPS_NODES, NODE)
    await status_of(client)
    await client.delete(MLSYSOPS_NODES, "w1", "mlsysops")
    await until(lambda: agent.said("MLSysOpsNode w1 is gone"))
    await client.create(MLSYSOPS_NODES, NODE)

    await status_of(client)


async def test_a_module_policy_hears_of_telemetry(
    tmp_path: Path, control_plane: Any, client: KubernetesClient, upstream: Any, until: Any
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "policy-watch.py").write_text(POLICY)
    agent = Agent(tmp_path, control_plane.kubeconfig, upstream[0].url, plugins)
    await client.create(MLSYSOPS_NODES, NODE)
    await agent.start()
    try:
        await until(lambda: agent.said("queue on w1 is None"))
        async with aiohttp.ClientSession() as session:
            push = HttpPush(session, f"http://{agent.address}:43170")
            await push([Point(SeriesKey.make("queue_length", {"service.name": "shop"}), 42, time.time())])
        await until(lambda: agent.said("queue on w1 is 42.0"))
    finally:
        await agent.stop()


async def test_an_unusable_plugin_stops_the_agent_and_is_told(
    tmp_path: Path, control_plane: Any, client: KubernetesClient, upstream: Any
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "policy-broken.py").write_text("def initialize():\n    raise RuntimeError('no')\n")
    agent = Agent(tmp_path, control_plane.kubeconfig, upstream[0].url, plugins)
    await client.create(MLSYSOPS_NODES, NODE)
    await agent.start()
    assert agent.process is not None
    async with asyncio.timeout(30):
        code = await agent.process.wait()
    status = (await client.get(MLSYSOPS_NODES, "w1", "mlsysops"))["status"]

    assert code == 3
    assert "Traceback" not in agent.log.read_text()
    (ready,) = [item for item in status["conditions"] if item["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "PluginUnusable")
    assert "broken" in ready["message"]
