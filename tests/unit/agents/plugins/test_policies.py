"""The built-in policies: when they plan, what they plan, and what they tell when they cannot."""

from __future__ import annotations

import copy
from typing import Any

from agent_fakes import FakeHandle
from mlsysops_agents.plugins.policies import (
    ClusterPlacement,
    DynamicPlacedComponents,
    RelocateComponents,
    StaticPlacedComponents,
)
from mlsysops_core.contracts import PlacementOutcome, Rejected


def app(*components: dict[str, Any], **spec: Any) -> list[dict[str, Any]]:
    return [{"name": "app", "spec": {"name": "app", "components": list(components), **spec}}]


def component(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "containers": [{"image": "x"}], **more}


def fluidity(**components: dict[str, Any]) -> dict[str, Any]:
    return {"fluidity": {"state": {"applications": {"app": {"components": components}}}, "options": {}}}


class Runner:
    """Runs a policy as the loop does: one context, analysis before plan."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.context: dict[str, Any] = copy.deepcopy(policy.initialize())

    async def __call__(self, apps: list[dict[str, Any]], mechanisms: dict[str, Any]) -> dict[str, Any] | None:
        needed, self.context = await self.policy.analyze(self.context, apps, {}, mechanisms, {}, None)
        if not needed:
            return None
        plan, self.context = await self.policy.plan(self.context, apps, {}, mechanisms, {}, None)
        return dict(plan)


def handle(**placement: str) -> FakeHandle:
    made = FakeHandle()
    made.placement = PlacementOutcome(placement, explain=dict.fromkeys(placement, "1/1 nodes fit"))
    made.components = list(placement)
    return made


async def test_components_without_a_node_are_deployed_by_the_policy_of_their_kind() -> None:
    made = handle(web="n1", db="n2")
    apps = app(component("web"), component("db", node_placement={"node": "n2"}))
    state = fluidity(web={"node_placed": None}, db={"node_placed": None})
    plan = await Runner(DynamicPlacedComponents(made))(apps, state)
    assert plan == {
        "fluidity": {
            "name": "app",
            "deployment_plan": {"initial_plan": True, "web": [{"action": "deploy", "host": "n1"}]},
        }
    }
    plan = await Runner(StaticPlacedComponents(made))(apps, state)
    assert plan is not None
    assert plan["fluidity"]["deployment_plan"] == {"initial_plan": True, "db": [{"action": "deploy", "host": "n2"}]}


async def test_a_component_waits_for_those_it_depends_on() -> None:
    made = handle(web="n1", db="n1")
    apps = app(component("web", depends_on=["db"]), component("db"))
    run = Runner(DynamicPlacedComponents(made))
    plan = await run(apps, fluidity(web={"node_placed": None}, db={"node_placed": None}))
    assert plan is not None
    assert set(plan["fluidity"]["deployment_plan"]) == {"initial_plan", "db"}
    assert await run(apps, fluidity(web={"node_placed": None}, db={"node_placed": "n1", "ready": False})) is None
    plan = await run(apps, fluidity(web={"node_placed": None}, db={"node_placed": "n1", "ready": True}))
    assert plan is not None
    assert plan["fluidity"]["deployment_plan"] == {"initial_plan": False, "web": [{"action": "deploy", "host": "n1"}]}


async def test_nothing_is_started_of_an_application_of_which_a_part_fits_nowhere() -> None:
    made = handle(web="n1", db="n1")
    text = "0/1 nodes fit: 1 removed by gpu (needs a GPU, has none)"
    made.placement = PlacementOutcome(
        {"web": "n1"}, [Rejected("n1", "gpu", "needs a GPU, has none", "db")], {"web": "1/1 nodes fit", "db": text}
    )
    apps = app(component("web"), component("db"))
    state = fluidity(web={"node_placed": None}, db={"node_placed": None})
    run = Runner(DynamicPlacedComponents(made))
    assert await run(apps, state) == {}
    assert made.told == [text]
    assert made.rejected == [Rejected("n1", "gpu", "needs a GPU, has none", "db")]
    assert await run(apps, state) is None  # told once
    made.placement = PlacementOutcome({"web": "n1", "db": "n2"}, explain={"web": "", "db": ""})
    plan = await run(apps, state)
    assert plan is not None
    assert set(plan["fluidity"]["deployment_plan"]) == {"initial_plan", "web", "db"}


async def test_outdated_components_change_and_unwanted_ones_go() -> None:
    made = handle(web="n1")
    state = fluidity(
        web={"node_placed": "n1", "ready": True, "outdated": True}, old={"node_placed": "n2", "unwanted": True}
    )
    plan = await Runner(DynamicPlacedComponents(made))(app(component("web")), state)
    assert plan is not None
    actions = plan["fluidity"]["deployment_plan"]
    assert actions["old"] == [{"action": "remove", "host": "n2"}]
    assert actions["web"][0]["action"] == "change_spec"
    assert await Runner(StaticPlacedComponents(made))(app(component("web")), state) is None


async def test_what_a_killed_agent_left_unfinished_is_written_again() -> None:
    made = handle(web="n1")
    state = fluidity(web={"node_placed": "n1", "ready": True, "outdated": False, "unfinished": True})
    plan = await Runner(DynamicPlacedComponents(made))(app(component("web")), state)
    assert plan is not None
    assert plan["fluidity"]["deployment_plan"]["web"] == [{"action": "deploy", "host": "n1"}]
    assert await Runner(StaticPlacedComponents(made))(app(component("web")), state) is None


async def test_what_is_as_it_should_be_is_left_alone() -> None:
    made = handle(web="n1")
    state = fluidity(web={"node_placed": "n1", "ready": True, "outdated": False, "unwanted": False})
    for policy in (DynamicPlacedComponents(made), StaticPlacedComponents(made), RelocateComponents(made)):
        assert await Runner(policy)(app(component("web")), state) is None


async def test_a_component_of_a_lost_node_moves_after_a_moment() -> None:
    made = handle(web="n1")
    made.unfit = {"web": Rejected("n1", "ready", "not ready: kubelet stopped", "web")}
    made.elsewhere = PlacementOutcome({"web": "n2"}, explain={"web": ""}, scores={"web": {"n2": 0.5}})
    apps, state = app(component("web")), fluidity(web={"node_placed": "n1", "ready": False})
    run = Runner(RelocateComponents(made))
    assert await run(apps, state) is None
    assert run.context["configuration"]["analyze_interval"] == 5.0
    await made.clock.advance(3)
    made.unfit = {}  # it came back: nothing was lost by waiting
    assert await run(apps, state) is None
    made.unfit = {"web": Rejected("n1", "ready", "has not joined the cluster", "web")}
    assert await run(apps, state) is None
    await made.clock.advance(5)
    plan = await run(apps, state)
    assert plan == {
        "fluidity": {
            "name": "app",
            "deployment_plan": {
                "initial_plan": False,
                "web": [{"action": "move", "src_host": "n1", "target_host": "n2"}],
            },
        }
    }
    assert made.told[-1] == "web: node n1 fails ready (has not joined the cluster)"


async def test_a_clock_that_is_set_back_makes_nobody_wait_for_it() -> None:
    made = handle(web="n1")
    made.unfit = {"web": Rejected("n1", "ready", "not ready", "web")}
    made.elsewhere = PlacementOutcome({"web": "n2"}, explain={"web": ""}, scores={"web": {"n2": 0.5}})
    apps, state = app(component("web")), fluidity(web={"node_placed": "n1", "ready": False})
    run = Runner(RelocateComponents(made))
    assert await run(apps, state) is None
    made.clock._start -= 3600
    assert await run(apps, state) is None
    assert run.context["configuration"]["analyze_interval"] == 5.0
    await made.clock.advance(5)
    assert await run(apps, state) is not None


async def test_without_another_node_it_stays_and_that_is_told_once() -> None:
    made = handle(web="n1")
    made.unfit = {"web": Rejected("n1", "ready", "not ready", "web")}
    made.elsewhere = PlacementOutcome({}, explain={"web": "0/1 nodes fit: 1 removed by ready (not ready)"})
    apps, state = app(component("web")), fluidity(web={"node_placed": "n1", "ready": False})
    run = Runner(RelocateComponents(made))
    await run(apps, state)
    await made.clock.advance(6)
    assert await run(apps, state) == {}
    assert made.told == ["web stays: node n1 fails ready (not ready); 0/1 nodes fit: 1 removed by ready (not ready)"]
    assert await run(apps, state) is None
    assert run.context["configuration"] == {}  # only events wake it now


async def test_a_cordon_moves_nothing_that_runs() -> None:
    made = handle(web="n1")
    made.unfit = {"web": Rejected("n1", "unschedulable", "cordoned", "web")}
    made.elsewhere = PlacementOutcome({"web": "n2"}, explain={"web": ""})
    run = Runner(RelocateComponents(made))
    for _ in range(3):
        assert await run(app(component("web")), fluidity(web={"node_placed": "n1", "ready": True})) is None
        await made.clock.advance(60)
    assert await run(app(component("web")), fluidity(web={"node_placed": "n1", "ready": False})) is None
    await made.clock.advance(16)
    plan = await run(app(component("web")), fluidity(web={"node_placed": "n1", "ready": False}))
    assert plan is not None
    assert "web" in plan["fluidity"]["deployment_plan"]


async def test_quality_moves_need_permission_patience_a_better_node_and_rest() -> None:
    made = handle(web="n1")
    metric = {"application_metric_id": "latency", "target": 10, "relation": "lower_or_equal"}
    web = component("web", qos_metrics=[metric])
    state = fluidity(web={"node_placed": "n1", "ready": True})
    made.telemetry.values[("latency", "web")] = 50.0
    made.elsewhere = PlacementOutcome({"web": "n2"}, explain={"web": ""}, scores={"web": {"n1": 0.2, "n2": 0.9}})
    forbidden = Runner(RelocateComponents(made))
    for _ in range(3):
        assert await forbidden(app(web), state) is None
        await made.clock.advance(100)

    apps = app(web, permitted_actions=["component_relocation"])
    run = Runner(RelocateComponents(made))
    assert await run(apps, state) is None
    await made.clock.advance(59)
    assert await run(apps, state) is None
    await made.clock.advance(1)
    plan = await run(apps, state)
    assert plan is not None
    assert plan["fluidity"]["deployment_plan"]["web"][0]["target_host"] == "n2"
    moved = fluidity(web={"node_placed": "n2", "ready": True})
    made.elsewhere = PlacementOutcome({"web": "n1"}, explain={"web": ""}, scores={"web": {"n1": 0.9, "n2": 0.2}})
    assert await run(apps, moved) == {}  # cool-down: it says so, and does not go back
    await made.clock.advance(301)
    made.elsewhere = PlacementOutcome({"web": "n1"}, explain={"web": ""}, scores={"web": {"n1": 0.25, "n2": 0.2}})
    assert await run(apps, moved) == {}  # not clearly better
    assert made.told[-1].endswith("no other node is clearly better")


async def test_the_continuum_assigns_all_components_or_none() -> None:
    made = FakeHandle("continuum")
    made.placement = PlacementOutcome({"web": "c1", "db": "c1"}, explain={"web": "", "db": ""})
    state: dict[str, Any] = {"clusterPlacement": {"state": {"applications": {}}, "options": {}}}
    apps = app(component("web"), component("db"))
    run = Runner(ClusterPlacement(made))
    plan = await run(apps, state)
    assert plan == {
        "clusterPlacement": {
            "name": "app",
            "deployment_plan": {
                "initial_plan": True,
                "web": [{"action": "deploy", "host": "c1"}],
                "db": [{"action": "deploy", "host": "c1"}],
            },
        }
    }
    placed = {"web": {"cluster_placed": "c1"}, "db": {"cluster_placed": "c2"}, "old": {"cluster_placed": "c1"}}
    state["clusterPlacement"]["state"]["applications"]["app"] = {"components": placed}
    plan = await run(apps, state)
    assert plan is not None
    assert plan["clusterPlacement"]["deployment_plan"] == {
        "initial_plan": False,
        "db": [{"action": "move", "src_host": "c2", "target_host": "c1"}],
        "old": [{"action": "remove", "host": "c1"}],
    }
    made.placement = PlacementOutcome({"web": "c1"}, explain={"web": "", "db": "0/1 clusters fit"})
    assert await run(apps, state) == {}
    assert made.told == ["0/1 clusters fit"]
    assert await run(apps, state) is None


async def test_a_better_plan_moves_all_of_it_once_where_all_is_well_and_its_owner_permits_it() -> None:
    made = handle(web="n1", db="n1")
    made.improvement = PlacementOutcome({"web": "n2", "db": "n3"}, explain={"web": "saves", "db": "saves"})
    runner = Runner(RelocateComponents(made))
    apps = app(component("web"), component("db"), permitted_actions=["component_relocation"])
    calm = {"node_placed": "n1", "ready": True}
    assert await runner(apps, fluidity(web=calm, db={"node_placed": "n1", "ready": False})) is None
    assert await Runner(RelocateComponents(made))(app(component("web"), component("db")), fluidity(web=calm)) is None
    plan = await runner(apps, fluidity(web=calm, db=calm))
    assert plan is not None
    assert plan["fluidity"]["deployment_plan"] == {
        "initial_plan": False,
        "web": [{"action": "move", "src_host": "n1", "target_host": "n2"}],
        "db": [{"action": "move", "src_host": "n1", "target_host": "n3"}],
    }
    # What was moved for a better plan is not moved again at once: the refusal is told, and nothing is done.
    made.improvement = PlacementOutcome({"web": "n1"}, explain={"web": "saves"})
    there = fluidity(web={"node_placed": "n2", "ready": True}, db={"node_placed": "n3", "ready": True})
    assert await runner(apps, there) == {}
    assert await runner(apps, there) is None
    await made.clock.advance(301.0)
    plan = await runner(apps, there)
    assert plan is not None
    assert list(plan["fluidity"]["deployment_plan"]) == ["initial_plan", "web"]
