"""A node agent's process on a recorded machine, for the tests of this folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml
from machines import CPUFREQ, read

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
