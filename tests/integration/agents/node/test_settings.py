"""What a node agent leaves behind: everything when it restarts, nothing when its policy goes or it is uninstalled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES
from mlsysops_agents.node.settings import UNINSTALL

sys.path.insert(0, str(Path(__file__).parents[3] / "unit" / "agents" / "support"))

from machines import CPUFREQ, acpi_cpufreq, read, snapshot

NODE = {
    "apiVersion": "mlsysops.eu/v1",
    "kind": "MLSysOpsNode",
    "metadata": {"name": "w1", "namespace": "mlsysops"},
    "spec": {
        "name": "w1",
        "continuum_layer": "edge",
        "cluster_id": "c1",
        "environment": {"node_type": "virtualized", "os": "ubuntu", "container_runtime": ["containerd"]},
        "hardware": {"cpu": {"model": "test", "architecture": "amd64"}, "memory": 16, "disk": "256"},
        "permitted_actions": ["cpu_frequency"],
    },
}
POLICY = """
def initialize():
    return {"scope": "node", "mechanisms": ["cpu_frequency"], "configuration": {"analyze_interval": "1s"}}


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    policies = mechanisms["cpu_frequency"]["state"]["policies"]
    return any(item["governor"] != "performance" for item in policies.values()), context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {"cpu_frequency": {"governor": "performance"}}, context
"""
GOVERNOR = f"{CPUFREQ}/policy2/scaling_governor"


class Agent:
    """A node agent's process on a recorded machine."""

    def __init__(self, directory: Path, kubeconfig: Path) -> None:
        self.root, self.state = directory / "root", directory / "state"
        self.plugins = directory / "plugins"
        self.plugins.mkdir()
        self.log = directory / "agent.log"
        self.config = directory / "agent.yaml"
        value: dict[str, Any] = {
            "tier": "node",
            "name": "w1",
            "slice": "test",
            "kubeconfig": str(kubeconfig),
            "state_dir": str(self.state),
            "host_root": str(self.root),
            "plugin_dirs": [str(self.plugins)],
            "telemetry": {"listen": {"address": f"127.78.{200 + os.getpid() % 50}.2", "port": 43170}},
        }
        self.config.write_text(yaml.safe_dump(value))
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *extra: str) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mlsysops_agents", "node", "--config", str(self.config), *extra, stderr=log
            )
        return self.process

    async def end(self, number: signal.Signals) -> int | None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()
        return self.process.returncode

    @property
    def governor(self) -> str:
        return read(self.root, GOVERNOR)


@pytest.fixture
async def agent(tmp_path: Path, control_plane: Any) -> Any:
    """An agent whose node permits cpu_frequency; not started yet."""
    made = Agent(tmp_path, control_plane.kubeconfig)
    acpi_cpufreq(made.root)
    async with await KubernetesClient.connect(control_plane.kubeconfig) as client:
        await client.apply(MLSYSOPS_NODES, NODE, "mlsysops", field_manager="tests")
    yield made
    if made.process is not None:
        await made.end(signal.SIGKILL)


async def test_settings_stay_until_nobody_wants_them(agent: Agent, until: Callable[..., Any]) -> None:
    before = snapshot(agent.root)
    policy = agent.plugins / "policy-fast.py"
    policy.write_text(POLICY)
    await agent.start()
    await until(lambda: agent.governor == "performance")

    # It stops, and is killed: both times it will be back.
    assert await agent.end(signal.SIGTERM) == 0
    assert agent.governor == "performance"
    await agent.start()
    await until(lambda: agent.log.read_text().count("mechanisms: ") == 2)
    await agent.end(signal.SIGKILL)
    assert agent.governor == "performance"

    # Its policy goes while it is away.
    policy.unlink()
    await agent.start()
    await until(lambda: agent.governor == "schedutil")
    assert "policy fast is removed: cpu_frequency" in agent.log.read_text()
    assert snapshot(agent.root) == before


async def test_an_agent_that_is_uninstalled_leaves_nothing(agent: Agent, until: Callable[..., Any]) -> None:
    before = snapshot(agent.root)
    (agent.plugins / "policy-fast.py").write_text(POLICY)
    await agent.start()
    await until(lambda: agent.governor == "performance")
    (agent.state / UNINSTALL).touch()

    assert await agent.end(signal.SIGTERM) == 0

    assert snapshot(agent.root) == before
    assert "uninstalled: cpu_frequency" in agent.log.read_text()


async def test_what_a_killed_agent_left_is_put_back_without_one(agent: Agent, until: Callable[..., Any]) -> None:
    before = snapshot(agent.root)
    (agent.plugins / "policy-fast.py").write_text(POLICY)
    await agent.start()
    await until(lambda: agent.governor == "performance")
    await agent.end(signal.SIGKILL)
    assert snapshot(agent.root) != before

    for _ in range(2):
        restoring = await agent.start("--restore")
        assert await restoring.wait() == 0
        assert snapshot(agent.root) == before
    assert "nothing to put back" in agent.log.read_text()
