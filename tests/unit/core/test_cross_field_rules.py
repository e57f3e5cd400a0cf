"""Rules that reach over several fields of a description."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_core.model import rules
from mlsysops_core.model.common import Problem


def app(**fields: Any) -> dict[str, Any]:
    metric = {"application_metric_id": "m1", "target": 1, "relation": "equal"}
    components = [
        {"metadata": {"name": "a"}, "containers": [{"image": "i"}], "qos_metrics": [metric]},
        {"metadata": {"name": "b"}, "containers": [{"image": "i"}]},
        {"metadata": {"name": "c"}, "containers": [{"image": "i"}]},
    ]
    return {"name": "app", "components": components, **fields}


def with_component(**fields: Any) -> dict[str, Any]:
    data = app()
    data["components"][0] |= fields
    return data


def with_container(**fields: Any) -> dict[str, Any]:
    return with_component(containers=[{"image": "i", **fields}])


def weights(*pairs: tuple[str, float]) -> dict[str, Any]:
    return app(global_satisfaction={"achievement_weights": [{"metric_id": m, "weight": w} for m, w in pairs]})


def found(data: Any) -> list[Problem]:
    return list(rules.application(data))


@pytest.mark.parametrize(
    "data",
    [
        app(),
        weights(("m1", 1)),
        weights(("m1", 0.9995)),
        with_component(depends_on=["b", "c"]),
        with_container(ports=[{"container_port": 53, "protocol": "TCP"}, {"container_port": 53, "protocol": "UDP"}]),
        with_container(platform_requirements={"cpu": {"requests": "500m", "limits": 0.5}}),
        app(single_node=[{"components": ["a", "b"]}]),
        with_component(node_placement={"scaling": {"scaling_mode": "manual", "instances": 1}}),
    ],
)
def test_what_is_right_passes(data: Any) -> None:
    assert found(data) == []


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (weights(("m1", 0.5)), ("global_satisfaction", "achievement_weights"), "sum to 0.5"),
        (weights(("m2", 1)), ("global_satisfaction", "achievement_weights", 0, "metric_id"), "no metric 'm2'"),
        (weights(("m1", 0.5), ("m1", 0.5)), ("global_satisfaction", "achievement_weights", 1, "metric_id"), "weighted twice"),
        (app(component_interactions=[{"component_name1": "a", "component_name2": "z"}]), ("component_interactions", 0, "component_name2"), "no component 'z'"),
        (
            app(component_interactions=[{"interaction_metrics": [{"system_metric_id": "latency", "measurement_unit": "Mbps"}]}]),
            ("component_interactions", 0, "interaction_metrics", 0, "measurement_unit"),
            "latency is not measured in Mbps",
        ),
        (with_component(depends_on=["z"]), ("components", 0, "depends_on", 0), "no component 'z'"),
        (with_component(depends_on=["a"]), ("components", 0, "depends_on", 0), "a -> a"),
        (with_component(metadata={"name": "b"}), ("components", 1, "metadata", "name"), "'b' is there twice"),
        (with_component(qos_metrics=[{"application_metric_id": "x", "target": 1}]), ("components", 0, "qos_metrics", 0), "relation is missing"),
        (with_component(sensors=[{"instances": 1}]), ("components", 0, "sensors", 0), "names no sensor"),
        (
            with_component(sensors=[{"temperature": {"measurement_min": 9, "measurement_max": 1}}]),
            ("components", 0, "sensors", 0, "temperature", "measurement_min"),
            "is above",
        ),
        (with_component(node_placement={"scaling": {"scaling_mode": "manual"}}), ("components", 0, "node_placement", "scaling"), "needs instances"),
        (with_component(node_placement={"scaling": {"scaling_mode": "manual", "instances": 0}}), ("components", 0, "node_placement", "scaling"), "needs instances"),
        (app(single_node=[{"components": ["z"]}]), ("single_node", 0, "components", 0), "no component 'z'"),
        (app(single_node=[{"components": ["a"]}, {"components": ["a"]}]), ("single_node", 1, "components", 0), "in single_node twice"),
        (
            with_container(platform_requirements={"memory": {"requests": "1Gi", "limits": "512Mi"}}),
            ("components", 0, "containers", 0, "platform_requirements", "memory", "requests"),
            "above limits",
        ),
        (with_container(env=[{"name": "x"}, {"name": "x"}]), ("components", 0, "containers", 0, "env", 1, "name"), "'x' is there twice"),
        (with_container(env=[{"name": "x", "value": "", "value_from": {}}]), ("components", 0, "containers", 0, "env", 0), "exclude each other"),
        (
            with_container(ports=[{"container_port": 1, "name": "p"}, {"container_port": 2, "name": "p"}]),
            ("components", 0, "containers", 0, "ports", 1, "name"),
            "port name 'p' is there twice",
        ),
        (
            with_container(ports=[{"container_port": 1}, {"container_port": 1, "protocol": "TCP"}]),
            ("components", 0, "containers", 0, "ports", 1, "container_port"),
            "1/TCP is there twice",
        ),
        (
            with_component(host_network=True, containers=[{"ports": [{"container_port": 1, "host_port": 2}]}]),
            ("components", 0, "containers", 0, "ports", 0, "host_port"),
            "differs from container_port",
        ),
        (
            with_component(metadata={"name": "0x"}, containers=[{"ports": [{"container_port": 1}]}], qos_metrics=[]),
            ("components", 0, "metadata", "name"),
            "begins with a digit",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_where_it_stands(data: Any, path: tuple[str | int, ...], message: str) -> None:
    (problem,) = found(data)
    assert problem.path == path
    assert message in problem.message


def test_circles_of_dependencies() -> None:
    data = app()
    for here, there in (("a", "b"), ("b", "c"), ("c", "a")):
        next(c for c in data["components"] if c["metadata"]["name"] == here)["depends_on"] = [there]
    (problem,) = found(data)
    assert "a -> b -> c -> a" in problem.message
    assert problem.path == ("components", 2, "depends_on", 0)


def test_the_same_port_in_two_containers_of_a_component() -> None:
    ports = [{"container_port": 1}]
    assert "there twice" in found(with_component(containers=[{"ports": ports}, {"ports": ports}]))[0].message


@pytest.mark.parametrize("location", [[181, 0], [0, -91]])
def test_locations_are_on_earth(location: list[float]) -> None:
    (problem,) = rules.node({"location": location})
    assert "longitude, latitude" in problem.hint


def test_members_are_listed_once() -> None:
    (problem,) = rules.members({"nodes": ["a", "b", "a"]}, "nodes")
    assert problem.path == ("nodes", 2)


@pytest.mark.parametrize("junk", [None, 3, "text", [], {}, {"components": 3}, {"components": [None, 3, {"metadata": 3}]},
                                  {"components": [{"metadata": {"name": []}, "depends_on": [{}], "containers": [{"ports": [3]}]}],
                                   "single_node": [{"components": [[]]}], "global_satisfaction": {"achievement_weights": [3]}}])  # fmt: skip
def test_junk_is_passed_over(junk: Any) -> None:
    found(junk)
    list(rules.node(junk))
    list(rules.datacenter(junk))
