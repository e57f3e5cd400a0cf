"""What a node agent leaves behind: everything when it restarts, nothing when its policy goes or it is uninstalled."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

from machines import snapshot
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS, LEASES, MLSYSOPS_NODES
from mlsysops_agents.node.settings import UNINSTALL
from mlsysops_core.model.agents import UNINSTALL as UNINSTALL_REQUEST
from mlsysops_core.model.agents import UNINSTALLED
from node_agent import Agent

FRAMEWORK = "mlsysops-framework"

POLICY = """
def initialize():
    return {"scope": "node", "mechanisms": ["cpu_frequency"], "configuration": {"analyze_interval": "1s"}}


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    policies = mechanisms["cpu_frequency"]["state"]["policies"]
    return any(item["governor"] != "performance" for item in policies.values()), context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {"cpu_frequency": {"governor": "performance"}}, context
"""


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
    await until(lambda: "policy fast is removed: cpu_frequency" in agent.log.read_text())
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


async def test_an_agent_that_is_told_by_its_api_puts_everything_back_and_sets_nothing_again(
    agent: Agent, control_plane: Any, until: Callable[..., Any]
) -> None:
    before = snapshot(agent.root)
    (agent.plugins / "policy-fast.py").write_text(POLICY)
    await agent.start()
    await until(lambda: agent.governor == "performance")
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": UNINSTALL_REQUEST, "namespace": FRAMEWORK}}
    async with await KubernetesClient.connect(control_plane.kubeconfig) as client:
        made = await client.apply(CONFIG_MAPS, obj, FRAMEWORK, field_manager="tests")

        async def answer() -> Any:
            lease = await client.get(LEASES, "mlsysops-node-w1", FRAMEWORK)
            return json.loads((lease["metadata"].get("annotations") or {}).get(UNINSTALLED) or "{}")

        async with asyncio.timeout(60):
            while await answer() != {"request": made["metadata"]["uid"], "fault": ""}:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        assert snapshot(agent.root) == before
        assert "uninstalled: cpu_frequency" in agent.log.read_text()

        # It is killed, and comes back: it neither sets anything nor forgets what it was told.
        await agent.end(signal.SIGKILL)
        lease = await client.get(LEASES, "mlsysops-node-w1", FRAMEWORK)
        stripped = {"metadata": {"annotations": {UNINSTALLED: None}}}
        await client.patch(LEASES, lease["metadata"]["name"], stripped, FRAMEWORK)
        await agent.start()
        async with asyncio.timeout(60):
            while not await answer():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)

        async def ready() -> tuple[str, str]:
            node = await client.get(MLSYSOPS_NODES, "w1", "mlsysops")
            found = next(item for item in node["status"]["conditions"] if item["type"] == "Ready")
            return found["status"], found["reason"]

        async with asyncio.timeout(60):
            while await ready() != ("False", "Uninstalled"):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        assert agent.log.read_text().count("mechanisms: ") == 1
        assert snapshot(agent.root) == before
        assert await agent.end(signal.SIGTERM) == 0

        # A removal that ended half way is followed by a deployment: the policy decides again.
        await client.delete(CONFIG_MAPS, UNINSTALL_REQUEST, FRAMEWORK)
        await agent.start()
        await until(lambda: agent.governor == "performance")
