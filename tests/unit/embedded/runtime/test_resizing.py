"""A pod's resize: what its node promises, what waits, what is refused, and what a kubelet that restarts finds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlsysops_embedded.client import Object
from mlsysops_embedded.kubelet.container import Container
from mlsysops_embedded.kubelet.resizing import Mark, Resizing

SMALL = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}


class Groups:
    """Control groups that only remember."""

    def __init__(self) -> None:
        self.held = True
        self.used = 0
        self.set: list[Object] = []

    def holds(self, uid: str, name: str) -> bool:
        return self.held

    def memory(self, uid: str, name: str) -> int:
        return self.used

    def update(self, uid: str, name: str, resources: Object) -> None:
        self.set.append(resources)


class World:
    def __init__(self, path: Path, *, policy: list[Object] | None = None) -> None:
        self.groups, self.others, self.room = Groups(), {"cpu": 1.0}, 0
        self.events: list[str] = []
        self.killed: list[str] = []
        spec = {"containers": [{"name": "c", "resources": SMALL, **({"resizePolicy": policy} if policy else {})}]}
        self.pod: Object = {"metadata": {"uid": "u", "generation": 1}, "spec": spec}
        self.path = path
        self.begin()

    def begin(self, resources: Object = SMALL) -> None:
        """A kubelet begins, with the spec as it last saw it."""
        container = {**self.pod["spec"]["containers"][0], "resources": resources}
        self.container = Container(container, self.path / "c", lambda: None, init=False)
        self.container.handle = SimpleNamespace()  # type: ignore[assignment]

        def make_room() -> None:
            self.room += 1

        shared = SimpleNamespace(
            allocatable={"cpu": "2", "memory": "1Gi"},
            promised=lambda uid: self.others,
            on_room=make_room,
            cgroups=self.groups,
        )
        subject: Any = SimpleNamespace(
            shared=shared,
            pod=self.pod,
            containers=[self.container],
            uid="u",
            name="default/p",
            simulated=[],
            event=lambda kind, reason, message: self.events.append(reason),
        )
        stopping: Any = SimpleNamespace(kill=lambda container, why: self.killed.append(container.name))
        self.resizing = Resizing(subject, stopping, self.path / "allocation.json")
        self.resizing.load()

    async def ask(self, **amounts: Any) -> list[float]:
        container = self.pod["spec"]["containers"][0]
        container["resources"] = {**container["resources"], **amounts}
        self.pod["metadata"]["generation"] += 1
        return await self.step()

    async def step(self) -> list[float]:
        delays: list[float] = []
        await self.resizing.step(delays)
        return delays


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_fits_comes_true_at_once(world: World) -> None:
    new = {"cpu": "1", "memory": "128Mi"}
    await world.ask(limits=new)
    assert world.groups.set == [{**SMALL, "limits": new}]
    assert world.container.actuated == world.container.spec["resources"] == {**SMALL, "limits": new}
    assert (world.resizing.pending, world.resizing.progress) == (None, None)
    assert world.events == ["ResizeStarted", "ResizeCompleted"]
    assert world.room == 1


async def test_what_has_no_room_waits_until_it_has(world: World) -> None:
    await world.ask(requests={"cpu": "1500m", "memory": "32Mi"}, limits={"cpu": "1500m", "memory": "64Mi"})
    pending = world.resizing.pending
    assert pending is not None
    assert (pending.generation, pending.reason) == (2, "Deferred")
    assert pending.message == "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"
    assert world.container.spec["resources"] == SMALL
    await world.step()
    assert world.events == ["ResizeDeferred"]  # told once
    world.others = {}
    await world.step()
    assert world.resizing.pending is None
    assert world.events[1:] == ["ResizeStarted", "ResizeCompleted"]


async def test_less_is_granted_where_nothing_is_left(world: World) -> None:
    world.others = {"cpu": 5.0}
    await world.ask(requests={"cpu": "50m", "memory": "32Mi"})
    assert world.resizing.pending is None


async def test_limits_without_a_group_are_infeasible(world: World) -> None:
    world.groups.held = False
    await world.ask(limits={"cpu": "1", "memory": "64Mi"})
    assert world.resizing.pending is not None
    assert world.resizing.pending.reason == "Infeasible"
    await world.ask(limits=SMALL["limits"])  # asked for no more
    assert world.resizing.pending is None
    await world.ask(requests={"cpu": "150m", "memory": "32Mi"})  # nobody has to be held for that
    assert (world.resizing.pending, world.resizing.progress) == (None, None)


async def test_memory_in_use_stays(world: World) -> None:
    world.groups.used = 48 * 2**20
    delays = await world.ask(limits={"cpu": "200m", "memory": "40Mi"})
    assert delays == [10.0]
    assert world.resizing.progress is not None
    assert world.resizing.progress.reason == "Error"
    assert world.groups.set == []
    assert world.container.actuated == SMALL
    await world.step()
    assert world.events == ["ResizeStarted", "ResizeError"]
    world.groups.used = 2**20
    assert await world.step() == []
    assert world.events[-1] == "ResizeCompleted"


async def test_a_restart_is_over_when_the_container_runs_again(tmp_path: Path) -> None:
    world = World(tmp_path, policy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}])
    await world.ask(limits={"cpu": "300m", "memory": "64Mi"})
    assert world.killed == []
    await world.ask(limits={"cpu": "300m", "memory": "128Mi"})
    assert world.killed == ["c"]
    assert world.resizing.progress == Mark(3)
    world.container.handle = None
    await world.step()
    assert world.resizing.progress == Mark(3)
    world.resizing.started(world.container)
    await world.step()
    assert world.resizing.progress is None


async def test_a_kubelet_that_restarts_knows_what_it_promised(world: World) -> None:
    await world.ask(requests={"cpu": "1500m", "memory": "32Mi"}, limits={"cpu": "1500m", "memory": "64Mi"})
    world.begin(world.pod["spec"]["containers"][0]["resources"])
    assert world.container.spec["resources"] == SMALL
    assert world.container.actuated == SMALL
    world.others = {}
    await world.step()
    assert world.container.actuated["requests"] == {"cpu": "1500m", "memory": "32Mi"}  # type: ignore[index]
