"""One node agent for the tests of this folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES

sys.path.insert(0, str(Path(__file__).parents[3] / "unit" / "agents" / "support"))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from machines import acpi_cpufreq
from node_agent import NODE, Agent


@pytest.fixture
async def agent(tmp_path: Path, control_plane: Any) -> AsyncIterator[Agent]:
    """An agent whose node permits cpu_frequency; not started yet."""
    made = Agent(tmp_path, control_plane.kubeconfig)
    acpi_cpufreq(made.root)
    async with await KubernetesClient.connect(control_plane.kubeconfig) as client:
        await client.apply(MLSYSOPS_NODES, NODE, "mlsysops", field_manager="tests")
    yield made
    if made.process is not None:
        await made.end(signal.SIGKILL)
