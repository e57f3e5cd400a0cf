"""Real control planes of the embedded engine for the agents' tests: one process each, killed and started at will."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import Resource
from mlsysops_core.errors import MlsError

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
CRDS = Path(__file__).parents[3] / "templates" / "crds"


class ControlPlane:
    """One control plane.

    Args:
        directory: Where its files go.
        address: Loopback address to listen on.
    """

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self.address = address
        self.kubeconfig = directory / "admin.kubeconfig"
        self._process: asyncio.subprocess.Process | None = None

    async def make(self) -> None:
        """Make certificates and configuration."""
        bootstrap = {
            "pki_dir": str(self.directory / "pki"),
            "server": {"url": f"https://{self.address}:6443", "sans": [self.address]},
            "context": "test",
            "kubeconfigs": [{"path": str(self.kubeconfig), "user": "kubernetes-admin", "groups": ["system:masters"]}],
        }
        serving = {
            "name": "test",
            "data_dir": str(self.directory / "data"),
            "listen": {"address": self.address, "port": 6443},
            "pki_dir": str(self.directory / "pki"),
            "service_cidr": "127.78.128.0/21",
            "propagation": {"enabled": False},
        }
        (self.directory / "bootstrap.yaml").write_text(yaml.safe_dump(bootstrap))
        (self.directory / "controlplane.yaml").write_text(yaml.safe_dump(serving))
        process = await self._run("bootstrap")
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert json.loads(output) == {"changed": True}

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await self._run("controlplane")
        async with await KubernetesClient.connect(self.kubeconfig) as client, asyncio.timeout(30):
            while True:
                assert self._process.returncode is None, "the control plane ended"
                with contextlib.suppress(MlsError):
                    await client.list(NAMESPACES)
                    return
                await asyncio.sleep(0.05)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()

    async def add_definitions(self) -> None:
        """Add the project's CRDs and namespaces."""
        async with await KubernetesClient.connect(self.kubeconfig) as client:
            for name in ("mlsysops", "mlsysops-framework"):
                await client.apply(NAMESPACES, {"metadata": {"name": name}}, field_manager="tests")
            for path in sorted(CRDS.glob("*.yaml")):
                await client.apply(DEFINITIONS, yaml.safe_load(path.read_text()), field_manager="tests")

    async def _run(self, command: str) -> asyncio.subprocess.Process:
        file = self.directory / f"{command}.yaml"
        with (self.directory / f"{command}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mlsysops_embedded",
                command,
                "--config",
                str(file),
                stdout=asyncio.subprocess.PIPE if command == "bootstrap" else log,
                stderr=log,
            )


async def poll(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of other processes
            await asyncio.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., object]:
    """Wait for a condition: ``await until(lambda: …)``."""
    return poll


@pytest.fixture
async def control_plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A running control plane with the project's CRDs and namespaces."""
    directory = tmp_path / "controlplane"
    directory.mkdir()
    # One address for all: tests of one run follow each other, and runs side by side differ in their process id.
    plane = ControlPlane(directory, f"127.78.{100 + os.getpid() % 100}.1")
    await plane.make()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(plane.stop, signal.SIGKILL)
        await plane.start()
        await plane.add_definitions()
        yield plane
