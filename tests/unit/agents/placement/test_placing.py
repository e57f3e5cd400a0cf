"""Placing whole applications: on nodes, on clusters, and what is told when nothing fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlsysops_agents.placement import (
    ClusterFacts,
    Resources,
    demands_of,
    first_objection,
    in_start_order,
    interactions_of,
    place,
    place_on_clusters,
)
from mlsysops_agents.placement.nodes import place_elsewhere

from .conftest import Things


def test_a_component_that_fits_nowhere_says_why_a_filter_at_a_time(things: Things) -> None:
    application = things.application(things.component("a", needs={"cpu": {"architecture": ["arm64"], "requests": "3"}}))
    nodes = [things.node("n1"), things.node("n2", used=Resources(cpu=2), hardware={"cpu": {"architecture": "arm64"}})]
    outcome = place(demands_of(application), nodes)
    assert outcome.unplaced == ("a",)
    assert outcome.explain["a"] == (
        "0/2 nodes fit: 1 removed by architecture (needs arm64, is amd64), 1 removed by cpu (needs 3 cores, 2 free)"
    )
    assert [(item.candidate, item.filter) for item in outcome.rejected] == [("n1", "architecture"), ("n2", "cpu")]
    assert place(demands_of(application), []).explain["a"] == "0/0 nodes fit: there are none"


def test_the_emptier_node_is_preferred(things: Things) -> None:
    nodes = [things.node("n1", used=Resources(cpu=3)), things.node("n2")]
    assert place(demands_of(things.application()), nodes).assignments == {"a": "n2"}


def test_what_runs_stays_where_it_still_fits(things: Things) -> None:
    nodes = [things.node("n1", used=Resources(cpu=3)), things.node("n2")]
    assert place(demands_of(things.application()), nodes, current={"a": "n1"}).assignments == {"a": "n1"}
    nodes[0] = things.node("n1", ready=False)
    assert place(demands_of(things.application()), nodes, current={"a": "n1"}).assignments == {"a": "n2"}


def test_room_is_taken_only_once(things: Things) -> None:
    components = [things.component(name, needs={"cpu": {"requests": "3"}}) for name in "abc"]
    outcome = place(demands_of(things.application(*components)), [things.node("n1"), things.node("n2")])
    assert sorted(outcome.assignments.values()) == ["n1", "n2"]
    assert outcome.unplaced == ("c",)
    assert "0/2 nodes fit: 2 removed by cpu (needs 3 cores, 1 free)" in outcome.explain["c"]


def test_the_choosy_component_goes_first(things: Things) -> None:
    easy = things.component("easy", needs={"cpu": {"requests": "3"}})
    choosy = things.component("zzz", needs={"cpu": {"requests": "3"}}, node_placement={"labels": ["only"]})
    nodes = [things.node("n1", labels=["only"]), things.node("n2", used=Resources(cpu=1))]
    outcome = place(demands_of(things.application(easy, choosy)), nodes)
    assert outcome.assignments == {"zzz": "n1", "easy": "n2"}


def test_members_of_single_node_share_a_node_and_override_their_own_placement(things: Things) -> None:
    components = [
        things.component("a", needs={"cpu": {"requests": "2"}}, node_placement={"labels": ["nowhere"]}),
        things.component("b", needs={"cpu": {"requests": "2"}}),
        things.component("c", needs={"cpu": {"requests": "1"}}),
    ]
    application = things.application(*components, single_node=[{"components": ["a", "b"], "continuum_layer": ["*"]}])
    outcome = place(demands_of(application), [things.node("n1", used=Resources(cpu=1)), things.node("n2")])
    assert outcome.assignments == {"a": "n2", "b": "n2", "c": "n1"}


def test_partners_are_drawn_together(things: Things) -> None:
    components = [things.component(name, needs={"cpu": {"requests": "100m"}}) for name in ("a", "b")]
    application = things.application(
        *components, component_interactions=[{"component_name1": "a", "type": "egress", "component_name2": "b"}]
    )
    nodes = [things.node("n1"), things.node("n2")]
    together = place(demands_of(application), nodes, interactions=interactions_of(application)).assignments
    assert len(set(together.values())) == 1
    apart = place(demands_of(application), nodes).assignments
    assert len(set(apart.values())) == 2


def test_elsewhere_is_never_the_present_node(things: Things) -> None:
    application = things.application()
    (demand,) = demands_of(application)
    nodes = [things.node("n1", used=Resources(cpu=3.4)), things.node("n2")]
    outcome = place_elsewhere(demand, nodes, present="n1", placed={"a": "n1"})
    assert outcome.assignments == {"a": "n2"}
    assert outcome.scores["a"]["n2"] > outcome.scores["a"]["n1"]
    assert place_elsewhere(demand, nodes[:1], present="n1", placed={"a": "n1"}).assignments == {}


def test_start_order_follows_depends_on(things: Things) -> None:
    components = [
        things.component("web", depends_on=["api"]),
        things.component("api", depends_on=["db"]),
        things.component("db"),
    ]
    assert in_start_order(things.application(*components)) == ["db", "api", "web"]


def test_an_application_stays_together_where_a_cluster_can_host_it(things: Things) -> None:
    application = things.application(
        things.component("a"), things.component("b", needs={"cpu": {"architecture": ["arm64"]}})
    )
    arm = {"hardware": {"cpu": {"architecture": "arm64"}}}
    small = ClusterFacts("big", (things.node("n1"), things.node("n2")))
    both = ClusterFacts("both", (things.node("n3"), things.node("n4", **arm)))
    outcome = place_on_clusters(application, [small, both])
    assert outcome.assignments == {"a": "both", "b": "both"}
    assert outcome.rejected[0].candidate == "big"
    assert "removed by architecture" in outcome.rejected[0].reason


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"power": {"max_consumption": {"value": 50}}}, {"power": {"max_consumption": {"value": 5}}}),
        ({"power": {"target": {"co2_emission": {"value": 9}}}}, {"power": {"target": {"co2_emission": {"value": 1}}}}),
        ({"labels": ["mlsysops.eu/cost=9"]}, {"labels": ["mlsysops.eu/cost=1"]}),
        ({"labels": ["mlsysops.eu/trust=0.1"]}, {"labels": ["mlsysops.eu/trust=0.9"]}),
        (
            {"hardware": {"cpu": {"performance_indicator": 10}}},
            {"hardware": {"cpu": {"performance_indicator": 90}}},
        ),
        ({"mobile": True}, {}),
    ],
)
def test_clusters_are_compared_by_what_their_nodes_cost(
    things: Things, worse: dict[str, Any], better: dict[str, Any]
) -> None:
    metric = {"application_metric_id": "m", "target": 1, "relation": "lower_than"}
    wanted = things.component("a", data_criticality="high", qos_metrics=[metric])
    clusters = [
        ClusterFacts("c1", (things.node("n1", cluster_id="c1", **worse),)),
        ClusterFacts("c2", (things.node("n1", cluster_id="c2", **better),)),
    ]
    for order in (clusters, clusters[::-1]):
        assert place_on_clusters(things.application(wanted), order).assignments == {"a": "c2"}


def test_an_application_is_divided_where_no_cluster_can_host_all_of_it(things: Things) -> None:
    application = things.application(
        things.component("a", node_placement={"node": "n1"}),
        things.component("b", needs={"cpu": {"architecture": ["arm64"]}}),
    )
    clusters = [
        ClusterFacts("c1", (things.node("n1"),)),
        ClusterFacts("c2", (things.node("n2", hardware={"cpu": {"architecture": "arm64"}}),)),
    ]
    assert place_on_clusters(application, clusters).assignments == {"a": "c1", "b": "c2"}


def test_clusters_are_removed_by_name_and_reason(things: Things) -> None:
    application = things.application(
        things.component("a", needs={"cpu": {"architecture": ["arm64"]}}),
        cluster_placement={"cluster_id": ["c1", "c3"]},
    )
    clusters = [
        ClusterFacts("c1", (things.node("n1"),)),
        ClusterFacts("c2", (things.node("n2"),)),
        ClusterFacts("c3", (things.node("n3"),), ready=False, not_ready="no heartbeat"),
    ]
    outcome = place_on_clusters(application, clusters)
    assert outcome.assignments == {}
    assert outcome.explain["a"] == (
        "0/3 clusters fit: 1 removed by cluster (needs c1 or c3), 1 removed by ready (no heartbeat), 1 removed by"
        " architecture (c1: 0/1 nodes fit: 1 removed by architecture (needs arm64, is amd64))"
    )


def test_accelerators_and_node_types_are_those_of_some_node(things: Things) -> None:
    application = things.application(cluster_placement={"accelerators": ["gpu"], "node_types": ["cloud"]})
    gpu = things.node("n1", hardware={"gpu": {"model": "k80"}})
    cloud = things.node("n2", continuum_layer="cloud")
    clusters = [ClusterFacts("c1", (gpu,)), ClusterFacts("c2", (cloud,)), ClusterFacts("c3", (gpu, cloud))]
    outcome = place_on_clusters(application, clusters)
    assert outcome.assignments == {"a": "c3"}
    assert {item.candidate: item.filter for item in outcome.rejected} == {"c1": "node_types", "c2": "accelerators"}


def test_an_application_stays_in_its_cluster(things: Things) -> None:
    clusters = [
        ClusterFacts("c1", (things.node("n1", used=Resources(cpu=4)),)),
        ClusterFacts("c2", (things.node("n2"),)),
    ]
    assert place_on_clusters(things.application(), clusters, current={"a": "c1"}).assignments == {"a": "c1"}
    assert place_on_clusters(things.application(), clusters).assignments == {"a": "c2"}


@settings(max_examples=60, deadline=None)
@given(
    needs=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 80)), min_size=1, max_size=12),
    sizes=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=5),
)
def test_nothing_is_overbooked_and_every_place_and_rejection_is_true(
    needs: list[tuple[int, int]], sizes: list[tuple[int, int]]
) -> None:
    things = Things()
    application = things.application(
        *(
            things.component(
                f"c{index}", needs={"cpu": {"requests": f"{cpu}00m"}, "memory": {"requests": f"{memory}00M"}}
            )
            for index, (cpu, memory) in enumerate(needs)
        )
    )
    nodes = [
        things.node(f"n{index}", hardware={"cpu": {"cores": cores}, "memory": memory})
        for index, (cores, memory) in enumerate(sizes)
    ]
    demands = demands_of(application)
    outcome = place(demands, nodes)
    assert outcome == place(demands, nodes)
    left = {node.name: Resources() for node in nodes}
    for demand in demands:
        host = outcome.assignments.get(demand.members[0])
        if host is not None:
            left[host] = left[host] + demand.resources
    for node in nodes:
        assert node.cpu is not None
        assert node.memory is not None
        assert left[node.name].cpu <= node.cpu + 1e-6
        assert left[node.name].memory <= node.memory
    for demand in demands:
        if demand.members[0] not in outcome.assignments:
            # Room that is left when all is done would have been room in its turn.
            assert all(first_objection(demand, node, left[node.name]) is not None for node in nodes)
