"""Skeletons of plug-ins: typed, tested, and running as they are."""

from __future__ import annotations

import re
from string import Template

from mlsysops_core.errors import InvalidInput

__all__ = ["skeleton"]

_NAME = re.compile(r"[A-Za-z]([-A-Za-z0-9_]{0,62}[A-Za-z0-9])?")

_POLICY = '''"""Policy $name: says when it acts, and why."""

from __future__ import annotations

from typing import Any

Context = dict[str, Any]

METRIC = "my_metric"
LIMIT = 10.0


def initialize() -> Context:
    """Return the first context: what the policy needs, and what it wants to remember."""
    return {
        "scope": "application",  # or node, cluster, continuum, system
        "telemetry": {"metrics": [METRIC]},  # a new value of one of these asks analyze()
        "mechanisms": ["fluidity"],
        "packages": [],
        "configuration": {"analyze_interval": "30s", "limit": LIMIT},
        "seen": 0,
    }


async def analyze(
    context: Context,
    application_description: list[dict[str, Any]],
    system_description: dict[str, Any],
    mechanisms: dict[str, dict[str, Any]],
    telemetry: dict[str, Any],
    ml_connector: Any,
) -> tuple[bool, Context]:
    """Say whether something should be done."""
    context["seen"] += 1
    value = telemetry["query"](METRIC)
    return value is not None and value > context["configuration"]["limit"], context


async def plan(
    context: Context,
    application_description: list[dict[str, Any]],
    system_description: dict[str, Any],
    mechanisms: dict[str, dict[str, Any]],
    telemetry: dict[str, Any],
    ml_connector: Any,
) -> tuple[dict[str, Any], Context]:
    """Say what: commands by mechanism. Here: move the first component to the next node."""
    application = application_description[0]["name"]
    components = mechanisms["fluidity"]["state"]["applications"].get(application, {}).get("components", {})
    hosts = mechanisms["fluidity"]["options"].get("hosts", [])
    for component, state in sorted(components.items()):
        here = state.get("node_placed")
        others = [host for host in hosts if host != here]
        if here is not None and others:
            move = {"action": "move", "src_host": here, "target_host": others[0]}
            return {"fluidity": {"name": application, "deployment_plan": {component: [move]}}}, context
    return {}, context
'''

_SCENARIO = """# What policy $name is shown by `mls agent test-policy`.
duration: 60s
applications:
  - name: demo
    spec: {components: [{metadata: {name: server}}]}
mechanisms:
  fluidity:
    state: {applications: {demo: {components: {server: {node_placed: node1}}}}}
    options: {hosts: [node1, node2]}
telemetry:
  # Recorded values: {metric: …, values: [[seconds, value], …]}; or a shape: constant, ramp, sine, step.
  - {metric: my_metric, shape: step, from: 5, to: 12, at: 30s, every: 10s}
"""

_POLICY_TEST = '''"""Tests of policy $name; run them with pytest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import yaml
from mlsysops_core.plugins import load_policy_file
from mlsysops_core.plugins.replay import Scenario, replay

HERE = Path(__file__).parent


def test_it_moves_a_component_when_its_metric_is_too_high() -> None:
    name, policy, _ = load_policy_file(HERE / "policy-$name.py")
    scenario = Scenario.from_value(yaml.safe_load((HERE / "scenario-$name.yaml").read_text()))
    turns = asyncio.run(replay(name, policy, scenario))
    assert all(turn.verdict != "error" for turn in turns), turns
    first = next(turn for turn in turns if turn.verdict == "adapt")
    assert first.time == 30
    assert "fluidity" in first.plan
'''

_MECHANISM = '''"""Mechanism $name: carries out commands, and shows what it looks after."""

from __future__ import annotations

import asyncio
from typing import Any

_state: dict[str, Any] = {"value": 0}
_queues: dict[str, asyncio.Queue[Any]] = {}


def initialize(inbound_queue: asyncio.Queue[Any], outbound_queue: asyncio.Queue[Any], agent_state: Any = None) -> None:
    """Take the queues: what is put on the second one wakes the agent's policies."""
    _queues["out"] = outbound_queue


async def apply(command: dict[str, Any]) -> bool:
    """Carry out a command; doing it twice is the same as once. Raise to say no. False: it is not finished yet."""
    value = command.get("value")
    if not isinstance(value, int):
        raise TypeError(f"value must be a whole number, not {value!r}")
    _state["value"] = value
    await _queues["out"].put({"event": "applied", "value": value})
    return True


def get_state() -> dict[str, Any]:
    """Return what policies see as mechanisms["$name"]["state"]."""
    return dict(_state)


def get_status() -> dict[str, Any]:
    """Return the mechanism's own health."""
    return {"healthy": True}


def get_options() -> dict[str, Any]:
    """Return what commands are possible."""
    return {"value": {"type": "integer"}}
'''

_MECHANISM_TEST = '''"""Tests of mechanism $name; run them with pytest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.plugins import load_mechanism_file

FILE = Path(__file__).parent / "mechanism-$name.py"


def test_a_command_takes_effect_and_is_told() -> None:
    async def run() -> None:
        heard: list[Any] = []
        name, mechanism, _ = load_mechanism_file(FILE, listener=heard.append)
        assert name == "$name"
        assert (await mechanism.apply({"value": 3})).ok
        assert mechanism.get_state() == {"value": 3}
        assert heard == [{"event": "applied", "value": 3}]
        with pytest.raises(TypeError):
            await mechanism.apply({"value": "three"})

    asyncio.run(run())
'''


def skeleton(kind: str, name: str) -> dict[str, str]:
    """Return the files of a new plug-in, by name.

    Args:
        kind: ``policy`` or ``mechanism``.
        name: Its name.

    Raises:
        InvalidInput: The name is none.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name for a plug-in", hint="letters, digits, - and _, beginning with a letter"
        )
    test = f"test_{kind}_{re.sub(r'[^A-Za-z0-9]', '_', name)}.py"
    texts = (
        {f"policy-{name}.py": _POLICY, f"scenario-{name}.yaml": _SCENARIO, test: _POLICY_TEST}
        if kind == "policy"
        else {f"mechanism-{name}.py": _MECHANISM, test: _MECHANISM_TEST}
    )
    return {file: Template(text).substitute(name=name) for file, text in texts.items()}
