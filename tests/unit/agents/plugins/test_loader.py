"""Loading plug-ins: what is accepted, what is refused and how it is told."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import FakeHandle
from mlsysops_core.contracts import Scope
from mlsysops_core.plugins import (
    Declaration,
    PluginError,
    load_mechanism_file,
    load_mechanisms,
    load_policies,
    load_policy_file,
    parse_interval,
)

GOOD = """
from mlsysops.logger_util import logger
from mlsysops.utilities import evaluate_condition, parse_analyze_interval

def initialize():
    return {
        "telemetry": {"metrics": ["node_load1"], "system_scrape_interval": "1s"},
        "mechanisms": ["fluidity"],
        "packages": [],
        "configuration": {"analyze_interval": "5s"},
        "scope": "application",
        "core": False,
    }

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    logger.info("analyzing %s", application_description)
    logger.test("|1|")
    return evaluate_condition(1, 2, "lower_than") and parse_analyze_interval("1m") == 60, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {}, context
"""


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


async def test_a_policy_written_for_the_framework_runs_unmodified(tmp_path: Path) -> None:
    name, policy, digest = load_policy_file(write(tmp_path, "policy-mine.py", GOOD))
    assert (name, len(digest)) == ("mine", 64)
    verdict, context = await policy.analyze({"kept": 1}, [{"name": "a", "spec": {}}], {}, {}, {}, None)
    assert verdict is True
    assert context == {"kept": 1}
    assert sys.modules["mlsysops.logger_util"].__spec__ is None  # a stand-in, nothing that is installed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:", "does not load: SyntaxError"),
        ("import no_such_package_at_all", "does not load: ModuleNotFoundError"),
        ("raise ValueError('at import')", "does not load: ValueError: at import"),
        (GOOD.replace("async def plan", "async def plam"), "function plan() is missing"),
        (GOOD.replace("async def analyze", "def analyze"), "analyze() must be 'async def'"),
        (GOOD.replace(", ml_connector):", "):"), "analyze() must take (context, application_description,"),
    ],
)
def test_what_is_wrong_with_a_module_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        load_policy_file(write(tmp_path, "policy-bad.py", text))
    assert "policy bad" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ("None", "initialize() must return a dict, not NoneType"),
        ("{'scope': 'galaxy'}", "scope 'galaxy' is unknown (one of application, node,"),
        ("{'telemetry': []}", ""),
        ("{'telemetry': [1]}", "context 'telemetry' must be a dict"),
        ("{'mechanisms': 'fluidity'}", "context 'mechanisms' must be a list of names"),
        ("{'configuration': {'analyze_interval': 'often'}}", "'often' is no duration"),
        ("1 / 0", "initialize() failed: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_context_is_named(tmp_path: Path, context: str, says: str) -> None:
    body = GOOD[GOOD.index("async def analyze") :]
    write(tmp_path, "policy-bad.py", f"def initialize():\n    return {context}\n\n{body}")
    if not says:
        assert any(policy.name == "bad" for policy in load_policies(FakeHandle(), [tmp_path], entries=[]))
        return
    with pytest.raises(PluginError) as caught:
        load_policies(FakeHandle(), [tmp_path], entries=[])
    assert says in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "policy-one.py", "x = ")
    write(tmp_path, "policy-two.py", "y = ")
    entries = [EntryPoint("three", "no.such.module:Policy", "mlsysops.policies")]
    with pytest.raises(PluginError) as caught:
        load_policies(FakeHandle(), [tmp_path, tmp_path / "absent"], entries=entries)
    for name in ("policy one", "policy two", "policy three", "absent does not exist"):
        assert name in str(caught.value)


def test_built_ins_are_found_by_entry_point_and_run_in_their_tier() -> None:
    cluster, continuum, node = (FakeHandle(tier) for tier in ("cluster", "continuum", "node"))
    assert {policy.name for policy in load_policies(cluster)} == {
        "staticPlacedComponents",
        "dynamicPlacedComponents",
        "relocateComponents",
        "componentRequests",
    }
    assert [policy.name for policy in load_policies(continuum)] == ["clusterPlacement"]
    assert load_policies(node) == []
    assert [mechanism.name for mechanism in load_mechanisms(cluster)] == ["fluidity"]
    assert [mechanism.name for mechanism in load_mechanisms(continuum)] == ["clusterPlacement"]
    assert all(policy.declaration.core for policy in load_policies(cluster))


def test_a_file_replaces_a_built_in_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "policy-relocateComponents.py", GOOD)
    found = {policy.name: policy for policy in load_policies(FakeHandle(), [tmp_path])}
    assert found["relocateComponents"].source == str(path)
    assert found["relocateComponents"].version.startswith("sha256:")


def test_a_policy_for_another_node_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "policy-there.py", GOOD.replace('"core": False', '"node_name": "elsewhere"'))
    assert load_policies(FakeHandle(), [tmp_path], entries=[]) == []


MECHANISM = """
state = {"done": []}
queues = {}

def initialize(inbound_queue=None, outbound_queue=None, agent_state=None):
    queues["out"] = outbound_queue
    state["agent"] = agent_state

async def apply(plan):
    state["done"].append(plan)
    await queues["out"].put({"event": "applied"})
    return plan.get("ok", True)

def get_state():
    return state

def get_options():
    return {"modes": [1, 2]}
"""


async def test_a_module_mechanism_acts_and_reports(tmp_path: Path) -> None:
    heard: list[Any] = []
    path = write(tmp_path, "mechanism-knob.py", MECHANISM)
    name, mechanism, _ = load_mechanism_file(path, agent_state={"x": 1}, listener=heard.append)
    assert name == "knob"
    assert (await mechanism.apply({"mode": 1})).ok
    # As in the MLSysOps framework: it goes on by itself.
    assert (await mechanism.apply({"ok": False})).message == "begun, not finished yet"
    assert heard == [{"event": "applied"}] * 2
    assert mechanism.get_state()["agent"] == {"x": 1}
    assert mechanism.get_options() == {"modes": [1, 2]}
    assert mechanism.get_status() == {}
    assert mechanism.assets({}) == {"mechanism/knob"}


def test_a_directory_of_the_framework_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mechanisms").mkdir()
    (tmp_path / "policies").mkdir()
    write(tmp_path / "mechanisms", "CpuKnob.py", MECHANISM)
    write(tmp_path / "mechanisms", "__init__.py", "")
    write(tmp_path / "policies", "policy-mine.py", GOOD)
    assert [item.name for item in load_mechanisms(FakeHandle(), [tmp_path], entries=[])] == ["CpuKnob"]
    assert [item.name for item in load_policies(FakeHandle(), [tmp_path], entries=[])] == ["mine"]


def test_the_framework_s_own_mechanisms_give_way_to_those_that_are_built_in(tmp_path: Path) -> None:
    (tmp_path / "mechanisms").mkdir()
    write(tmp_path / "mechanisms", "fluidity.py", "import fluidity.controller  # of the framework, not here")
    write(tmp_path / "mechanisms", "Mine.py", MECHANISM)
    found = {item.name: item.source for item in load_mechanisms(FakeHandle("cluster"), [tmp_path])}
    assert found["fluidity"].startswith("mlsysops_agents.")
    assert found["Mine"].endswith("Mine.py")
    # By its full name, a file is meant to take the place of a built-in one.
    write(tmp_path, "mechanism-fluidity.py", MECHANISM)
    found = {item.name: item.source for item in load_mechanisms(FakeHandle("cluster"), [tmp_path])}
    assert found["fluidity"].endswith("mechanism-fluidity.py")


def test_what_the_framework_s_plug_ins_import_is_there(tmp_path: Path) -> None:
    text = """
from mlsysops import MessageEvents
from mlsysops.events import MessageEvents as Events
from mlstelemetry import MLSTelemetry

client = MLSTelemetry("shop", "policy")
client.pushMetric("seen", "counter", 1)
assert Events.PLAN_SUBMITTED.value == MessageEvents.PLAN_SUBMITTED.value == "plan_submitted"
"""
    path = write(tmp_path, "policy-mine.py", text + GOOD)
    assert load_policies(FakeHandle(), [tmp_path], entries=[])[0].source == str(path)


def test_a_mechanism_without_its_functions_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "mechanism-knob.py", MECHANISM.replace("def get_options", "def get_opinions"))
    with pytest.raises(PluginError, match=r"mechanism knob .*function get_options\(\) is missing"):
        load_mechanisms(FakeHandle(), [tmp_path], entries=[])


def test_intervals() -> None:
    assert [parse_interval(text) for text in ("250ms", "5s", "1.5m", "2h", "1d", 7, "9")] == [
        0.25,
        5,
        90,
        7200,
        86400,
        7,
        9,
    ]
    for wrong in ("", "5 weeks", "-1s", True, None, float("nan")):
        with pytest.raises(PluginError):
            parse_interval(wrong)


def test_a_declaration_has_defaults() -> None:
    declared = Declaration.from_context({}, plugin="p")
    assert declared == Declaration()
    assert declared.scope is Scope.APPLICATION
    assert Declaration.from_context({"scope": "global"}, plugin="p").scope is Scope.SYSTEM
