"""A typed policy that somebody installed runs in a process of its own, and reaches its agent by asking."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from string import Template
from typing import Any

import pytest
from agent_fakes import FakeHandle
from mlsysops_agents.adapters.worker import WorkerLimits
from mlsysops_agents.extension import PolicyManager, TargetedInputs
from mlsysops_agents.loop.record import CycleRecord, Trigger, current_cycle
from mlsysops_core.contracts import PlacementOutcome, PolicyContext, Rejected
from mlsysops_core.errors import Conflict
from mlsysops_core.plugins import LoadedPolicy, PluginError

MODULE = Template("""
import asyncio, os, sys
from mlsysops_core.contracts import Rejected
from mlsysops_core.errors import Conflict, MlsError
$top

class Thrifty:
    tiers = frozenset({"cluster"})

    def __init__(self, handle):
        self.handle = handle

    def initialize(self):
        return {"scope": "application", "process": os.getpid(), "agent": self.handle.agent.name}

    async def analyze(self, context, application_description, system_description, mechanisms, telemetry, ml_connector):
        $analyze
        return True, context

    async def plan(self, context, application_description, system_description, mechanisms, telemetry, ml_connector):
        handle = self.handle
        outcome = handle.place("app")
        handle.explain(rejected=outcome.rejected, message=outcome.explain["web"], component="web")
        handle.notify("app", "once more")
        context["seen"] = [
            handle.objects.get("Node", "n1")["metadata"]["name"],
            handle.objects.get("Node", "none"),
            handle.telemetry.latest("load", service_name="web").value,
            handle.telemetry.latest("none"),
            handle.recheck("app")["web"].reason,
            handle.better("app"),
        ]
        try:
            await handle.objects.annotate("Node", "n1", {"a": "b"}, field_manager="thrifty")
        except Conflict as exc:
            context["seen"].append(f"Conflict: {exc.message}")
        await handle.objects.annotate("Node", "n1", {"a": "b"}, field_manager="thrifty")
        try:
            handle.telemetry.subscribe(print)
        except MlsError as exc:
            context["seen"].append("telemetry.metrics" in str(exc))
        return {"fluidity": {"to": outcome.assignments["web"]}}, context
""")
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with a policy, as pip would, where the agent and its workers find it."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH", "")))))

    def run(analyze: str = "pass", top: str = "") -> None:
        (place / "thrifty_policies.py").write_text(MODULE.substitute(analyze=analyze, top=top))
        described = place / "thrifty-1.2.dist-info"
        described.mkdir()
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: thrifty\nVersion: 1.2\n")
        (described / "entry_points.txt").write_text("[mlsysops.policies]\nthrifty = thrifty_policies:Thrifty\n")

    return run


Manage = Callable[..., Awaitable[tuple[PolicyManager, dict[str, LoadedPolicy]]]]


@pytest.fixture
async def manage(tmp_path: Path) -> AsyncIterator[Manage]:
    made: list[PolicyManager] = []

    async def run(handle: FakeHandle) -> tuple[PolicyManager, dict[str, LoadedPolicy]]:
        limits = WorkerLimits(grace=0.3, load_timeout=60.0)
        manager = PolicyManager(handle, (), tmp_path / "state", TargetedInputs(None), limits=limits)  # type: ignore[arg-type]
        made.append(manager)
        return manager, {policy.name: policy for policy in await manager.load()}

    yield run
    for manager in made:
        await manager.close()


async def call(policy: LoadedPolicy, stage: str, context: dict[str, Any]) -> Any:
    async with asyncio.timeout(60):
        return await getattr(policy.policy, stage)(context, [{"name": "app", "spec": {}}], {}, {}, {}, None)


async def test_it_runs_elsewhere_and_reaches_the_agent_through_its_handle(install: Install, manage: Manage) -> None:
    install()
    handle = FakeHandle()
    handle.objects.put({"kind": "Node", "metadata": {"name": "n1"}})
    handle.objects.fail = Conflict("changed meanwhile")
    handle.telemetry.values["load", "web"] = 3.5
    turned_down = Rejected("n2", "memory", "too small", "web")
    handle.placement = PlacementOutcome({"web": "n1"}, [turned_down], {"web": "1/2 nodes fit"}, {"web": {"n1": 1.0}})
    handle.unfit = {"web": turned_down}
    manager, policies = await manage(handle)
    policy = policies["thrifty"]
    assert policy.version == "1.2"
    assert policy.context["agent"] == "c1"
    assert policy.context["process"] != os.getpid()
    assert "thrifty_policies" not in sys.modules
    assert "staticPlacedComponents" in policies  # the built-in ones are beside it
    assert next(item["source"] for item in manager.statuses() if item["name"] == "thrifty") == "installed"

    record = CycleRecord("cluster", "c1", "application/app", "thrifty", "1.2", (Trigger("start"),), 0.0)
    handle.explain = lambda **told: current_cycle.get().explain(told["rejected"], told["message"], told["component"])  # type: ignore[method-assign,union-attr]
    token = current_cycle.set(record)
    commands, context = await call(policy, "plan", PolicyContext("application/app", policy.context))
    current_cycle.reset(token)
    assert commands == {"fluidity": {"to": "n1"}}
    assert context["seen"] == ["n1", None, 3.5, None, "too small", None, "Conflict: changed meanwhile", True]
    assert (record.rejected, record.message, record.component) == ([turned_down], "1/2 nodes fit", "web")
    assert handle.told == ["once more"]
    assert handle.objects.writes == [("annotate", "Node", "n1")]


async def test_one_for_another_tier_is_left_aside(install: Install, manage: Manage) -> None:
    install()
    _, policies = await manage(FakeHandle("continuum"))
    assert "thrifty" not in policies


@pytest.mark.parametrize(
    ("analyze", "says"),
    [("sys.exit(3)", "ended by itself with code 3"), ("raise ValueError('no')", "policy thrifty: ValueError: no")],
    ids=["exit", "raise"],
)
async def test_what_it_does_wrong_it_does_to_its_own_process(
    install: Install, manage: Manage, analyze: str, says: str
) -> None:
    install(f"if not context.get('calm'): {analyze}")
    _, policies = await manage(FakeHandle())
    with pytest.raises(PluginError, match=says):
        await call(policies["thrifty"], "analyze", PolicyContext("a", {}))
    needed, _ = await call(policies["thrifty"], "analyze", PolicyContext("a", {"calm": True}))
    assert needed


async def test_one_that_does_not_load_stops_the_agent_with_what_is_wrong(install: Install, manage: Manage) -> None:
    install(top="import no_such_package_at_all")
    with pytest.raises(PluginError, match=r"policy thrifty .*does not load: ModuleNotFoundError"):
        await manage(FakeHandle())
