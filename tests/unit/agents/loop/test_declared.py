"""What a policy declares is what it gets: the mechanisms it may command, and its place in the queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mlsysops_agents.loop import Plan, PlanScheduler, SqliteKnowledge, VirtualClock
from mlsysops_agents.loop.declared import undeclared
from mlsysops_core.contracts import Scope
from mlsysops_core.plugins import Declaration, LoadedPolicy, PluginError
from mlsysops_core.plugins.aliases import with_aliases

from .conftest import MakeBench, Recorder, always, policy

COMMAND = {"recorder": {"assets": ["x"]}}


async def test_a_mechanism_that_was_not_declared_is_refused_by_name(bench: MakeBench) -> None:
    world = await bench(
        policy("other", always(True), always(COMMAND), mechanisms=["something_else"]),
        policy(
            "stranger", always(True), always({**COMMAND, "something_else": {"a": 1}}), mechanisms=["something_else"]
        ),
    )
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(1)
    assert world.mechanism.applied == []
    for name in ("other", "stranger"):
        (told, *_) = world.of(name)
        assert told["outcome"] == "refused"
        assert told["plan"]["recorder"] == COMMAND["recorder"]
        assert told["scheduler"] == (
            "refused: UndeclaredMechanism: the plan commands recorder; the policy declares something_else only"
        )


async def test_what_was_declared_and_policies_that_declare_nothing_go_on(bench: MakeBench) -> None:
    world = await bench(
        policy("declares", always(True), always(COMMAND), mechanisms=["recorder", "other"], core=True),
    )
    world.engine.add_asset("a", Scope.APPLICATION)
    await world.clock.advance(0.05)
    assert len(world.mechanism.applied) == 1
    world.engine.set_policy(policy("declares", always(True), always(COMMAND), core=True))
    await world.clock.advance(0.05)
    assert len(world.mechanism.applied) == 2


@pytest.mark.parametrize(
    ("declared", "commanded", "allowed"),
    [
        ("cpu_frequency", "CPUFrequencyConfigurator", True),
        ("CPUFrequencyConfigurator", "cpu_frequency", True),
        ("fluidity_proxy", "fluidity", True),
        ("fluidity", "fluidity_proxy", True),
        ("fluidity", "cpu_frequency", False),
        ("absent", "cpu_frequency", False),
        ("cpu_frequency", "absent", False),
    ],
)
def test_a_mechanism_has_all_of_its_names(declared: str, commanded: str, allowed: bool) -> None:
    class Frequency(Recorder):
        aliases = frozenset({"CPUFrequencyConfigurator"})

    clock = VirtualClock()
    mechanisms = {"fluidity": Recorder(clock), **with_aliases("cpu_frequency", Frequency(clock))}  # type: ignore[arg-type]
    made = policy("p", always(True), mechanisms=[declared])
    assert (undeclared(made, [commanded], mechanisms) == "") is allowed  # type: ignore[arg-type]


async def test_priorities_order_the_queue_within_core_and_within_the_others() -> None:
    clock = VirtualClock()
    recorder = Recorder(clock, seconds=1)
    scheduler = PlanScheduler({"recorder": recorder}, clock, SqliteKnowledge(":memory:"))
    tasks = []
    for number, (core, priority) in enumerate([(False, 9), (True, -1), (False, 0), (True, 5), (False, 9), (True, 0)]):
        command = {"recorder": {"assets": [str(number)], "number": number}}
        plan = Plan(str(number), str(number), "p", core, command, 0.0, priority=priority)
        tasks.append(asyncio.create_task(scheduler.submit(plan)))
    await clock.settle()
    worker = asyncio.create_task(scheduler._worker())
    await clock.advance(20)
    assert [item["number"] for item in recorder.applied] == [3, 5, 1, 0, 4, 2]
    worker.cancel()
    await asyncio.gather(worker, *tasks, return_exceptions=True)


async def test_a_priority_comes_from_the_context_or_its_configuration_and_may_be_set_over(bench: MakeBench) -> None:
    seen: list[float] = []

    async def run(made: LoadedPolicy) -> float:
        world = await bench(made)
        submit = world.engine._scheduler.submit

        async def spy(plan: Plan) -> Any:
            seen.append(plan.priority)
            return await submit(plan)

        world.engine._scheduler.submit = spy  # type: ignore[method-assign]
        world.engine.add_asset("a", Scope.APPLICATION)
        await world.clock.advance(0.1)
        return seen[-1]

    assert await run(policy("p", always(True), always(COMMAND))) == 0.0
    assert await run(policy("p", always(True), always(COMMAND), priority=3)) == 3.0
    configured = policy("p", always(True), always(COMMAND), configuration={"priority": 2})
    assert await run(configured) == 2.0
    over = LoadedPolicy("p", configured.policy, configured.declaration, configured.context, "1", "t", {"priority": 7})
    assert await run(over) == 7.0
    nonsense = LoadedPolicy(
        "p", configured.policy, configured.declaration, configured.context, "1", "t", {"priority": "x"}
    )
    assert await run(nonsense) == 2.0


@pytest.mark.parametrize("value", ["high", True, float("nan"), [1]])
def test_a_priority_that_is_no_number_is_told(value: Any) -> None:
    with pytest.raises(PluginError, match=r"policy p: priority .* is no number"):
        Declaration.from_context({"priority": value}, plugin="p")
