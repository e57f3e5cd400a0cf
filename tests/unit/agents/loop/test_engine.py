"""The engine under virtual time: triggers, debounce, isolation, intervals, contexts."""

from __future__ import annotations

import asyncio
from typing import Any

from mlsysops_agents.loop import Engine, SqliteKnowledge, Trigger, VirtualClock
from mlsysops_core.contracts import AgentIdentity, Sample, Scope

from .conftest import MakeBench, World, always, policy


class Counter:
    """An analysis that counts its runs by asset."""

    def __init__(self, verdict: bool = False) -> None:
        self.runs: list[str] = []
        self.verdict = verdict

    async def __call__(self, _context: dict[str, Any], asset: str) -> bool:
        self.runs.append(asset)
        return self.verdict


async def test_only_the_assets_that_depend_on_a_trigger_are_analysed(bench: MakeBench) -> None:
    load, other = Counter(), Counter()
    world = await bench(policy("load", load, telemetry={"metrics": ["node_load1"]}), policy("other", other))
    world.engine.add_asset("a", Scope.APPLICATION)
    world.engine.add_asset("b", Scope.APPLICATION)
    world.engine.add_asset("n", Scope.NODE)
    await world.clock.advance(1)
    assert (sorted(load.runs), sorted(other.runs)) == (["a", "b"], ["a", "b"])

    world.engine.notify("b", Trigger("change", "deployment"))
    await world.clock.advance(1)
    assert (sorted(load.runs), sorted(other.runs)) == (["a", "b", "b"], ["a", "b", "b"])

    world.engine.observe([Sample("node_load1", 3.0, 0.0), Sample("unheard_of", 1.0, 0.0)], lambda _sample: ["a"])
    await world.clock.advance(1)
    assert load.runs.count("a") == 2
    assert other.runs.count("a") == 1


async def test_a_burst_is_one_run_at_once_and_one_after_the_debounce(bench: MakeBench) -> None:
    counter = Counter()
    world = await bench(policy("p", counter))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(10)
    for _ in range(500):
        world.engine.notify("a", Trigger("change", "x"))
    await world.clock.settle()
    assert len(counter.runs) == 2  # the first, and this one without any wait
    for number in range(500):
        world.engine.notify("a", Trigger("change", str(number)))
        await world.clock.settle()
    assert len(counter.runs) == 2
    await world.clock.advance(0.1)
    assert len(counter.runs) == 3
    await world.clock.advance(60)
    assert len(counter.runs) == 3


async def test_a_trigger_during_a_run_is_not_lost(bench: MakeBench) -> None:
    gate = asyncio.Event()
    runs: list[int] = []

    async def analyze(_context: dict[str, Any], _asset: str) -> bool:
        runs.append(1)
        await gate.wait()
        return False

    world = await bench(policy("p", analyze))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    world.engine.notify("a", Trigger("change", "while running"))
    await world.clock.advance(1)
    assert len(runs) == 1
    gate.set()
    await world.clock.advance(1)
    assert len(runs) == 2


async def test_the_interval_is_a_ceiling_and_policies_may_change_it(bench: MakeBench) -> None:
    times: list[float] = []

    async def analyze(context: dict[str, Any], _asset: str) -> bool:
        times.append(round(world.clock.monotonic()))
        if len(times) == 3:
            context["configuration"]["analyze_interval"] = "60s"
        return False

    world = await bench(policy("p", analyze, configuration={"analyze_interval": "5s"}))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(8)
    world.engine.notify("a", Trigger("change"))  # at 8: the next timer is at 13, not at 10
    await world.clock.advance(90)
    assert times == [0, 5, 8, 68]


async def test_an_interval_of_zero_means_once(bench: MakeBench) -> None:
    counter = Counter()
    world = await bench(policy("p", counter, configuration={"analyze_interval": "0s"}))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(3600)
    assert counter.runs == ["a"]


async def test_a_failing_policy_trips_its_breaker_and_hurts_nobody_else(bench: MakeBench) -> None:
    good = Counter()

    async def bad(_context: dict[str, Any], _asset: str) -> bool:
        raise ZeroDivisionError("no")

    async def hang(_context: dict[str, Any], _asset: str) -> bool:
        await asyncio.Event().wait()
        return True

    async def nonsense(_context: dict[str, Any], _asset: str) -> Any:
        return 42

    world = await bench(
        policy("bad", bad),
        policy("hang", hang),
        policy("nonsense", always(True), nonsense),
        policy("good", good),
    )
    seen: list[Any] = []
    world.engine.on_conditions = seen.append
    world.engine.add_asset("a", Scope.APPLICATION)
    for _ in range(10):
        world.engine.notify("a", Trigger("change"))
        await world.clock.advance(10)
    assert len(good.runs) >= 10
    tripped = {item["policy"]: item["message"] for item in world.engine.conditions()}
    assert set(tripped) == {"bad", "hang", "nonsense"}
    assert "ZeroDivisionError: no" in tripped["bad"]
    assert "TimeoutError" in tripped["hang"]
    assert "must return a dict" in tripped["nonsense"]
    assert seen[-1] == world.engine.conditions()
    assert {item["verdict"] for item in world.of("bad")} == {"error"}
    runs = len(world.of("bad"))
    assert runs < 10  # open: nothing is tried for a while


async def test_a_breaker_closes_after_a_success(bench: MakeBench) -> None:
    broken = [True]

    async def analyze(_context: dict[str, Any], _asset: str) -> bool:
        if broken[0]:
            raise ValueError("broken")
        return False

    world = await bench(policy("p", analyze))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(20)
    assert world.engine.conditions()
    broken[0] = False
    await world.clock.advance(60)  # tried again by itself, without a trigger
    assert world.engine.conditions() == []


async def test_contexts_are_apart_and_survive_a_restart(bench: MakeBench) -> None:
    async def analyze(context: dict[str, Any], asset: str) -> bool:
        context["seen"] = [*context.get("seen", []), asset]
        return False

    knowledge = SqliteKnowledge(":memory:")
    first = await bench(policy("p", analyze), knowledge=knowledge)
    first.engine.add_asset("a", Scope.APPLICATION)
    first.engine.add_asset("b", Scope.APPLICATION)
    await first.clock.advance(1)
    assert knowledge.load_context("p@1", "a") == {"seen": ["a"]}

    second = await bench(policy("p", analyze), knowledge=knowledge)
    second.engine.add_asset("a", Scope.APPLICATION)
    await second.clock.advance(1)
    assert knowledge.load_context("p@1", "a") == {"seen": ["a", "a"]}
    second.engine.remove_asset("a")
    assert knowledge.load_context("p@1", "a") is None
    assert knowledge.load_context("p@1", "b") == {"seen": ["b"]}


async def test_repeated_nothing_to_do_is_recorded_once(bench: MakeBench) -> None:
    world = await bench(policy("p", always(False), configuration={"analyze_interval": "1s"}))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(100)
    assert [item["verdict"] for item in world.decisions] == ["no-change"]


async def test_a_decision_says_what_happened(bench: MakeBench) -> None:
    command = {"assets": ["a/x"], "do": 1}
    world = await bench(policy("p", always(True), always({"recorder": command})))
    world.mechanism.seconds = 2
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(5)
    (decision,) = [item for item in world.decisions if item["outcome"] == "executed"][:1]
    assert decision["trigger"] == "start"
    assert decision["plan"] == {"recorder": command}
    assert decision["inputs"] == {"asset": "a"}
    assert decision["durationMs"]["execute"] == 2000
    assert world.knowledge.decisions("a")[-1]["id"] == decision["id"]
    assert world.mechanism.applied[0] == command


async def test_removing_an_asset_ends_its_analyses(bench: MakeBench) -> None:
    counter = Counter()
    world = await bench(policy("p", counter, configuration={"analyze_interval": "1s"}))
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(3)
    world.engine.remove_asset("a")
    runs = len(counter.runs)
    world.engine.notify("a", Trigger("change"))
    await world.clock.advance(30)
    assert len(counter.runs) == runs
    assert world.engine.assets == frozenset()


async def test_ten_thousand_idle_analyses_do_nothing(bench: MakeBench) -> None:
    counter = Counter()
    world = await bench(policy("p", counter))
    for number in range(10_000):
        world.engine.add_asset(str(number), Scope.APPLICATION)
    for _ in range(10_000):
        if len(counter.runs) == 10_000:
            break
        await world.clock.settle()
    assert len(counter.runs) == 10_000
    await world.clock.advance(86_400)
    assert len(counter.runs) == 10_000


class Named(str):
    """The name of an asset that counts how often it is looked up."""

    looks = 0

    def __hash__(self) -> int:
        Named.looks += 1
        return super().__hash__()


async def test_a_sample_costs_as_much_as_the_assets_it_is_about(bench: MakeBench) -> None:
    counter = Counter()
    world = await bench(policy("load", counter, telemetry={"metrics": ["load"]}))
    for number in range(500):
        world.engine.add_asset(Named(f"a{number}"), Scope.APPLICATION)
    for _ in range(500):
        await world.clock.settle()
    await world.clock.advance(1)
    assert len(counter.runs) == 500
    Named.looks = 0
    world.engine.observe([Sample("load", 1.0, 0.0)] * 100, lambda _sample: ["a7"])
    assert Named.looks < 500
    await world.clock.advance(1)
    assert counter.runs[500:] == ["a7"]


async def test_an_engine_that_ends_begins_nothing_more() -> None:
    turns: list[str] = []

    async def analyze(_context: dict[str, Any], asset: str) -> bool:
        turns.append(asset)
        await asyncio.Event().wait()
        return False

    clock = VirtualClock()
    engine = Engine(
        AgentIdentity("cluster", "c"),
        clock=clock,
        knowledge=SqliteKnowledge(":memory:"),
        inputs=World(),
        policies=[policy("p", analyze)],
        mechanisms={},
    )
    running = asyncio.create_task(engine.run())
    for number in range(10):  # of which some wait for a slot, with what had them looked at
        engine.add_asset(f"a{number}", Scope.APPLICATION)
    await clock.advance(1)  # no debounce is left to wait for
    begun = list(turns)
    assert 0 < len(begun) < 10
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await clock.settle()
    engine.notify("a0", Trigger("change"))
    await clock.settle()
    assert turns == begun
    assert asyncio.all_tasks() == {asyncio.current_task()}
