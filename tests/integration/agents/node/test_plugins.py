"""Plug-ins of a running node agent: directories of the MLSysOps framework as they are, packages, and policies that go again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
import yaml
from machines import snapshot
from mlsysops_agents.adapters.kubernetes import KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS, MLSYSOPS_NODES
from mlsysops_core.errors import NotFound
from mlsysops_core.model.agents import FOR_AGENTS, Revision, SentToAgents, digest_of, object_name
from node_agent import NODE, Agent

FRAMEWORK = "mlsysops-framework"
ARGUMENTS = "context, application_description, system_description, mechanisms, telemetry, ml_connector"
#: As node policies of the framework are written: an interval, a scope of older times, its own telemetry client.
FREQUENCY = f"""
from __future__ import print_function

import time

from mlstelemetry import MLSTelemetry
from mlsysops.logger_util import logger

client = MLSTelemetry("policy_cpu", "policy_cpu")


def initialize():
    return {{
        "telemetry": {{"metrics": ["node_load1"], "system_scrape_interval": "10s"}},
        "mechanisms": ["CPUFrequencyConfigurator", "Counter"],
        "packages": [],
        "configuration": {{"analyze_interval": "1s"}},
        "latest_timestamp": None,
        "core": False,
        "scope": "global",
    }}


async def analyze({ARGUMENTS}):
    if context["latest_timestamp"] is None:
        context["latest_timestamp"] = time.time()
        return False, context
    client.pushMetric("analyses", "counter", 1)
    return mechanisms["Counter"]["state"]["count"] < 2, context


async def plan({ARGUMENTS}):
    logger.info("count %s", mechanisms["Counter"]["state"]["count"])
    return {{
        "CPUFrequencyConfigurator": {{"command": "set", "cpu": "all", "frequency": "min"}},
        "Counter": {{"command": "count"}},
    }}, context
"""
COUNTER = """
from mlsysops.events import MessageEvents

queues = {}
state = {"count": 0}


def initialize(inbound_queue, outbound_queue, agent_state=None):
    queues["inbound"] = inbound_queue
    state["node"] = agent_state.configuration.node


async def apply(value):
    state["count"] += 1
    await queues["inbound"].put({"event": MessageEvents.PLAN_EXECUTED.value, "payload": {"name": value["plan_uid"]}})
    return True


def get_state():
    return state


def get_options():
    pass
"""
#: Wants a package that nobody has.
HUNGRY = f"""
import no_such_package_of_tests

def initialize():
    return {{"packages": ["no-such-package-of-tests"], "scope": "node"}}

async def analyze({ARGUMENTS}):
    return False, context

async def plan({ARGUMENTS}):
    return {{}}, context
"""
GOVERNOR_POLICY = f"""
def initialize():
    return {{"scope": "node", "mechanisms": ["cpu_frequency"], "configuration": {{"analyze_interval": "1s"}}}}

async def analyze({ARGUMENTS}):
    policies = mechanisms["cpu_frequency"]["state"]["policies"]
    return any(item["governor"] != "performance" for item in policies.values()), context

async def plan({ARGUMENTS}):
    return {{"cpu_frequency": {{"governor": "performance"}}}}, context
"""


@pytest.fixture
async def client(control_plane: Any) -> AsyncIterator[KubernetesClient]:
    async with await KubernetesClient.connect(control_plane.kubeconfig) as made:
        yield made


async def send(client: KubernetesClient, name: str, text: str) -> str:
    sent = SentToAgents(
        kind="policy", name=name, target="node", revisions=[Revision(revision=1, digest=digest_of(text))]
    )
    sent.texts = {1: text}
    metadata = {"name": object_name("policy", name, "node"), "namespace": FRAMEWORK, "labels": {FOR_AGENTS: "policy"}}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": sent.to_data()}
    await client.apply(CONFIG_MAPS, obj, FRAMEWORK, field_manager="tests")
    return str(metadata["name"])


async def status(client: KubernetesClient) -> dict[str, Any]:
    with contextlib.suppress(NotFound):
        return dict((await client.get(MLSYSOPS_NODES, "w1", "mlsysops")).get("status") or {})
    return {}


async def test_a_directory_of_the_framework_runs_as_it_is(agent: Agent, until: Callable[..., Any]) -> None:
    for folder, name, text in (
        ("policies", "policy-CPUFrequencyConfigurator.py", FREQUENCY),
        ("mechanisms", "Counter.py", COUNTER),
    ):
        (agent.plugins / folder).mkdir()
        (agent.plugins / folder / name).write_text(text)
    before = snapshot(agent.root)
    limits = [name for name in before if name.endswith("scaling_max_freq")]
    process = await agent.start()
    await until(lambda: all(snapshot(agent.root)[name] != before[name] for name in limits), seconds=60)
    lowest = {name: before[name.replace("scaling_max_freq", "cpuinfo_min_freq")] for name in limits}
    assert {name: snapshot(agent.root)[name] for name in limits} == lowest
    # The second look sees what the first command did, so it comes to an end.
    await until(lambda: agent.log.read_text().count("on system/w1: adapt") == 2, seconds=60)
    assert "mlsysops.policy count 1" in agent.log.read_text()
    workers = [item for item in psutil.Process(process.pid).children() if "plugins.worker" in " ".join(item.cmdline())]
    assert len(workers) == 2
    # The mechanism's process is lost: it is made anew, and tells its state from the start.
    for worker in workers:
        worker.kill()
    await until(lambda: agent.log.read_text().count("on system/w1: adapt") > 2, seconds=60)


async def test_a_policy_whose_packages_are_not_allowed_is_refused_by_name(
    agent: Agent, client: KubernetesClient, until: Callable[..., Any]
) -> None:
    await agent.start()
    await send(client, "hungry", HUNGRY)
    told: dict[str, Any] = {}

    async def refused() -> bool:
        told.update(await status(client))
        return any(item.get("state") == "Refused" for item in told.get("policies") or ())

    await eventually(refused)
    (policy,) = [item for item in told["policies"] if item["name"] == "hungry"]
    assert "packages no-such-package-of-tests are neither installed beside the agent" in policy["message"]
    healthy = next(item for item in told["conditions"] if item["type"] == "PoliciesHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "PolicyRefused")

    # Where it may have them, but there are none, the agent says what pip says.
    wheels = agent.state.parent / "wheels"
    wheels.mkdir()
    config = yaml.safe_load(agent.config.read_text())
    config["worker"] = {"packages": {"allowed": ["*"], "wheelhouse": str(wheels)}}
    agent.config.write_text(yaml.safe_dump(config))
    await agent.end(signal.SIGTERM)
    await agent.start()

    async def failed() -> bool:
        told.update(await status(client))
        return any(item.get("state") == "Failed" for item in told.get("policies") or ())

    await eventually(failed)
    (policy,) = [item for item in told["policies"] if item["name"] == "hungry"]
    assert "cannot be installed: " in policy["message"]


async def test_what_a_sent_policy_set_is_put_back_when_it_is_taken_back(
    agent: Agent, client: KubernetesClient, until: Callable[..., Any]
) -> None:
    before = snapshot(agent.root)
    await agent.start()
    name = await send(client, "fast", GOVERNOR_POLICY)
    await until(lambda: agent.governor == "performance", seconds=60)
    await client.delete(CONFIG_MAPS, name, FRAMEWORK)
    await until(lambda: snapshot(agent.root) == before, seconds=60)
    await until(lambda: "policy fast is removed: cpu_frequency" in agent.log.read_text())
    assert agent.process is not None
    assert agent.process.returncode is None


async def test_what_was_set_is_put_back_when_the_node_is_unregistered(
    agent: Agent, client: KubernetesClient, until: Callable[..., Any]
) -> None:
    before = snapshot(agent.root)
    (agent.plugins / "policy-fast.py").write_text(GOVERNOR_POLICY)
    await agent.start()
    await until(lambda: agent.governor == "performance", seconds=60)
    await client.delete(MLSYSOPS_NODES, "w1", "mlsysops")
    await until(lambda: snapshot(agent.root) == before, seconds=60)
    # Its policy would have it otherwise, but nobody permits that now.
    await until(lambda: "node w1 has no description, so nothing is permitted" in agent.log.read_text(), seconds=60)
    assert snapshot(agent.root) == before
    await client.apply(MLSYSOPS_NODES, NODE, "mlsysops", field_manager="tests")
    await until(lambda: agent.governor == "performance", seconds=60)


async def eventually(check: Callable[[], Any], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - a condition of another process
            await asyncio.sleep(0.1)
