"""The mechanism clusterPlacement: annotation and PropagationPolicy."""

from __future__ import annotations

import json
from typing import Any

from agent_fakes import FakeHandle
from mlsysops_agents.plugins.mechanisms import ClusterPlacementMechanism

APP = {
    "apiVersion": "mlsysops.eu/v1",
    "kind": "MLSysOpsApp",
    "metadata": {"name": "app"},
    "spec": {"name": "app", "components": [{"metadata": {"name": "web"}}, {"metadata": {"name": "db"}}]},
}


def made() -> tuple[FakeHandle, ClusterPlacementMechanism]:
    handle = FakeHandle("continuum")
    handle.objects.put(APP)
    for name in ("c1", "c2"):
        handle.objects.put({"kind": "MLSysOpsCluster", "metadata": {"name": name}})
    return handle, ClusterPlacementMechanism(handle)


def clusters(handle: FakeHandle) -> dict[str, str]:
    app = handle.objects.get("MLSysOpsApp", "app")
    assert app is not None
    return dict(json.loads(app["metadata"]["annotations"]["mlsysops.eu/component-clusters"]))


async def test_components_are_assigned_and_the_policy_names_their_clusters() -> None:
    handle, mechanism = made()
    plan: dict[str, Any] = {"web": [{"action": "deploy", "host": "c1"}], "db": [{"action": "deploy", "host": "c2"}]}
    command = {"name": "app", "deployment_plan": {"initial_plan": True, **plan}}
    assert mechanism.get_state()["applications"]["app"]["components"]["web"] == {"cluster_placed": None}
    assert mechanism.check(command) == ""
    assert (await mechanism.apply(command)).ok
    assert clusters(handle) == {"web": "c1", "db": "c2"}
    assert [write[0] for write in handle.objects.writes] == ["annotate", "apply"]
    policy = handle.objects.get("PropagationPolicy", "app-app")
    assert policy is not None
    assert policy["spec"] == {
        "resourceSelectors": [
            {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "namespace": "mlsysops", "name": "app"}
        ],
        "placement": {"clusterAffinity": {"clusterNames": ["c1", "c2"]}},
    }
    assert policy["metadata"]["ownerReferences"][0]["uid"] == "uid-app"

    move = {"name": "app", "deployment_plan": {"db": [{"action": "move", "src_host": "c2", "target_host": "c1"}]}}
    await mechanism.apply(move)
    assert clusters(handle) == {"web": "c1", "db": "c1"}
    await mechanism.apply({"name": "app", "deployment_plan": {"db": [{"action": "remove", "host": "c1"}]}})
    assert clusters(handle) == {"web": "c1"}


async def test_the_frameworks_own_form_is_understood() -> None:
    handle, mechanism = made()
    await mechanism.apply({"action": {"component": "c9"}, "app": [{"name": "app", "spec": APP["spec"]}]})
    assert clusters(handle) == {"web": "c9", "db": "c9"}


def test_an_application_that_is_gone_is_left_alone() -> None:
    handle, mechanism = made()
    handle.objects.stored.clear()
    command = {"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c1"}]}}
    assert mechanism.check(command) == "application app is gone"


def moving(source: str, target: str) -> dict[str, Any]:
    return {"name": "app", "deployment_plan": {"web": [{"action": "move", "src_host": source, "target_host": target}]}}


async def test_a_command_that_no_longer_makes_sense_is_refused() -> None:
    _handle, mechanism = made()
    assert (
        mechanism.check(moving("c1", "nowhere")) == "there is no cluster nowhere for component web: clusters are c1, c2"
    )
    assert mechanism.check(moving("c1", "c2")) == "component web is assigned to None, not to c1"
    await mechanism.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c2"}]}})
    assert mechanism.check(moving("c1", "c2")) == "component web is assigned to c2, not to c1"
    assert mechanism.check({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c2"}]}}) == ""


async def test_what_runs_leaves_its_cluster_only_where_that_is_permitted() -> None:
    handle, mechanism = made()
    await mechanism.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c1"}]}})
    assert mechanism.check(moving("c1", "c2")) == ""  # it has no node there: nothing is lost
    app = dict(handle.objects.get("MLSysOpsApp", "app") or {})
    app["status"] = {"components": [{"name": "web", "cluster": "c1", "node": "w1"}]}
    handle.objects.put(app)
    assert mechanism.check(moving("c1", "c2")) == "component_relocation is not among the permitted_actions of app"
    handle.objects.put({**app, "spec": {**app["spec"], "permitted_actions": ["component_relocation"]}})
    assert mechanism.check(moving("c1", "c2")) == ""


async def test_removal_is_no_way_around_that() -> None:
    handle, mechanism = made()
    removal = {"name": "app", "deployment_plan": {"web": [{"action": "remove", "host": "c1"}]}}
    await mechanism.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c1"}]}})
    assert mechanism.check(removal) == ""  # it has no node there: nothing is lost
    app = dict(handle.objects.get("MLSysOpsApp", "app") or {})
    app["status"] = {"components": [{"name": "web", "cluster": "c1", "node": "w1"}]}
    handle.objects.put(app)
    assert mechanism.check(removal) == "component_relocation is not among the permitted_actions of app"
    others = [item for item in app["spec"]["components"] if item["metadata"]["name"] != "web"]
    handle.objects.put({**app, "spec": {**app["spec"], "components": others}})
    assert mechanism.check(removal) == ""  # it is described no more
    handle.objects.put({**app, "spec": {**app["spec"], "permitted_actions": ["*"]}})
    assert mechanism.check(removal) == ""


async def test_a_plan_that_breaks_later_is_taken_back() -> None:
    handle, mechanism = made()
    await mechanism.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c1"}]}})
    plan = {
        "web": [{"action": "move", "src_host": "c1", "target_host": "c2"}],
        "db": [{"action": "deploy", "host": "c2"}],
    }
    outcome = await mechanism.apply({"name": "app", "deployment_plan": plan})
    assert clusters(handle) == {"web": "c2", "db": "c2"}
    assert outcome.undo is not None
    await mechanism.apply(outcome.undo)
    assert clusters(handle) == {"web": "c1"}
    again = await mechanism.apply({"name": "app", "deployment_plan": {"web": [{"action": "deploy", "host": "c1"}]}})
    assert again.undo is None
