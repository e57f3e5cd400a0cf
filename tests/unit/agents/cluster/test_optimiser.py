"""The exact solver beside the loop: begins where everything is, and its plan counts only while it is still better."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from mlsysops_agents.cluster.optimiser import Optimiser
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.placement import Exact, Stop
from mlsysops_agents.placement.problem import NOWHERE, Problem, objective

from .test_world_and_status import Cluster, component, kubernetes_node, node


class Solver:
    """Waits until it is let go, or stopped; then gives a plan."""

    def __init__(self, *plan: int) -> None:
        self.plan = plan
        self.go = threading.Event()
        self.begun: list[tuple[Problem, tuple[int, ...]]] = []
        self.threads: set[int] = set()

    def __call__(self, problem: Problem, start: Sequence[int], stop: Stop) -> Exact:
        self.begun.append((problem, tuple(start)))
        self.threads.add(threading.get_ident())
        assert self.go.wait(30)
        plan = self.plan or tuple(start)
        return Exact(plan, objective(problem, plan)[1], 0, False)


async def deployed(**nodes: str) -> Cluster:
    cluster = Cluster()
    cluster.app("app", *(component(name, cpu="900m") for name in nodes), permitted_actions=["component_relocation"])
    plan = {name: [{"action": "deploy", "host": host}] for name, host in nodes.items()}
    await cluster.fluidity.apply({"name": "app", "deployment_plan": {"initial_plan": True, **plan}})
    return cluster


def cheap(cluster: Cluster, name: str, **hardware: Any) -> None:
    """A node that is so much better that a move to it pays."""
    cluster.objects.put(
        node(
            name,
            hardware={"cpu": {"architecture": "amd64", "cores": 16, "performance_indicator": 100}, "memory": 64},
            labels=["mlsysops.eu/cost=0.01"],
        )
    )
    cluster.objects.put(kubernetes_node(name))


async def found(optimiser: Optimiser) -> asyncio.Task[None]:
    told = asyncio.Event()
    optimiser.on_found = lambda _name: told.set()
    task = asyncio.create_task(optimiser.run())
    async with asyncio.timeout(30):
        await told.wait()
    return task


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_search_runs_in_a_thread_and_begins_where_everything_is() -> None:
    cluster = await deployed(a="n1", b="n1")
    solver = Solver(0, 1)
    optimiser = Optimiser(cluster.world, VirtualClock(), seconds=5, solver=solver)
    assert optimiser.better("app") is None
    task = asyncio.create_task(optimiser.run())
    async with asyncio.timeout(30):
        while not solver.begun:  # noqa: ASYNC110 - a condition of another thread
            await asyncio.sleep(0)
    # The loop runs while the solver does, and asking again begins nothing.
    assert optimiser.better("app") is None
    assert threading.get_ident() not in solver.threads
    problem, start = solver.begun[0]
    assert start == problem.current == (0, 0)
    assert all(price > 0 for price in problem.move)
    solver.go.set()
    await end(task)
    assert len(solver.begun) == 1


async def test_a_plan_is_offered_while_it_pays_for_its_moves() -> None:
    cluster = await deployed(a="n1", b="n1")
    cluster.world._weights = type(cluster.world._weights)(stay=0.1)
    cheap(cluster, "n3")
    solver = Solver(2, 2)
    solver.go.set()
    optimiser = Optimiser(cluster.world, VirtualClock(), seconds=5, solver=solver)
    assert optimiser.better("app") is None
    task = await found(optimiser)
    better = optimiser.better("app")
    assert better is not None
    assert dict(better.assignments) == {"a": "n3", "b": "n3"}
    # Moves have become dear meanwhile: the same plan does not pay any more.
    cluster.world._weights = type(cluster.world._weights)(stay=50)
    assert optimiser.better("app") is None
    cluster.world._weights = type(cluster.world._weights)(stay=0.1)
    assert optimiser.better("app") is not None
    # Its node is gone meanwhile.
    cluster.objects.put(kubernetes_node("n3", ready=False))
    assert optimiser.better("app") is None
    await end(task)


async def test_a_plan_is_not_offered_where_both_copies_would_not_fit() -> None:
    cluster = await deployed(a="n1", b="n2")
    cluster.world._weights = type(cluster.world._weights)(stay=0.0, least_allocated=0.0)
    cluster.app("other", component("x", cpu="1"))
    optimiser = Optimiser(cluster.world, VirtualClock(), seconds=5, solver=Solver())
    assert cluster.world.have_room("app", {"a": "n2"})
    await cluster.fluidity.apply(
        {"name": "other", "deployment_plan": {"initial_plan": True, "x": [{"action": "deploy", "host": "n2"}]}}
    )
    assert not cluster.world.have_room("app", {"a": "n2"})
    assert not cluster.world.have_room("app", {"a": "elsewhere"})
    assert optimiser.better("app") is None


async def test_a_solver_that_breaks_takes_nobody_along() -> None:
    solver = Solver(0, 1)
    solver.go.set()

    def breaks_once(problem: Problem, start: Sequence[int], stop: Stop) -> Exact:
        if not solver.begun:
            solver.begun.append((problem, tuple(start)))
            raise TypeError("numbers beyond 64 bits")
        return solver(problem, start, stop)

    cluster = await deployed(a="n1", b="n1")
    cluster.app("other", *(component(name, cpu="10m") for name in "ab"), permitted_actions=["component_relocation"])
    plan = {name: [{"action": "deploy", "host": "n2"}] for name in "ab"}
    await cluster.fluidity.apply({"name": "other", "deployment_plan": plan})
    optimiser = Optimiser(cluster.world, VirtualClock(), seconds=1, solver=breaks_once)
    assert optimiser.better("app") is None
    assert optimiser.better("other") is None
    task = await found(optimiser)
    assert len(solver.begun) == 2
    assert not task.done()
    assert optimiser.better("app") is None
    await end(task)


async def test_nothing_is_searched_where_nothing_is_asked_for() -> None:
    cluster = await deployed(a="n1")
    solver = Solver()
    optimiser = Optimiser(cluster.world, VirtualClock(), seconds=0, solver=solver)
    assert optimiser.better("app") is None
    assert optimiser._asked.empty()


async def test_cp_sat_stops_when_the_agent_does() -> None:
    pytest.importorskip("ortools")
    from mlsysops_agents.placement import solve_exactly

    cluster = await deployed(a="n1", b="n2")
    problem = cluster.world.whole("app").problem
    assert problem.current != (NOWHERE, NOWHERE)
    stop = Stop()
    stop.set()
    assert solve_exactly(problem, problem.current, stop=stop).hosts == problem.current
    exact = solve_exactly(problem, problem.current, stop=Stop())
    assert exact.proved


def test_a_missing_solver_is_a_fault_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(seconds: float, **more: Any) -> str:
        return Optimiser(Cluster().world, VirtualClock(), seconds=seconds, **more).fault

    monkeypatch.setattr("mlsysops_agents.cluster.optimiser.has_solver", lambda: False)
    assert "extra 'optimize'" in fault(5)
    assert fault(0) == fault(5, solver=Solver()) == ""
    monkeypatch.setattr("mlsysops_agents.cluster.optimiser.has_solver", lambda: True)
    assert fault(5) == ""
