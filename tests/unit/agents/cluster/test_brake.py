"""Nodes that fall silent together are not left at once: it is likelier that nobody can hear them."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_fakes import FakeObjects, FakeTelemetry
from mlsysops_agents.cluster.brake import Brake
from mlsysops_agents.cluster.handle import ClusterHandle
from mlsysops_agents.cluster.world import ClusterWorld
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.placement.disruption import is_disrupted, returned
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_core.contracts import AgentIdentity

#: Before the clock's begin: all nodes have been ready for long.
LONG_AGO = 1_600_000_000.0


class Nodes:
    """Kubernetes' nodes, a brake and its time."""

    def __init__(self, **zones: int) -> None:
        self.objects = FakeObjects()
        self.clock = VirtualClock()
        #: How much the clock of whoever writes conditions is ahead of the agent's.
        self.skew = 0.0
        self.brake = Brake(self.objects, self.clock, grace=40)
        self.zone = {f"{zone}{number}": zone for zone, size in zones.items() for number in range(size)}
        self.said: dict[str, tuple[str, float]] = {}
        for name in self.zone:
            self.say(name, "True", LONG_AGO)

    def say(self, name: str, ready: str, since: float | None = None) -> None:
        seconds = self.clock.time() + self.skew if since is None else since
        self.said[name] = (ready, seconds)
        at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": at}
        metadata = {"name": name, "labels": {"topology.kubernetes.io/zone": self.zone.get(name, "")}}
        self.objects.put({"kind": "Node", "metadata": metadata, "status": {"conditions": [condition]}})

    def lose(self, *names: str) -> None:
        for name in names:
            self.say(name, "Unknown")

    def held(self) -> set[str]:
        return {name for name in self.zone if self.brake.hold(name)}


@pytest.mark.parametrize(
    ("ready", "total", "expected"),
    [(1, 3, False), (2, 5, True), (3, 6, False), (9, 20, True), (0, 5, False), (46, 100, False), (5, 5, False)],
)
def test_what_a_partial_disruption_is(ready: int, total: int, expected: bool) -> None:
    assert is_disrupted(ready, total) is expected


def test_single_losses_and_whole_zones_are_left_at_once() -> None:
    nodes = Nodes(a=5, b=5)
    nodes.lose("a0")
    assert nodes.held() == set()
    nodes.lose("a1")
    assert nodes.held() == set()
    nodes.lose("a2", "a3", "a4")
    assert nodes.held() == set()  # the zone is gone, the other one lives


def test_most_of_a_zone_at_once_is_held_until_it_is_less() -> None:
    nodes = Nodes(a=5, b=5)
    nodes.lose("a0", "a1", "a2")
    assert nodes.held() == {"a0", "a1", "a2"}
    assert "3 of 5 nodes of zone a are not ready at once" in nodes.brake.hold("a0")
    assert nodes.brake.freed() == set()
    nodes.say("a2", "True")
    assert nodes.brake.freed() == {"a0", "a1"}
    assert nodes.brake.freed() == set()
    assert nodes.held() == set()


def test_a_node_that_was_removed_is_not_held_and_frees_the_others() -> None:
    nodes = Nodes(a=5)
    nodes.lose("a0", "a1", "a2")
    assert nodes.held() == {"a0", "a1", "a2"}
    nodes.objects.drop("Node", "a0")
    assert nodes.brake.hold("a0") == ""
    assert nodes.brake.freed() == {"a1", "a2"}


async def test_a_large_zone_is_left_slowly() -> None:
    nodes = Nodes(a=60)
    nodes.lose(*(f"a{number}" for number in range(40)))
    assert nodes.brake.hold("a0") == ""
    assert nodes.brake.hold("a0") == ""  # what may leave may leave at its ease
    assert "one in 100 s" in nodes.brake.hold("a1")
    woken: list[str] = []
    task = asyncio.create_task(nodes.brake.run(woken.append))
    try:
        await nodes.clock.advance(99)
        assert woken == []
        await nodes.clock.advance(1)
        assert woken == ["a1"]
        assert nodes.brake.hold("a1") == ""
    finally:
        task.cancel()


async def test_after_an_outage_of_all_every_node_has_time_to_come_back() -> None:
    nodes = Nodes(a=2)
    nodes.lose("a0", "a1")
    await nodes.clock.advance(3600)
    nodes.say("a0", "True")
    assert "no node was ready when a1 fell silent" in nodes.brake.hold("a1")
    woken: list[str] = []
    task = asyncio.create_task(nodes.brake.run(woken.append))
    try:
        await nodes.clock.advance(39)
        assert woken == []
        await nodes.clock.advance(2)
        assert woken == ["a1"]
        assert nodes.brake.hold("a1") == ""
    finally:
        task.cancel()


@pytest.mark.parametrize("skew", [-7200.0, -60.0, 60.0, 7200.0])
async def test_a_clock_that_is_wrong_neither_ends_nor_lengthens_that_time(skew: float) -> None:
    nodes = Nodes(a=2)
    nodes.skew = skew
    assert nodes.held() == set()
    nodes.lose("a0", "a1")
    await nodes.clock.advance(600)
    assert nodes.held() == set()
    nodes.say("a0", "True")
    assert "no node was ready" in nodes.brake.hold("a1")
    await nodes.clock.advance(39)
    assert "no node was ready" in nodes.brake.hold("a1")
    await nodes.clock.advance(2)
    assert nodes.brake.hold("a1") == ""


async def test_who_looks_late_believes_the_writer_as_far_as_can_be() -> None:
    nodes = Nodes(a=2)
    assert nodes.held() == set()
    nodes.lose("a0", "a1")
    await nodes.clock.advance(600)
    nodes.say("a0", "True")
    await nodes.clock.advance(30)  # nobody asked all the time
    assert "no node was ready" in nodes.brake.hold("a1")
    await nodes.clock.advance(12)
    assert nodes.brake.hold("a1") == ""


def test_who_came_back_first() -> None:
    assert returned(10.0, 5.0) is None  # somebody was always there
    assert returned(10.0, 20.0) == 20.0
    assert returned(10.0, 10.0) == 10.0  # nobody knows which came first
    assert returned(None, 20.0) is None
    assert returned(10.0, None) is None


async def test_what_changed_one_by_one_is_what_is_there() -> None:
    """Whatever comes, goes and changes its zone: a brake that saw it all says what one says that begins now."""
    nodes = Nodes(a=6, b=4)
    chance = random.Random(7)
    for _ in range(300):
        name = chance.choice(list(nodes.zone))
        match chance.randrange(4):
            case 0:
                nodes.objects.drop("Node", name)
            case 1:
                nodes.zone[name] = chance.choice("ab")
                nodes.say(name, *nodes.said[name])
            case 2:
                nodes.say(name, "True")
            case _:
                nodes.lose(name)
        await nodes.clock.advance(chance.randrange(3))
        fresh = Brake(nodes.objects, nodes.clock, grace=40)
        assert [nodes.brake.hold(name) for name in nodes.zone] == [fresh.hold(name) for name in nodes.zone]


async def test_components_on_silent_nodes_stay_while_most_of_them_are_silent() -> None:
    nodes = Nodes(a=5)
    identity = AgentIdentity("cluster", "c1")
    world = ClusterWorld(identity, nodes.objects, FakeTelemetry(), clock=nodes.clock)  # type: ignore[arg-type]
    handle = ClusterHandle(identity, nodes.clock, nodes.objects, FakeTelemetry(), world)  # type: ignore[arg-type]
    for name in nodes.zone:
        hardware = {"cpu": {"architecture": "amd64", "cores": 2}, "memory": 4}
        spec = {"name": name, "continuum_layer": "edge", "environment": {}, "hardware": hardware}
        nodes.objects.put(
            {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsNode", "metadata": {"name": name}, "spec": spec}
        )
    spec_of: dict[str, Any] = {
        "name": "app",
        "components": [{"metadata": {"name": name}, "containers": [{"image": "x"}]} for name in ("x", "y")],
    }
    metadata = {"name": "app", "annotations": {"mlsysops.eu/component-clusters": '{"x": "c1", "y": "c1"}'}}
    nodes.objects.put({"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": metadata, "spec": spec_of})
    plan = {name: [{"action": "deploy", "host": host}] for name, host in (("x", "a0"), ("y", "a1"))}
    await Fluidity(handle).apply({"name": "app", "deployment_plan": plan})
    nodes.lose("a0", "a1", "a2")
    found = world.alternatives("app", "x")
    assert found.assignments == {}
    assert found.unplaced == ("x",)
    assert "3 of 5 nodes" in found.explain["x"]
    nodes.say("a2", "True")
    assert world.alternatives("app", "x").assignments["x"] in {"a2", "a3", "a4"}
