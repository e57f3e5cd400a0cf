"""A policy of the MLSysOps framework's kind, unmodified, through the whole loop: metric in, Deployment moved."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import FakeObjects
from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey, TelemetryStore
from mlsysops_agents.cluster.handle import ClusterHandle
from mlsysops_agents.cluster.world import ClusterWorld
from mlsysops_agents.loop import Engine, SqliteKnowledge, VirtualClock
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_core.contracts import AgentIdentity, Scope
from mlsysops_core.plugins import load_policies

POLICY = '''
"""Plugin module for custom policies - notify function."""
from __future__ import print_function

import inspect

from mlsysops.logger_util import logger
from mlsysops.utilities import evaluate_condition

def initialize():
    logger.info(f"Initializing policy {inspect.stack()[1].filename}")
    return {
        "telemetry": {"metrics": ["rate"], "system_scrape_interval": "5s"},
        "mechanisms": ["fluidity"],
        "packages": [],
        "configuration": {"analyze_interval": "5s"},
        "scope": "application",
    }

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    for component in application_description[0]['spec']['components']:
        for metric in component['qos_metrics']:
            frame = await telemetry['query'](latest=True)
            measured = frame[metric['application_metric_id']].values[0]
            if measured is None:
                continue
            if not evaluate_condition(measured, metric['target'], metric['relation']):
                return True, context
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    application = application_description[0]
    state = mechanisms['fluidity']['state']['applications'][application['name']]['components']
    result = {'name': application['name'], 'deployment_plan': {'initial_plan': False}}
    for component in application['spec']['components']:
        name = component['metadata']['name']
        present = state[name]['node_placed']
        others = [node for node in system_description['MLSysOpsCluster']['nodes'] if node != present]
        result['deployment_plan'][name] = [{"action": "move", "target_host": others[0], "src_host": present}]
    return {"fluidity": result}, context
'''


@pytest.mark.parametrize("with_pandas", [False, True])
async def test_a_framework_policy_moves_a_component_when_its_metric_misses_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_pandas: bool
) -> None:
    if with_pandas:
        pytest.importorskip("pandas", reason="needs pandas")
    else:
        monkeypatch.delitem(sys.modules, "pandas", raising=False)
    (tmp_path / "policy-mine.py").write_text(POLICY)
    objects, clock, agent = FakeObjects(), VirtualClock(), AgentIdentity("cluster", "c1")
    for name in ("n1", "n2"):
        spec = {"name": name, "continuum_layer": "edge", "environment": {}, "hardware": {}}
        objects.put({"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsNode", "metadata": {"name": name}, "spec": spec})
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        objects.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": ready})
    metric = {"application_metric_id": "rate", "target": 10, "relation": "greater_or_equal"}
    spec = {
        "name": "app",
        "components": [{"metadata": {"name": "web"}, "containers": [{"image": "x"}], "qos_metrics": [metric]}],
        "permitted_actions": ["component_relocation"],
    }
    metadata = {"name": "app", "annotations": {"mlsysops.eu/component-clusters": json.dumps({"web": "c1"})}}
    objects.put({"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": metadata, "spec": spec})
    telemetry = TelemetryStore(now=clock.time)
    world = ClusterWorld(agent, objects, telemetry)
    handle = ClusterHandle(agent, clock, objects, telemetry, world)
    fluidity = Fluidity(handle)
    await fluidity.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "n1"}]}})
    decisions: list[Any] = []
    engine = Engine(
        agent,
        clock=clock,
        knowledge=SqliteKnowledge(":memory:"),
        inputs=world,
        policies=load_policies(handle, [tmp_path], entries=[]),
        mechanisms={"fluidity": fluidity},
        on_decision=decisions.append,
    )
    telemetry.subscribe(lambda samples: engine.observe(samples, lambda _sample: None))
    task = asyncio.create_task(engine.run())
    engine.add_asset("application/app", Scope.APPLICATION)
    await clock.advance(20)
    assert world.placed("app") == {"web": "n1"}  # no value yet: nothing to do

    key = SeriesKey("rate", (("service.name", "web"),), ())
    telemetry.ingest([Point(key, 3.0, clock.time(), Kind.GAUGE)])
    await clock.advance(0.5)
    assert world.placed("app") == {"web": "n2"}
    decision = next(item for item in decisions if item["outcome"] == "executed")
    assert decision["trigger"] == "telemetry: rate"
    assert decision["inputs"] == {"placed": {"web": "n1"}, "metrics": {"web/rate": 3.0}}

    await clock.advance(5)
    assert world.placed("app") == {"web": "n2"}  # it would go on and on; the cool-down keeps it from ping-pong
    assert any(item["outcome"] == "cool-down" for item in decisions)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


IDLE = """
def initialize():
    return {"mechanisms": ["fluidity"], "scope": "application"}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return True, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {"fluidity": {"deployment_plan": PLAN}}, context
"""


@pytest.mark.parametrize("plan", [{}, {"initial_plan": True}, {"initial_plan": False, "web": []}])
async def test_a_deployment_plan_without_actions_is_no_plan(tmp_path: Path, plan: dict[str, Any]) -> None:
    """The framework's policies for static placement end so, without a name, where nothing is to be placed."""
    (tmp_path / "policy-idle.py").write_text(IDLE.replace("PLAN", repr(plan)))
    objects, clock, agent = FakeObjects(), VirtualClock(), AgentIdentity("cluster", "c1")
    telemetry = TelemetryStore(now=clock.time)
    world = ClusterWorld(agent, objects, telemetry)
    handle = ClusterHandle(agent, clock, objects, telemetry, world)
    decisions: list[Any] = []
    engine = Engine(
        agent,
        clock=clock,
        knowledge=SqliteKnowledge(":memory:"),
        inputs=world,
        policies=load_policies(handle, [tmp_path], entries=[]),
        mechanisms={"fluidity": Fluidity(handle)},
        on_decision=decisions.append,
    )
    task = asyncio.create_task(engine.run())
    engine.add_asset("application/app", Scope.APPLICATION)
    await clock.advance(20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [item["verdict"] for item in decisions] == ["no-plan"]
