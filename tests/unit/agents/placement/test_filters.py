"""Each filter by name: what passes, what does not, and what is said."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_agents.placement import FILTERS, NodeFacts, Resources, demands_of, first_objection

from .conftest import Things

CAMERA = {"camera": {"model": "d455", "camera_type": "rgb", "framerate": 30, "supported_resolutions": ["1024x768"]}}

#: filter, what the component asks for, what the node is like, reason
REMOVED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("node", {"node_placement": {"node": "n2"}}, {}, "needs node n2"),
    (
        "continuum_layer",
        {"node_placement": {"continuum_layer": ["cloud", "far_edge"]}},
        {},
        "needs cloud or far_edge, is edge",
    ),
    ("labels", {"node_placement": {"labels": ["gpu", "fast"]}}, {"labels": ["fast"]}, "lacks gpu"),
    ("mobile", {"node_placement": {"mobile": True}}, {}, "needs a mobile node"),
    ("mobile", {"node_placement": {"mobile": False}}, {"mobile": True}, "needs a stationary node"),
    ("sensors", {"sensors": [{"camera": {"model": "d455"}}]}, {}, "needs camera d455, has none"),
    (
        "sensors",
        {"sensors": [{"camera": {"model": "imx477"}}]},
        {"sensors": [CAMERA]},
        "needs camera imx477: camera is d455",
    ),
    (
        "sensors",
        {"sensors": [{"camera": {"minimum_framerate": 60}}]},
        {"sensors": [CAMERA]},
        "needs camera: camera's framerate is 30, not 60",
    ),
    (
        "sensors",
        {"sensors": [{"camera": {"resolution": "4056x3040"}}]},
        {"sensors": [CAMERA]},
        "needs camera: camera lacks 4056x3040",
    ),
    ("sensors", {"sensors": [{"camera": {}, "instances": 2}]}, {"sensors": [CAMERA]}, "needs camera, all are taken"),
    (
        "sensors",
        {"sensors": [{"temperature": {"measurement_max": 90}}]},
        {"sensors": [{"temperature": {"model": "sdc30"}}]},
        "needs temperature: temperature's measurement_max is unknown, not 90",
    ),
    ("node_type", {"node_type": "native"}, {}, "needs native, is virtualized"),
    ("node_type", {"node_type": "native"}, {"environment": {"node_type": None}}, "needs native, is unknown"),
    ("os", {"os": "kali"}, {}, "needs kali, is ubuntu"),
    ("os", {"os": "kali"}, {"environment": {"os": None}}, "needs kali, is unknown"),
    ("container_runtime", {"container_runtime": "docker"}, {}, "needs docker, has containerd"),
    ("runtime_class", {"runtime_class_name": "nvidia"}, {}, "needs nvidia, those of the node are unknown"),
    ("architecture", {"needs": {"cpu": {"architecture": ["arm64"]}}}, {}, "needs arm64, is amd64"),
    (
        "architecture",
        {"needs": {"cpu": {"architecture": ["arm64"]}}},
        {"hardware": {"cpu": {"architecture": None}}},
        "needs arm64, is unknown",
    ),
    ("cpu_frequency", {"needs": {"cpu": {"frequency": 3e9}}}, {}, "needs 3GHz, reaches 2.4GHz"),
    ("cpu_performance", {"needs": {"cpu": {"performance_indicator": 80}}}, {}, "needs 80 BogoMIPS, has 75"),
    ("cpu", {"needs": {"cpu": {"requests": "4500m"}}}, {}, "needs 4.5 cores, 4 free"),
    ("cpu", {"needs": {"cpu": {"requests": "1"}}}, {"hardware": {"cpu": {"cores": None}}}, "needs 1 core, is unknown"),
    ("memory", {"needs": {"memory": {"requests": "9G"}}}, {}, "needs 9 GB, 8 GB free"),
    ("memory", {"needs": {"memory": {"requests": "9G"}}}, {"hardware": {"memory": None}}, "needs 9 GB, is unknown"),
    ("disk", {"needs": {"disk": "120"}}, {}, "needs 120 GB, 100 GB free"),
    ("gpu", {"needs": {"gpu": {"model": "k80"}}}, {}, "needs a GPU, has none"),
    ("gpu", {"needs": {"gpu": {"model": "k80"}}}, {"hardware": {"gpu": {"model": "k40"}}}, "needs k80, is k40"),
    ("gpu", {"needs": {"gpu": {"requests": 2}}}, {"hardware": {"gpu": {"model": "k40"}}}, "needs 2 GPUs, 1 free"),
    ("fpga", {"needs": {"fpga": {"model": "zcu102"}}}, {}, "needs an FPGA, has none"),
    ("mcu", {"needs": {"mcu": {"flash": "1MB"}}}, {}, "needs an MCU, has none"),
]


@pytest.mark.parametrize(("name", "asks", "has", "reason"), REMOVED)
def test_a_node_is_removed_by_name_and_reason(
    things: Things, name: str, asks: dict[str, Any], has: dict[str, Any], reason: str
) -> None:
    (demand,) = demands_of(things.application(things.component(**asks)))
    assert first_objection(demand, things.node(**has)) == (name, reason)


FITS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"node_placement": {"node": "n1", "continuum_layer": ["*"], "labels": ["gpu"]}}, {"labels": ["gpu", "fast"]}),
    ({"node_placement": {"mobile": True}}, {"mobile": True}),
    ({"node_placement": {"mobile": False}}, {}),
    (
        {"sensors": [{"camera": {"model": "d455", "minimum_framerate": 20, "resolution": "1024x768"}}]},
        {"sensors": [CAMERA]},
    ),
    ({"sensors": [{"camera": {}, "instances": 2}]}, {"sensors": [{**CAMERA, "instances": 2}]}),
    ({"node_type": "virtualized", "os": "ubuntu", "container_runtime": "containerd"}, {}),
    ({"runtime_class_name": "default"}, {}),
    ({"runtime_class_name": "nvidia"}, {"labels": ["nvidia"]}),
    ({"needs": {"cpu": {"architecture": ["arm64", "amd64"], "frequency": 2.4e9, "performance_indicator": 75}}}, {}),
    ({"needs": {"cpu": {"requests": "4"}, "memory": {"requests": "8G"}, "disk": "100"}}, {}),
    (
        {"needs": {"gpu": {"model": "k80", "memory": 2, "performance_indicator": 30, "requests": 1}}},
        {"hardware": {"gpu": {"model": "k80", "memory": "4", "performance_indicator": 100}}},
    ),
]


@pytest.mark.parametrize(("asks", "has"), FITS)
def test_a_node_that_has_all_of_it_fits(things: Things, asks: dict[str, Any], has: dict[str, Any]) -> None:
    (demand,) = demands_of(things.application(things.component(**asks)))
    assert first_objection(demand, things.node(**has)) is None


def test_every_filter_is_tested_here() -> None:
    by_state = {"ready", "unschedulable", "taint"}  # the next test
    assert {name for name, *_ in REMOVED} | by_state == set(FILTERS)


def test_the_state_of_the_node_counts(things: Things) -> None:
    (demand,) = demands_of(things.application())
    assert first_objection(demand, things.node(ready=False)) == ("ready", "not ready: kubelet stopped")
    absent = NodeFacts.gather("n1", description=things.described(), must_have_joined=True)
    assert first_objection(demand, absent) == ("ready", "has not joined the cluster")
    node = {
        "metadata": {"name": "n1"},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    cordoned = NodeFacts.gather("n1", description=things.described(), kubernetes=node)
    assert first_objection(demand, cordoned) == ("unschedulable", "cordoned")
    node["spec"] = {
        "taints": [
            {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
            {"key": "x", "effect": "PreferNoSchedule"},
        ]
    }
    tainted = NodeFacts.gather("n1", description=things.described(), kubernetes=node)
    assert first_objection(demand, tainted) == ("taint", "tainted dedicated=db:NoSchedule")


def test_what_is_in_use_is_not_free(things: Things) -> None:
    (demand,) = demands_of(things.application(things.component(needs={"cpu": {"requests": "1"}})))
    assert first_objection(demand, things.node(used=Resources(cpu=3.0))) is None
    assert first_objection(demand, things.node(used=Resources(cpu=3.25))) == ("cpu", "needs 1 core, 0.75 free")


def test_kubernetes_fills_in_what_the_description_leaves_open(things: Things) -> None:
    node = {
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "50Gi"},
            "nodeInfo": {"architecture": "arm64", "osImage": "Ubuntu 24.04", "containerRuntimeVersion": "docker://27"},
            "runtimeHandlers": [{"name": ""}, {"name": "crun"}],
        },
    }
    bare = things.described(
        environment={"os": None, "container_runtime": []}, hardware={"cpu": None, "memory": None, "disk": None}
    )
    facts = NodeFacts.gather("n1", description=bare, kubernetes=node)
    assert (facts.architecture, facts.os, facts.container_runtimes) == ("arm64", "ubuntu", {"docker"})
    assert (facts.cpu, facts.memory, facts.disk) == (2.0, 4 * 2**30, 50 * 2**30)
    assert facts.runtime_classes == {"crun"}
    assert "zone=a" in facts.labels
    described = NodeFacts.gather("n1", description=things.described(), kubernetes=node)
    assert (described.architecture, described.cpu, described.disk) == ("amd64", 2.0, 100_000_000_000)
