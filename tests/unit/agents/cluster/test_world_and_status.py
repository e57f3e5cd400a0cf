"""What a cluster agent knows and says, from objects in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from agent_fakes import FakeObjects, FakeTelemetry
from mlsysops_agents.cluster.handle import ClusterHandle
from mlsysops_agents.cluster.health import cluster_status
from mlsysops_agents.cluster.status import Evidence, application_status
from mlsysops_agents.cluster.world import ClusterWorld
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_agents.upper.told import is_urgent
from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.errors import Conflict

NOW = 1_700_000_000.0


def node(name: str, **spec: Any) -> dict[str, Any]:
    body = {
        "name": name,
        "continuum_layer": "edge",
        "cluster_id": "c1",
        "environment": {"node_type": "virtualized"},
        "hardware": {"cpu": {"architecture": "amd64", "cores": 2}, "memory": 4},
        **spec,
    }
    return {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsNode", "metadata": {"name": name}, "spec": body}


def kubernetes_node(name: str, ready: bool = True) -> dict[str, Any]:
    status = {"conditions": [{"type": "Ready", "status": str(ready), "message": "kubelet stopped"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def component(name: str, cpu: str = "1", **more: Any) -> dict[str, Any]:
    container = {"image": "x", "platform_requirements": {"cpu": {"requests": cpu}}}
    metric = {"application_metric_id": f"{name}_rate", "target": 10, "relation": "greater_or_equal"}
    return {"metadata": {"name": name}, "containers": [container], "qos_metrics": [metric], **more}


class Cluster:
    def __init__(self, objects: FakeObjects | None = None) -> None:
        self.objects = objects or FakeObjects()
        self.telemetry = FakeTelemetry()
        identity = AgentIdentity("cluster", "c1")
        self.world = ClusterWorld(identity, self.objects, self.telemetry)
        self.handle = ClusterHandle(identity, VirtualClock(), self.objects, self.telemetry, self.world)
        self.fluidity = Fluidity(self.handle)
        for name in ("n1", "n2"):
            self.objects.put(node(name))
            self.objects.put(kubernetes_node(name))

    def app(self, name: str, *components: dict[str, Any], clusters: dict[str, str] | None = None, **spec: Any) -> None:
        assigned = clusters or {item["metadata"]["name"]: "c1" for item in components}
        metadata = {"name": name, "annotations": {"mlsysops.eu/component-clusters": json.dumps(assigned)}}
        body = {"name": name, "components": list(components), **spec}
        self.objects.put({"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": metadata, "spec": body})

    async def deploy(self, app: str, **places: str) -> None:
        plan = {name: [{"action": "deploy", "host": host}] for name, host in places.items()}
        await self.fluidity.apply({"name": app, "deployment_plan": plan})

    def pod(self, app: str, name: str, host: str, *, ready: bool = True, **status: Any) -> None:
        labels = {"mlsysops.eu/app": app, "mlsysops.eu/component": name}
        state = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}], **status}
        pod = {"metadata": {"name": f"{app}-{name}-x", "labels": labels}, "spec": {"nodeName": host}, "status": state}
        self.objects.put({"apiVersion": "v1", "kind": "Pod", **pod})

    def status(self, app: str, before: dict[str, Any] | None = None, now: float = NOW) -> dict[str, Any]:
        obj = self.objects.get("MLSysOpsApp", app)
        assert obj is not None
        description = self.world.application(app)
        unplaced: dict[str, str] = {}
        if description is not None and len(self.world.placed(app)) < len(self.world.assigned(app)):
            outcome = self.world.place(app)
            unplaced = {name: outcome.explain[name] for name in outcome.unplaced}
        pods: dict[str, list[Any]] = {}
        for pod in self.objects.items("Pod"):
            pods.setdefault(pod["metadata"]["labels"]["mlsysops.eu/component"], []).append(pod)
        return application_status(
            Evidence(
                obj=obj,
                before=before or {},
                application=description,
                fault=self.world.descriptions.fault(obj),
                cluster="c1",
                assigned=self.world.assigned(app),
                deployments={
                    item["metadata"]["labels"]["mlsysops.eu/component"]: item for item in self.world.deployments(app)
                },
                pods=pods,
                nodes=self.world.placed(app),
                unplaced=unplaced,
                unfit={},
                telemetry=self.telemetry,
                decisions=[],
                now=now,
            )
        )


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


async def test_what_is_deployed_is_in_use_and_what_is_placed_stays() -> None:
    cluster = Cluster()
    cluster.app("first", component("a", "1500m"))
    await cluster.deploy("first", a="n1")
    cluster.app("second", component("b", "1"))
    assert cluster.world.place("second").assignments == {"b": "n2"}
    await cluster.deploy("second", b="n2")
    cluster.app("third", component("c", "1"))
    assert cluster.world.place("third").assignments == {"c": "n2"}
    assert cluster.world.place("first").assignments == {"a": "n1"}
    assert cluster.world.recheck("first") == {}  # its own use does not count against it
    cluster.app("fourth", component("d", "1600m"))
    outcome = cluster.world.place("fourth")
    assert outcome.explain["d"].startswith("0/2 nodes fit: 2 removed by cpu (needs 1.6 cores,")


async def test_only_components_of_this_cluster_are_its_business() -> None:
    cluster = Cluster()
    cluster.app("app", component("a"), component("b"), clusters={"a": "c1", "b": "elsewhere"})
    assert cluster.world.assigned("app") == ["a"]
    assert set(cluster.world.place("app").assignments) == {"a"}
    obj = cluster.objects.get("MLSysOpsApp", "app")
    assert obj is not None
    cluster.objects.put({**obj, "metadata": {**obj["metadata"], "annotations": {}}})
    assert cluster.world.assigned("app") == []
    cluster.world.forget(obj)
    assert cluster.world.assigned("app") == []


async def test_facts_of_nodes_follow_every_change_of_what_they_come_from() -> None:
    cluster = Cluster()
    cluster.app("app", component("a", "500m"))
    assert [facts.cpu for facts in cluster.world.facts()] == [2.0, 2.0]
    assert cluster.world.facts()[0] is cluster.world.facts()[0]
    cluster.objects.put(node("n1", hardware={"cpu": {"architecture": "amd64", "cores": 1}, "memory": 4}))
    assert [facts.cpu for facts in cluster.world.facts()] == [1.0, 2.0]
    cluster.objects.put(kubernetes_node("n2", ready=False))
    assert [facts.ready for facts in cluster.world.facts()] == [True, False]
    await cluster.fluidity.apply(
        {"name": "app", "deployment_plan": {"initial_plan": True, "a": [{"action": "deploy", "host": "n1"}]}}
    )
    assert [facts.used.cpu for facts in cluster.world.facts()] == [0.5, 0.0]
    cluster.app("app", component("a", "700m"))
    cluster.objects.put(kubernetes_node("n2"))
    await cluster.fluidity.apply({"name": "app", "deployment_plan": {"a": [{"action": "move", "target_host": "n2"}]}})
    assert [facts.used.cpu for facts in cluster.world.facts()] == [0.0, 0.7]
    assert [facts.used.cpu for facts in cluster.world.facts(without=[("app", "a")])] == [0.0, 0.0]
    await cluster.objects.delete("Deployment", "app-a")
    assert [facts.used.cpu for facts in cluster.world.facts()] == [0.0, 0.0]


async def test_a_node_that_fails_is_an_objection_and_another_is_found() -> None:
    cluster = Cluster()
    cluster.app("app", component("a"))
    await cluster.deploy("app", a="n1")
    cluster.objects.put(kubernetes_node("n1", ready=False))
    found = cluster.world.recheck("app")["a"]
    assert (found.candidate, found.filter, found.reason) == ("n1", "ready", "not ready: kubelet stopped")
    assert cluster.world.alternatives("app", "a").assignments == {"a": "n2"}
    cluster.objects.drop("MLSysOpsNode", "n1")
    assert cluster.world.recheck("app")["a"].reason == "is not a node of this cluster"


async def test_components_of_a_lost_node_are_not_all_sent_to_the_same_room() -> None:
    cluster = Cluster()
    cluster.app("app", component("a", "1500m"), component("b", "500m"), component("c", "1500m"))
    for name in ("n3", "n4"):
        cluster.objects.put(node(name))
        cluster.objects.put(kubernetes_node(name))
    big = node("big", hardware={"cpu": {"architecture": "amd64", "cores": 8}, "memory": 4})
    cluster.objects.put(big)
    cluster.objects.put(kubernetes_node("big"))
    await cluster.deploy("app", a="big", b="n2", c="big")
    cluster.objects.put(kubernetes_node("big", ready=False))
    places = [cluster.world.alternatives("app", name).assignments for name in ("a", "c")]
    assert [set(item) for item in places] == [{"a"}, {"c"}]
    assert places[0]["a"] != places[1]["c"]
    assert "big" not in {places[0]["a"], places[1]["c"]}


async def test_status_from_pending_to_running_to_degraded() -> None:
    cluster = Cluster()
    cluster.app("app", component("a"), component("b", depends_on=["a"]))
    status = cluster.status("app")
    assert status["phase"] == "Pending"
    assert conditions(status) == {
        "Ready": ("False", "NotRunning"),
        "Placed": ("False", "Waiting"),
        "TargetsMet": ("Unknown", "NoMetrics"),
    }
    assert status["components"][1]["message"] == "waits for a"
    await cluster.deploy("app", a="n1", b="n2")
    cluster.pod("app", "a", "n1")
    status = cluster.status("app", status)
    assert status["phase"] == "Deploying"
    assert [item["phase"] for item in status["components"]] == ["Running", "Deploying"]
    cluster.pod("app", "b", "n2", containerStatuses=[{"restartCount": 2}])
    cluster.telemetry.values = {("a_rate", "a"): 12.0, ("b_rate", "b"): 8.0}
    status = cluster.status("app", status, NOW + 60)
    assert status["phase"] == "Running"
    assert conditions(status) == {
        "Ready": ("True", "AllRunning"),
        "Placed": ("True", "Placed"),
        "TargetsMet": ("False", "TargetsMissed"),
    }
    assert status["components"][1] == {
        "name": "b",
        "cluster": "c1",
        "phase": "Running",
        "ready": True,
        "restarts": 2,
        "node": "n2",
        "pod": "app-b-x",
        "since": "2023-11-14T22:14:20Z",
    }
    assert [item["satisfied"] for item in status["performance"]] == [True, False]
    again = cluster.status("app", status, NOW + 120)
    assert again == status  # nothing happened: not even a time moves
    cluster.telemetry.values[("a_rate", "a")] = 13.0
    measured = cluster.status("app", status, NOW + 120)
    assert measured != status
    assert not is_urgent(status, measured)
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}
    cluster.pod("app", "b", "n2", ready=False, containerStatuses=[waiting])
    broken = cluster.status("app", status, NOW + 180)
    assert broken["phase"] == "Degraded"
    assert is_urgent(status, broken)
    assert conditions(broken)["Ready"] == ("False", "ComponentFailed")
    assert broken["components"][1]["message"] == "CrashLoopBackOff: back-off"


async def test_a_component_that_runs_in_name_only_says_so() -> None:
    cluster = Cluster()
    cluster.app("app", component("a"), clusters={"a": "c1"})
    await cluster.deploy("app", a="n1")
    told = {"type": "embedded.kubernetes.local/Simulated", "status": "True", "message": "no program stands behind a"}
    cluster.pod("app", "a", "n1", conditions=[{"type": "Ready", "status": "True"}, told])
    (found,) = cluster.status("app")["components"]
    assert (found["phase"], found["ready"], found["message"]) == ("Running", True, "no program stands behind a")


async def test_an_application_that_fits_nowhere_says_so() -> None:
    cluster = Cluster()
    cluster.app("app", component("a", "64"))
    status = cluster.status("app")
    assert status["phase"] == "Pending"
    placed = next(item for item in status["conditions"] if item["type"] == "Placed")
    assert (placed["status"], placed["reason"]) == ("False", "NoFit")
    assert placed["message"] == "0/2 nodes fit: 2 removed by cpu (needs 64 cores, 2 free)"


def test_an_application_that_does_not_validate_says_so() -> None:
    cluster = Cluster()
    cluster.app("app", component("a"), component("a"))
    status = cluster.status("app")
    assert status["phase"] == "Failed"
    assert conditions(status)["Ready"] == ("False", "Invalid")


def test_the_clusters_health() -> None:
    agents = [
        {"name": "c1", "tier": "cluster", "ready": True, "lastSeen": ""},
        {"name": "n1", "tier": "node", "ready": True, "lastSeen": ""},
    ]

    def made(**changes: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "generation": 1,
            "agents": agents,
            "wanted": ["n1"],
            "nodes": {"n1": True},
            "policies": [],
            "plugin_fault": "",
            "now": NOW,
        }
        return cluster_status({}, **(arguments | changes))

    assert conditions(made()) == {"Ready": ("True", "AllReady"), "PoliciesHealthy": ("True", "AllHealthy")}
    assert made()["nodes"] == {"total": 1, "ready": 1}
    silent = made(wanted=["n1", "n2"])
    assert conditions(silent)["Ready"] == ("False", "AgentSilent")
    assert "node agent n2 silent" in silent["conditions"][0]["message"]
    assert conditions(made(nodes={"n1": False}))["Ready"] == ("False", "NodeNotReady")
    open_circuit = [{"policy": "p", "asset": "application/a", "reason": "CircuitOpen", "message": "failed 3 times"}]
    assert conditions(made(policies=open_circuit))["PoliciesHealthy"] == ("False", "CircuitOpen")
    assert conditions(made(plugin_fault="policy x: broken"))["Ready"] == ("False", "PluginError")
    assert "ExactPlacement" not in conditions(made())
    inexact = made(placement_fault="OR-tools is not installed")
    assert conditions(inexact)["ExactPlacement"] == ("False", "SolverMissing")
    assert conditions(inexact)["Ready"] == ("True", "AllReady")


def test_what_found_its_place_is_not_looked_for_again_until_its_description_changes() -> None:
    cluster = Cluster()
    cluster.app("app", component("a", "500m"))
    assert not cluster.world.fits("app")
    cluster.world.place("app")
    assert cluster.world.fits("app")
    cluster.app("app", component("a", "5"))
    assert not cluster.world.fits("app")
    assert cluster.world.place("app").unplaced == ("a",)
    assert not cluster.world.fits("app")


class SlowObjects(FakeObjects):
    """Others go on while it writes."""

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await super().apply(obj, field_manager=field_manager)


async def test_several_who_are_sent_to_one_node_at_once_do_not_overbook_it() -> None:
    cluster = Cluster(SlowObjects())
    names = [f"a{number}" for number in range(5)]
    for name in names:
        cluster.app(name, component("web"))
    plan = {"web": [{"action": "deploy", "host": "n1"}]}
    commands = [{"name": name, "deployment_plan": plan} for name in names]
    assert [cluster.fluidity.check(command) for command in commands] == [""] * 5
    results = await asyncio.gather(*map(cluster.fluidity.apply, commands), return_exceptions=True)
    # Two cores, and each wants one.
    assert sum(not isinstance(result, BaseException) for result in results) == 2
    refused = [str(result) for result in results if isinstance(result, Conflict)]
    assert len(refused) == 3
    assert "web does not fit on n1: cpu" in refused[0]
    for name in names[:2]:
        again = await cluster.fluidity.apply({"name": name, "deployment_plan": plan})
        assert again.ok, "who is there already takes no more room"
    assert not cluster.fluidity._arrivals._locks
