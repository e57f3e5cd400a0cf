"""A world small enough to turn by hand: one clock, a few policies, mechanisms that write down what they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlsysops_agents.loop import Engine, EngineSettings, SqliteKnowledge, VirtualClock
from mlsysops_core.contracts import AgentIdentity, Outcome
from mlsysops_core.plugins import Declaration, LoadedPolicy


class World:
    """What policies are shown: next to nothing."""

    def application_description(self, asset: str) -> list[dict[str, Any]]:
        return [{"name": asset, "spec": {"components": []}}]

    def system_description(self, asset: str) -> dict[str, Any]:
        return {"MLSysOpsCluster": {"cluster_id": "c", "nodes": []}}

    def telemetry(self, policy: LoadedPolicy, asset: str) -> dict[str, Any]:
        return {}

    def ml_connector(self) -> Any:
        return None

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        return {"asset": asset}


@dataclass
class Recorder:
    """A mechanism that writes down its commands; ``fail`` is asked before each."""

    clock: VirtualClock
    seconds: float = 0.0
    applied: list[Mapping[str, Any]] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    fail: Callable[[int], Exception | None] = lambda _attempt: None
    objection: str = ""
    attempts: int = 0

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        self.attempts += 1
        error = self.fail(self.attempts)
        if error is not None:
            raise error
        for asset in self.assets(command):
            assert asset not in self.active, "two plans on one asset"
            self.active.add(asset)
        if self.seconds:
            await self.clock.sleep(self.seconds)
        self.active -= self.assets(command)
        self.applied.append(command)
        return Outcome(ok=True)

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(command["assets"])

    def check(self, command: Mapping[str, Any]) -> str:
        return self.objection

    def get_state(self) -> dict[str, Any]:
        return {}

    def get_status(self) -> dict[str, Any]:
        return {}

    def get_options(self) -> dict[str, Any]:
        return {}


Call = Callable[[dict[str, Any], str], Awaitable[Any]]


class Scripted:
    """A policy made of two functions of (context, asset)."""

    def __init__(self, analyze: Call, plan: Call, context: dict[str, Any] | None = None) -> None:
        self._analyze = analyze
        self._plan = plan
        self._context = context or {}

    def initialize(self) -> dict[str, Any]:
        return dict(self._context)

    async def analyze(self, context: dict[str, Any], apps: list[dict[str, Any]], *_: Any) -> Any:
        return await self._analyze(context, apps[0]["name"]), context

    async def plan(self, context: dict[str, Any], apps: list[dict[str, Any]], *_: Any) -> Any:
        return await self._plan(context, apps[0]["name"]), context


def always(value: Any) -> Call:
    async def call(_context: dict[str, Any], _asset: str) -> Any:
        return value

    return call


def policy(name: str, analyze: Call, plan: Call | None = None, **context: Any) -> LoadedPolicy:
    made = Scripted(analyze, plan or always({}), context)
    return LoadedPolicy(name, made, Declaration.from_context(context, plugin=name), context, "1", "test")  # type: ignore[arg-type]


@dataclass
class Bench:
    """Everything a test of the engine turns and looks at."""

    clock: VirtualClock
    knowledge: SqliteKnowledge
    mechanism: Recorder
    engine: Engine
    decisions: list[Mapping[str, Any]]

    def of(self, policy_name: str) -> list[Mapping[str, Any]]:
        return [item for item in self.decisions if item["policy"] == policy_name]


MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench() -> AsyncIterator[MakeBench]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            *policies: LoadedPolicy,
            settings: EngineSettings | None = None,
            knowledge: SqliteKnowledge | None = None,
        ) -> Bench:
            clock = VirtualClock()
            store = knowledge or SqliteKnowledge(":memory:")
            recorder = Recorder(clock)
            decisions: list[Mapping[str, Any]] = []
            engine = Engine(
                AgentIdentity("cluster", "c"),
                clock=clock,
                knowledge=store,
                inputs=World(),
                policies=policies,
                mechanisms={"recorder": recorder},
                settings=settings,
                on_decision=decisions.append,
            )
            task = asyncio.create_task(engine.run())

            async def stop() -> None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            stack.push_async_callback(stop)
            await clock.settle()
            return Bench(clock, store, recorder, engine, decisions)

        yield make
