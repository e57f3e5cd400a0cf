"""The agents' loop: from a sample to the mechanism, what idle analyses cost, whether memory stays where it is."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from figure import Figure
from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey, TelemetryStore
from mlsysops_agents.cluster.handle import ClusterHandle
from mlsysops_agents.cluster.world import ClusterWorld
from mlsysops_agents.extension import Concerns
from mlsysops_agents.loop import Engine, EngineSettings, SchedulerSettings, SqliteKnowledge, SystemClock
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_core.contracts import AgentIdentity, Outcome, Scope
from mlsysops_core.plugins import Declaration, LoadedPolicy, load_policies

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "agents" / "support"))

from agent_fakes import FakeObjects

APPLICATIONS = 200
TRIGGERS = 400
ANALYSES = 10_000
IDLE_SECONDS = 10.0
SAMPLES = 1_000_000
AGENT = AgentIdentity("cluster", "c1")


class Noted:
    """A mechanism that notes when it was called; the real one's state is shown beside it."""

    def __init__(self) -> None:
        self.called: dict[str, float] = {}
        self.event = asyncio.Event()

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        self.called[str(command["asset"])] = time.perf_counter()
        self.event.set()
        return Outcome(ok=True)

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({str(command["asset"])})

    def check(self, _command: Mapping[str, Any]) -> str:
        return ""

    def get_state(self) -> dict[str, Any]:
        return {}

    get_status = get_options = get_state


class Acting:
    """Wants its mechanism called whenever its metric has a new value."""

    def initialize(self) -> dict[str, Any]:
        return {"telemetry": {"metrics": ["rate"]}, "mechanisms": ["noted"], "core": True}

    async def analyze(
        self, context: dict[str, Any], apps: list[dict[str, Any]], *_: Any
    ) -> tuple[bool, dict[str, Any]]:
        return context.get("ready", False) or bool(apps), context

    async def plan(
        self, context: dict[str, Any], apps: list[dict[str, Any]], *_: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"noted": {"asset": apps[0]["name"]}}, context


class Idle(Acting):
    """Waits for a metric that never comes."""

    async def analyze(
        self, context: dict[str, Any], apps: list[dict[str, Any]], *_: Any
    ) -> tuple[bool, dict[str, Any]]:
        return False, context


def loaded(name: str, policy: Any) -> LoadedPolicy:
    context = policy.initialize()
    return LoadedPolicy(name, policy, Declaration.from_context(context, plugin=name), context, "1", "bench")


def world(
    clock: SystemClock, now: Callable[[], float] | None = None
) -> tuple[FakeObjects, TelemetryStore, ClusterWorld, ClusterHandle]:
    """A cluster of ten nodes and 200 applications of two placed components each.

    Args:
        clock: The engine's time.
        now: The store's time, where samples are not stamped with the engine's.
    """
    objects, telemetry = FakeObjects(), TelemetryStore(now=now or clock.time, max_series=4 * APPLICATIONS)
    group = "mlsysops.eu/v1"
    for index in range(10):
        name = f"n{index}"
        spec = {"name": name, "continuum_layer": "edge", "environment": {}, "hardware": {}}
        objects.put({"apiVersion": group, "kind": "MLSysOpsNode", "metadata": {"name": name}, "spec": spec})
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        objects.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": ready})
    for index in range(APPLICATIONS):
        name = f"app{index}"
        metric = {"application_metric_id": "rate", "target": 10, "relation": "greater_or_equal"}
        components = [
            {"metadata": {"name": f"{name}-{part}"}, "containers": [{"image": "x"}], "qos_metrics": [metric]}
            for part in ("web", "db")
        ]
        assigned = json.dumps({item["metadata"]["name"]: "c1" for item in components})
        metadata = {"name": name, "annotations": {"mlsysops.eu/component-clusters": assigned}}
        spec = {"name": name, "components": components}
        objects.put({"apiVersion": group, "kind": "MLSysOpsApp", "metadata": metadata, "spec": spec})
    cluster = ClusterWorld(AGENT, objects, telemetry)
    return objects, telemetry, cluster, ClusterHandle(AGENT, clock, objects, telemetry, cluster)


def concerns(cluster: ClusterWorld) -> Concerns:
    """The agents' own mapping from a sample to assets, told of every application."""
    known = Concerns((f"cluster/{AGENT.name}", f"system/{AGENT.name}"), cluster.on_node)
    for index in range(APPLICATIONS):
        known.note(f"app{index}", components_of(index))
    return known


def components_of(index: int) -> list[str]:
    """The components of an application."""
    return [f"app{index}-{part}" for part in ("web", "db")]


async def place_all(fluidity: Fluidity) -> None:
    for index in range(APPLICATIONS):
        name = f"app{index}"
        plan = {f"{name}-{part}": [{"action": "deploy", "host": f"n{index % 10}"}] for part in ("web", "db")}
        await fluidity.apply({"name": name, "deployment_plan": plan})


async def latencies() -> list[float]:
    """Seconds from a sample's arrival to the mechanism's call, the built-in policies running beside."""
    clock = SystemClock()
    _, telemetry, cluster, handle = world(clock)
    fluidity, noted = Fluidity(handle), Noted()
    await place_all(fluidity)
    engine = Engine(
        AGENT,
        clock=clock,
        knowledge=SqliteKnowledge(":memory:"),
        inputs=cluster,
        policies=[*load_policies(handle), loaded("acting", Acting())],
        mechanisms={"fluidity": fluidity, "noted": noted},
        settings=EngineSettings(debounce=0.0, scheduler=SchedulerSettings(cool_down=0.0)),
    )
    known = concerns(cluster)
    telemetry.subscribe(lambda samples: engine.observe(samples, known.assets))
    running = asyncio.create_task(engine.run())
    for index in range(APPLICATIONS):
        engine.add_asset(f"application/app{index}", Scope.APPLICATION)
    async with asyncio.timeout(120):
        while len(noted.called) < APPLICATIONS:  # noqa: ASYNC110 - the mechanism is not to do more than note
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    found = []
    chance = random.Random(1)
    for number in range(TRIGGERS):
        name = f"app{chance.randrange(APPLICATIONS)}"
        noted.event.clear()
        key = SeriesKey("rate", (("service.name", f"{name}-web"),), ())
        start = time.perf_counter()
        telemetry.ingest([Point(key, float(number), clock.time(), Kind.GAUGE)])
        async with asyncio.timeout(10):
            await noted.event.wait()
        found.append(noted.called[name] - start)
        await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found


async def idle_share() -> float:
    """Share of a core that 10,000 registered analyses cost while nothing happens."""
    clock = SystemClock()
    _, _, cluster, _ = world(clock)
    engine = Engine(
        AGENT,
        clock=clock,
        knowledge=SqliteKnowledge(":memory:"),
        inputs=cluster,
        policies=[loaded("idle", Idle())],
        mechanisms={"noted": Noted()},
    )
    running = asyncio.create_task(engine.run())
    for index in range(ANALYSES):
        engine.add_asset(f"application/idle{index}", Scope.APPLICATION)
    async with asyncio.timeout(300):
        while any(item.runs == 0 for item in engine._analyses.values()):  # noqa: ASYNC110 - looked at from outside
            await asyncio.sleep(0.5)
    before, start = time.process_time(), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    share = (time.process_time() - before) / (time.perf_counter() - start)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return share


async def growth() -> float:
    """Growth of the resident memory over a million samples of 400 series, with the analyses that they cause."""
    clock = SystemClock()
    at = clock.time()
    # A second of the samples' time passes with every batch, so the store is told that time, too.
    _, telemetry, cluster, _ = world(clock, now=lambda: at)
    noted = Noted()
    engine = Engine(
        AGENT,
        clock=clock,
        knowledge=SqliteKnowledge(":memory:", keep=1000),
        inputs=cluster,
        policies=[loaded("acting", Acting())],
        mechanisms={"noted": noted},
    )
    running = asyncio.create_task(engine.run())
    known = concerns(cluster)
    telemetry.subscribe(lambda samples: engine.observe(samples, known.assets))
    for index in range(APPLICATIONS):
        engine.add_asset(f"application/app{index}", Scope.APPLICATION)
    names = [name for index in range(APPLICATIONS) for name in components_of(index)]
    keys = [SeriesKey("rate", (("service.name", name),), ()) for name in names]
    process, batch = psutil.Process(), len(keys)

    async def feed(count: int) -> None:
        nonlocal at
        for _ in range(count // batch):
            at += 1.0
            taken = telemetry.ingest([Point(key, at % 97, at, Kind.GAUGE) for key in keys])
            if taken.accepted != batch:  # samples that the store does not take measure nothing
                raise RuntimeError(f"{batch - taken.accepted} of {batch} samples were not accepted: {taken}")
            await asyncio.sleep(0)

    # Windows fill up to their bound first: what is measured is what goes on growing after that.
    await feed(200_000)
    await asyncio.sleep(1)
    gc.collect()
    before = process.memory_info().rss
    await feed(SAMPLES)
    await asyncio.sleep(1)
    gc.collect()
    after = process.memory_info().rss
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return after / before - 1.0


def figures() -> Iterator[Figure]:
    """Measure all three."""
    seconds = sorted(asyncio.run(latencies()))
    note = f"{APPLICATIONS} applications, {len(seconds)} samples"
    yield Figure("runtime_trigger_p50_ms", statistics.median(seconds) * 1000, "ms", 5.0, note=note)
    yield Figure("runtime_trigger_p99_ms", seconds[int(len(seconds) * 0.99)] * 1000, "ms", 25.0, note=note)
    share = asyncio.run(idle_share())
    yield Figure("runtime_idle_core_percent", share * 100, "%", 3.0, note=f"{ANALYSES} analyses registered")
    yield Figure("runtime_rss_growth_percent", asyncio.run(growth()) * 100, "%", 10.0, note=f"{SAMPLES} samples")
