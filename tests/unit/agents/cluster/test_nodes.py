"""What is kept up to date change by change is what one would find by looking at everything."""

from __future__ import annotations

from typing import Any

from agent_fakes import FakeObjects, FakeTelemetry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.cluster.changes import may_have_room
from mlsysops_agents.cluster.world import ClusterWorld
from mlsysops_agents.loop.record import CycleRecord, current_cycle
from mlsysops_agents.plugins.mechanisms.workloads import workload_name
from mlsysops_core.contracts import AgentIdentity

from .test_world_and_status import Cluster, component, kubernetes_node, node

NODES = ("n1", "n2", "n3")
APPS = ("a", "b")

places = st.sampled_from((*NODES, None))
changes = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.sampled_from(NODES), st.integers(1, 3)),
        st.tuples(st.just("no node"), st.sampled_from(NODES), st.none()),
        st.tuples(st.just("ready"), st.sampled_from(NODES), st.booleans()),
        st.tuples(st.just("deployment"), st.sampled_from(APPS), places),
        st.tuples(st.just("pod"), st.sampled_from(("x", "y")), places),
        st.tuples(st.just("disk"), st.sampled_from(APPS), st.integers(0, 2)),
        st.tuples(st.just("no application"), st.sampled_from(APPS), st.none()),
    ),
    max_size=25,
)


def world(objects: FakeObjects) -> ClusterWorld:
    return ClusterWorld(AgentIdentity("cluster", "c1"), objects, FakeTelemetry())


def pinned(app: str, host: str) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": "300m", "memory": "1Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": workload_name(app, "c"),
            "labels": {"mlsysops.eu/app": app, "mlsysops.eu/component": "c"},
        },
        "spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": host}, "containers": [container]}}},
    }


def change(cluster: Cluster, what: str, name: str, value: Any) -> None:
    objects = cluster.objects
    match what:
        case "node":
            objects.put(node(name, hardware={"cpu": {"architecture": "amd64", "cores": value}, "memory": 4}))
        case "no node":
            objects.drop("MLSysOpsNode", name)
        case "ready":
            objects.put(kubernetes_node(name, ready=value))
        case "deployment" if value is not None:
            objects.put(pinned(name, value))
        case "deployment":
            objects.drop("Deployment", workload_name(name, "c"))
        case "pod" if value is not None:
            container = {"name": "c", "resources": {"limits": {"cpu": "0.7"}}}
            spec = {"nodeName": value, "containers": [container]}
            objects.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec, "status": {}})
        case "pod":
            objects.drop("Pod", name)
        case "disk":
            disk = {"requests": f"{value}G"}
            container = {"image": "x", "platform_requirements": {"disk": disk["requests"]}} if value else {"image": "x"}
            cluster.app(name, {"metadata": {"name": "c"}, "containers": [container]})
        case "no application":
            objects.drop("MLSysOpsApp", name)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=st.lists(changes, min_size=1, max_size=4))
def test_facts_that_followed_every_change_are_those_of_a_fresh_look(rounds: list[list[tuple[str, str, Any]]]) -> None:
    cluster = Cluster()
    for changed in rounds:
        for what, name, value in changed:
            change(cluster, what, name, value)
        fresh = world(cluster.objects)
        assert list(cluster.world.facts()) == list(fresh.facts())
        assert cluster.world.facts().free == fresh.facts().free
        assert cluster.world.facts().levels == fresh.facts().levels
        assert cluster.world.facts().costs == fresh.facts().costs
        for app in APPS:
            assert list(cluster.world.facts(without=[(app, "c")])) == list(fresh.facts(without=[(app, "c")]))
        for host in NODES:
            assert cluster.world.on_node(host) == fresh.on_node(host)


def test_only_nodes_that_can_take_something_make_room() -> None:
    ready, lost = kubernetes_node("n1"), kubernetes_node("n1", ready=False)
    assert may_have_room(Change(ChangeKind.ADDED, "n1", ready, None))
    assert may_have_room(Change(ChangeKind.MODIFIED, "n1", ready, lost))
    assert not may_have_room(Change(ChangeKind.MODIFIED, "n1", lost, ready))
    assert not may_have_room(Change(ChangeKind.DELETED, "n1", ready, ready))
    assert may_have_room(Change(ChangeKind.MODIFIED, "mlsysops/n1", node("n1"), node("n1")))


async def test_a_turn_of_the_loop_decides_once_as_long_as_there_is_room() -> None:
    cluster = Cluster()
    cluster.app("app", component("a", "1500m"))
    cluster.app("small", component("s", "200m"))
    cluster.app("big", component("b", "1900m"))
    first = cluster.world.place("app")
    assert cluster.world.place("app") is first
    host = first.assignments["a"]
    await cluster.deploy("small", s=host)
    again = cluster.world.place("app")
    assert again is not first

    token = current_cycle.set(CycleRecord("cluster", "c1", "application/app", "p", "1", (), 0.0))
    try:
        mine = cluster.world.place("app")
        other = next(name for name in ("n1", "n2") if name != mine.assignments["a"])
        cluster.objects.put(kubernetes_node(other))
        cluster.objects.drop("Deployment", workload_name("small", "s"))
        assert cluster.world.place("app") is mine
        await cluster.deploy("big", b=mine.assignments["a"])
        assert cluster.world.place("app").assignments == {"a": other}
        # A change of the description is another question.
        cluster.app("app", component("a", "100m"))
        assert cluster.world.place("app") is not mine
    finally:
        current_cycle.reset(token)
