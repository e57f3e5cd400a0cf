"""Policies that are sent: one that takes long to load holds nobody up, and comes into force when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from agent_fakes import FakeHandle
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.extension import PolicyManager, TargetedInputs, policies
from mlsysops_core.model.agents import FOR_AGENTS, Revision, SentToAgents, digest_of, object_name

TEXT = """
def initialize():
    return {{"scope": "node", "packages": {packages}}}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {{}}, context
"""


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

    def send(self, name: str, text: str, *, kind: ChangeKind = ChangeKind.ADDED) -> None:
        sent = SentToAgents(
            kind="policy", name=name, target="node", revisions=[Revision(revision=1, digest=digest_of(text))]
        )
        sent.texts = {1: text}
        key = object_name("policy", name, "node")
        metadata = {"name": key, "labels": {FOR_AGENTS: "policy"}}
        self.manager.on_config_map(Change(kind, key, {"metadata": metadata, "data": sent.to_data()}, None))

    def state(self, name: str) -> str:
        return next((str(item["state"]) for item in self.manager.statuses() if item["name"] == name), "")


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setattr(policies, "_PATIENCE_SECONDS", 0.05)
    made = Agent(tmp_path)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of other processes
            await asyncio.sleep(0.01)


async def test_one_that_takes_long_holds_nobody_up(agent: Agent) -> None:
    agent.send("slow", TEXT.format(packages=["x"]))
    await until(lambda: agent.state("slow") == "Pending")
    agent.send("quick", TEXT.format(packages=[]))
    await until(lambda: "quick" in agent.engine.policies)
    assert agent.state("slow") == "Pending"
    assert "slow" not in agent.engine.policies
    agent.packages.installed.set()
    await until(lambda: agent.state("slow") == "Running")
    assert set(agent.engine.policies) == {"slow", "quick"}


async def test_one_that_was_taken_back_meanwhile_never_runs(agent: Agent) -> None:
    text = TEXT.format(packages=["x"])
    agent.send("slow", text)
    await until(lambda: agent.state("slow") == "Pending")
    agent.send("slow", text, kind=ChangeKind.DELETED)
    await until(lambda: agent.state("slow") == "")
    agent.packages.installed.set()
    agent.send("quick", TEXT.format(packages=[]))
    await until(lambda: "quick" in agent.engine.policies and not agent.manager._late)
    assert set(agent.engine.policies) == {"quick"}
