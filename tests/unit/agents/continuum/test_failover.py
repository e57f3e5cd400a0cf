"""What leaves a cluster that is gone or refuses, when, and where to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_fakes import FakeObjects, FakeTelemetry
from mlsysops_agents.continuum.endpoints import endpoints_text
from mlsysops_agents.continuum.failover import Failover
from mlsysops_agents.continuum.reach import reachability
from mlsysops_agents.continuum.world import ContinuumWorld
from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.model import Application

NAME = "app"
BEGIN = 1_700_000_000.0


class HandClock:
    """Time that a test sets; ``skew`` is how much the clocks of others are ahead."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.skew = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - BEGIN

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def component(name: str, **more: Any) -> dict[str, Any]:
    needs = {"cpu": {"requests": "1"}, "memory": {"requests": "64Mi"}}
    return {"metadata": {"name": name}, "containers": [{"image": "x:1", "platform_requirements": needs}], **more}


class Continuum:
    """Two clusters of one node each, and an application."""

    def __init__(self, **application: Any) -> None:
        self.clock = HandClock()
        self.objects = FakeObjects()
        self.world = ContinuumWorld(
            AgentIdentity("continuum", "k"),
            self.objects,
            FakeTelemetry(),
            clock=self.clock,
            failover=Failover(gone_seconds=60, refusal_seconds=20, rest_seconds=300),
        )
        for cluster, node in (("c1", "n1"), ("c2", "n2")):
            self.put("MLSysOpsCluster", cluster, {"cluster_id": cluster, "nodes": [node]})
            hardware = {"cpu": {"cores": 4, "architecture": "amd64"}, "memory": 8, "disk": "100"}
            described = {
                "name": node,
                "continuum_layer": "edge",
                "cluster_id": cluster,
                "environment": {},
                "hardware": hardware,
            }
            self.put("MLSysOpsNode", node, described)
            self.ready(cluster, True)
        self.put(
            "MLSysOpsApp",
            NAME,
            {
                "name": NAME,
                "components": [component("a"), component("b")],
                "permitted_actions": ["component_relocation"],
                **application,
            },
        )

    def put(self, kind: str, name: str, spec: dict[str, Any] | None = None, **more: Any) -> None:
        obj = {"apiVersion": "mlsysops.eu/v1", "kind": kind, "metadata": {"name": name}, **more}
        self.objects.put(obj if spec is None else {**obj, "spec": spec})

    def ready(self, cluster: str, ready: bool) -> None:
        item = {
            "type": "Ready",
            "status": str(ready),
            "lastTransitionTime": rfc3339(self.clock.time() + self.clock.skew),
        }
        self.put("Cluster", cluster, {}, status={"conditions": [{**item, "message": "no heartbeat"}]})
        self.world.leaving(NAME)  # the agent looks whenever one says something else

    def assign(self, **places: str) -> None:
        obj = dict(self.objects.stored["MLSysOpsApp", NAME])
        obj["metadata"] = {**obj["metadata"], "annotations": {"mlsysops.eu/component-clusters": json.dumps(places)}}
        self.objects.put(obj)

    def says(self, cluster: str, *waiting: str, reason: str = "NoFit") -> None:
        status = {
            "conditions": [
                {
                    "type": "Placed",
                    "status": "False",
                    "reason": reason,
                    "message": "0/1 nodes fit",
                    "lastTransitionTime": rfc3339(self.clock.time() + self.clock.skew),
                }
            ],
            "components": [{"name": name, "phase": "Pending"} for name in waiting],
        }
        self.put(
            "ResourceBinding",
            f"{NAME}-mlsysopsapp",
            {"resource": {"kind": "MLSysOpsApp", "name": NAME}},
            status={"aggregatedStatus": [{"clusterName": cluster, "status": status, "applied": True}]},
        )
        self.world.leaving(NAME)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    def places(self) -> dict[str, str]:
        return dict(self.world.place(NAME).assignments)


def test_a_short_silence_moves_nothing_a_long_one_moves_what_may() -> None:
    continuum = Continuum()
    continuum.assign(a="c1", b="c1")
    continuum.ready("c1", False)
    continuum.pass_time(59)
    assert continuum.places() == {"a": "c1", "b": "c1"}
    assert continuum.world.leaving(NAME).due is not None
    continuum.pass_time(2)
    assert continuum.world.leaving(NAME).components == {"a", "b"}
    assert continuum.places() == {"a": "c2", "b": "c2"}
    # Back again: what was moved stays where it is now.
    continuum.assign(a="c2", b="c2")
    continuum.ready("c1", True)
    assert continuum.places() == {"a": "c2", "b": "c2"}


def test_without_permission_or_another_place_components_stay_in_a_silent_cluster() -> None:
    forbidden = Continuum(permitted_actions=[])
    forbidden.assign(a="c1", b="c1")
    forbidden.ready("c1", False)
    forbidden.pass_time(1000)
    assert forbidden.places() == {"a": "c1", "b": "c1"}
    bound = Continuum(cluster_placement={"cluster_id": ["c1"]})
    bound.assign(a="c1", b="c1")
    bound.ready("c1", False)
    bound.pass_time(1000)
    assert bound.places() == {"a": "c1", "b": "c1"}


def test_what_is_bound_to_its_cluster_stays_and_the_rest_moves() -> None:
    continuum = Continuum(components=[component("a"), component("b", node_placement={"node": "n1"})])
    continuum.assign(a="c1", b="c1")
    continuum.ready("c1", False)
    continuum.pass_time(61)
    assert continuum.places() == {"a": "c2", "b": "c1"}


def test_a_cluster_that_refuses_is_left_after_a_while_and_not_asked_again_soon() -> None:
    continuum = Continuum()
    continuum.assign(a="c1", b="c1")
    continuum.says("c1", "a", "b")
    continuum.pass_time(10)
    assert continuum.places() == {"a": "c1", "b": "c1"}
    continuum.pass_time(11)
    found = continuum.world.place(NAME)
    assert dict(found.assignments) == {"a": "c2", "b": "c2"}
    assert [(item.candidate, item.filter) for item in found.rejected] == [("c1", "refused")]
    continuum.assign(a="c2", b="c2")
    continuum.says("c2", "a", "b")
    continuum.pass_time(21)
    # Both refuse: it waits where it is instead of going to and fro.
    assert continuum.places() == {"a": "c2", "b": "c2"}
    continuum.pass_time(300)
    assert continuum.places() == {"a": "c1", "b": "c1"}


def test_only_what_does_not_run_leaves_a_cluster_that_refuses() -> None:
    continuum = Continuum()
    continuum.assign(a="c1", b="c1")
    continuum.says("c1", "b")
    continuum.pass_time(21)
    assert continuum.places() == {"a": "c1", "b": "c2"}
    continuum.says("c1", "b", reason="Waiting")
    continuum.pass_time(400)
    assert continuum.places() == {"a": "c1", "b": "c1"}


PORTS = {"containers": [{"image": "x", "ports": [{"container_port": 80}]}]}
APART = {"a": "c1", "b": "c2"}


def word(status: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Reachable", "status": status, "message": "said so"}]}


@pytest.mark.parametrize(
    ("placed", "more", "kind", "said", "status", "reason"),
    [
        ({"a": "c1", "b": "c1"}, {}, "egress", {}, True, "SameCluster"),
        ({"a": "c1"}, {}, "egress", {}, True, "SameCluster"),
        (APART, {}, "egress", {}, False, "NoPorts"),
        (APART, {"external_access": True}, "egress", {}, None, "ByHostNetwork"),
        (APART, {"external_access": True}, "ingress", {}, False, "NoPorts"),
        (APART, PORTS, "egress", {}, None, "NotKnown"),
        (APART, PORTS, "egress", {"c1": word("Unknown"), "c2": word("True")}, None, "NotKnown"),
        (APART, PORTS, "egress", {"c1": word("False"), "c2": word("True")}, False, "NotReached"),
        (
            APART,
            PORTS,
            "egress",
            {"c1": word("True"), "c2": {"conditions": [{"type": "Ready"}]}},
            True,
            "AcrossClusters",
        ),
    ],
)
def test_whether_partners_reach_each_other_is_said(
    placed: dict[str, str], more: dict[str, Any], kind: str, said: dict[str, Any], status: bool | None, reason: str
) -> None:
    application = Application.model_validate(
        {
            "name": NAME,
            "components": [component("a"), {**component("b"), **more}],
            "component_interactions": [{"component_name1": "a", "type": kind, "component_name2": "b"}],
        }
    )
    found = reachability(application, placed, said)
    assert found[:2] == (status, reason)
    if reason != "SameCluster":
        assert "c1" in found[2]
        assert "c2" in found[2]
    if reason == "NotReached":
        assert "cluster c1: said so" in found[2]


def test_the_clusters_of_a_divided_application_are_told_where_its_components_are() -> None:
    application = Application.model_validate(
        {"name": NAME, "components": [component("a"), {**component("b"), **PORTS}]}
    )
    a, b = {"name": "a", "cluster": "c1", "address": "10.0.0.1"}, {"name": "b", "cluster": "c2", "address": "10.0.0.2"}
    assert endpoints_text(application, [a, {**b, "cluster": "c1"}]) is None
    assert json.loads(endpoints_text(application, [a, b]) or "") == {"b": {"cluster": "c2", "address": "10.0.0.2"}}
    assert json.loads(endpoints_text(application, [a, {**b, "address": None}]) or "") == {"b": {"cluster": "c2"}}
    assert endpoints_text(application, [a]) is None


def test_nothing_leaves_while_most_clusters_are_silent_at_once() -> None:
    continuum = Continuum()
    for name in ("c3", "c4", "c5"):
        continuum.ready(name, True)
    continuum.assign(a="c1", b="c1")
    continuum.pass_time(600)
    for name in ("c1", "c3", "c4"):
        continuum.ready(name, False)
    continuum.pass_time(600)
    leaving = continuum.world.leaving(NAME)
    assert leaving.components == frozenset()
    assert leaving.held == "3 of 5 clusters are silent at once"
    assert continuum.places() == {"a": "c1", "b": "c1"}
    # One is back, so that it is the others that are gone.
    continuum.ready("c4", True)
    assert continuum.world.leaving(NAME).components == {"a", "b"}
    assert continuum.places() == {"a": "c2", "b": "c2"}


def test_after_an_outage_of_the_continuum_every_cluster_has_time_to_come_back() -> None:
    continuum = Continuum()
    continuum.assign(a="c1", b="c1")
    continuum.pass_time(600)
    continuum.ready("c1", False)
    continuum.ready("c2", False)
    continuum.pass_time(3600)
    continuum.ready("c2", True)
    leaving = continuum.world.leaving(NAME)
    assert leaving.components == frozenset()
    assert leaving.due == continuum.clock.monotonic() + 60
    continuum.pass_time(61)
    assert continuum.world.leaving(NAME).components == {"a", "b"}


@pytest.mark.parametrize("skew", [-7200.0, -60.0, 60.0, 7200.0])
def test_patience_is_measured_by_the_own_clock(skew: float) -> None:
    continuum = Continuum()
    continuum.clock.skew = skew
    continuum.assign(a="c1", b="c1")
    continuum.says("c1", "a", "b")
    continuum.pass_time(19)
    assert continuum.world.leaving(NAME).components == frozenset()
    continuum.pass_time(2)
    assert continuum.world.leaving(NAME).components == {"a", "b"}
    continuum.says("c1", reason="Placed")
    continuum.ready("c1", False)
    continuum.pass_time(58)
    assert continuum.world.leaving(NAME).components == frozenset()
    continuum.pass_time(3)
    assert continuum.world.leaving(NAME).components == {"a", "b"}
