"""Policies that are sent: one that takes long to load holds nobody up, and comes into force when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import FakeHandle
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.extension import PolicyManager, TargetedInputs, sent
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model.agents import FOR_AGENTS, Revision, SentToAgents, digest_of, object_name

TEXT = """
def initialize():
    return {{"scope": "node", "packages": {packages}, **{more}}}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {{}}, context
"""


def text(packages: Sequence[str] = (), more: str = "{}") -> str:
    return TEXT.format(packages=list(packages), more=more)


class SlowPackages:
    """Packages that are installed when the test says so."""

    def __init__(self) -> None:
        self.installed = asyncio.Event()

    async def prepare(self, kind: str, name: str, packages: Sequence[str]) -> Path | None:
        if packages:
            await self.installed.wait()
        return None


class FakeEngine:
    """The part of an engine that is told of policies."""

    def __init__(self) -> None:
        self.policies: dict[str, Any] = {}
        self.assets: frozenset[str] = frozenset()

    def set_policy(self, policy: Any) -> None:
        self.policies[policy.name] = policy

    def remove_policy(self, name: str, *, handed_over: str = "") -> None:
        del self.policies[name]


class Agent:
    """A manager that runs, and what it tells."""

    def __init__(self, directory: Path) -> None:
        self.packages = SlowPackages()
        self.engine = FakeEngine()
        self.manager = PolicyManager(
            FakeHandle("node"),
            (),
            directory,
            TargetedInputs(None),  # type: ignore[arg-type]  # nothing is analysed here
            packages=self.packages,  # type: ignore[arg-type]
        )
        self.task = asyncio.create_task(self.manager.run(self.engine))  # type: ignore[arg-type]

    def send(self, name: str, source: str, *, kind: ChangeKind = ChangeKind.ADDED) -> None:
        envelope = SentToAgents(
            kind="policy", name=name, target="node", revisions=[Revision(revision=1, digest=digest_of(source))]
        )
        envelope.texts = {1: source}
        key = object_name("policy", name, "node")
        metadata = {"name": key, "labels": {FOR_AGENTS: "policy"}}
        self.manager.on_config_map(Change(kind, key, {"metadata": metadata, "data": envelope.to_data()}, None))

    def message(self, name: str) -> str:
        return next((str(item["message"]) for item in self.manager.statuses() if item["name"] == name), "")

    def state(self, name: str) -> str:
        return next((str(item["state"]) for item in self.manager.statuses() if item["name"] == name), "")


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setattr(sent, "_PATIENCE_SECONDS", 0.05)
    made = Agent(tmp_path)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of other processes
            await asyncio.sleep(0.01)


async def test_one_that_takes_long_holds_nobody_up(agent: Agent) -> None:
    agent.send("slow", text(packages=["x"]))
    await until(lambda: agent.state("slow") == "Pending")
    agent.send("quick", text())
    await until(lambda: "quick" in agent.engine.policies)
    assert agent.state("slow") == "Pending"
    assert "slow" not in agent.engine.policies
    agent.packages.installed.set()
    await until(lambda: agent.state("slow") == "Running")
    assert set(agent.engine.policies) == {"slow", "quick"}


async def test_one_that_was_taken_back_meanwhile_never_runs(agent: Agent) -> None:
    source = text(packages=["x"])
    agent.send("slow", source)
    await until(lambda: agent.state("slow") == "Pending")
    agent.send("slow", source, kind=ChangeKind.DELETED)
    await until(lambda: agent.state("slow") == "")
    agent.packages.installed.set()
    agent.send("quick", text())
    await until(lambda: "quick" in agent.engine.policies and not agent.manager._sent.loading)
    assert set(agent.engine.policies) == {"quick"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('{"scope": ["application"]}', "scope ['application'] is unknown"),
        ('{"priority": 10**400}', "is no number"),
        ('{"configuration": {"analyze_interval": 10**400}}', "is no duration"),
        ('{"x": __import__("sys").exit(3)}', "its process ended by itself with code 3"),
    ],
    ids=["scope", "priority", "interval", "exit"],
)
async def test_a_text_that_declares_nonsense_is_told_and_costs_nobody_else(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, more: str, says: str
) -> None:
    monkeypatch.setattr(sent, "_PATIENCE_SECONDS", 20.0)
    agent.send("bad", text(more=more))
    agent.send("good", text())
    await until(lambda: agent.task.done() or agent.state("bad") == "Failed")
    assert says in agent.message("bad")
    await until(lambda: agent.task.done() or "good" in agent.engine.policies)
    assert not agent.task.done()


async def test_a_process_that_could_not_be_started_is_tried_again(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sent, "_FIRST_RETRY_SECONDS", 0.05)
    (tmp_path / "workers").write_text("where the directory should be")
    agent.send("late", text())
    await until(lambda: agent.task.done() or agent.state("late") == "Failed")
    assert "its process cannot be started" in agent.message("late")
    (tmp_path / "workers").unlink()
    await until(lambda: agent.task.done() or agent.state("late") == "Running")
    assert not agent.task.done()


def test_a_name_that_leads_elsewhere_is_none() -> None:
    made = SentToAgents(
        kind="policy", name="../../etc/x", target="all", revisions=[Revision(revision=1, digest=digest_of("x"))]
    )
    made.texts = {1: "x"}
    with pytest.raises(InvalidInput, match="is no name"):
        SentToAgents.from_data(made.to_data())
