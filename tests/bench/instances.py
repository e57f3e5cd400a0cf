"""Placement instances from a seed: mixed edge and cloud nodes with applications that talk, and one shaped like a real trace."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from mlsysops_agents.placement import Demand, NodeFacts, demands_of, interactions_of
from mlsysops_core.model import Application, Node

#: Components x nodes.
SIZES = (
    (20, 5),
    (30, 8),
    (40, 10),
    (50, 10),
    (60, 12),
    (80, 16),
    (100, 20),
    (120, 24),
    (140, 28),
    (160, 32),
    (180, 36),
    (200, 40),
)


@dataclass(frozen=True, slots=True)
class Instance:
    """What `place` and `build` take."""

    name: str
    demands: list[Demand]
    nodes: list[NodeFacts]
    interactions: list[tuple[str, str, float]]


def mixed(components: int, nodes: int, *, seed: int = 1, fill: float = 0.65, talk: float = 0.0) -> Instance:
    """Applications of three to six components on nodes of three sizes in several clusters; ``fill`` of the cores is wanted."""
    chance = random.Random(f"{components}x{nodes}/{seed}")
    sizes = [chance.choice((4, 8, 8, 16, 32)) for _ in range(nodes)]
    wanted = [chance.choice((0.25, 0.5, 0.5, 1.0, 1.0, 2.0, 3.0)) for _ in range(components)]
    scale = fill * sum(sizes) / sum(wanted)
    name = f"{components}x{nodes}" if not talk else f"{components}x{nodes} talking"
    return _instance(name, chance, sizes, [min(size * scale, 3.9) for size in wanted], talk)


def trace(components: int, nodes: int, *, seed: int = 1, fill: float = 0.6, talk: float = 0.0) -> Instance:
    """Shaped like a cluster trace: heavy-tailed sizes (most tiny, few huge) on many small nodes and a few big ones.

    The shape follows Reiss et al., "Heterogeneity and dynamicity of clouds at scale: Google trace analysis" (2012): a few
    machine shapes, one of them most of the machines; requests spread over orders of magnitude, log-normal with a long tail.
    """
    chance = random.Random(f"trace {components}x{nodes}/{seed}")
    sizes = [chance.choices((8, 16, 64), (0.55, 0.4, 0.05))[0] for _ in range(nodes)]
    wanted = [min(chance.lognormvariate(-1.0, 1.1), 12.0) for _ in range(components)]
    scale = fill * sum(sizes) / sum(wanted)
    return _instance(f"trace {components}x{nodes}", chance, sizes, [min(size * scale, 7.5) for size in wanted], talk)


def _instance(name: str, chance: random.Random, sizes: list[int], cores: list[float], talk: float) -> Instance:
    clusters = max(1, len(sizes) // 12)
    nodes = [_node(chance, number, size, number % clusters) for number, size in enumerate(sizes)]
    demands: list[Demand] = []
    interactions: list[tuple[str, str, float]] = []
    number = 0
    while number < len(cores):
        count = min(chance.randint(3, 6), len(cores) - number)
        application = _application(chance, f"app{number}", cores[number : number + count], talk)
        demands += demands_of(application, prefix=f"{application.name}/")
        interactions += interactions_of(application, prefix=f"{application.name}/")
        number += count
    return Instance(name, demands, nodes, interactions)


def _node(chance: random.Random, number: int, cores: int, cluster: int) -> NodeFacts:
    description: dict[str, Any] = {
        "name": f"n{number}",
        "continuum_layer": "cloud" if cores >= 32 else "edge",
        "cluster_id": f"c{cluster}",
        "datacenter_id": f"d{cluster}-{number % 2}",
        "labels": [
            f"zone-{number % 3}",
            f"mlsysops.eu/trust={chance.choice((0.4, 0.7, 1.0))}",
            f"mlsysops.eu/cost={round(chance.uniform(0.5, 2.0), 2)}",
        ],
        "environment": {"node_type": "virtualized", "os": "ubuntu", "container_runtime": ["containerd"]},
        "hardware": {
            "cpu": {
                "architecture": "arm64" if number % 5 == 4 else "amd64",
                "cores": cores,
                "performance_indicator": chance.choice((50, 75, 100)),
            },
            "memory": cores * 4,
            "disk": "500",
        },
        "power": {
            "max_consumption": {"value": cores * chance.randint(4, 15), "measurement_unit": "w"},
            "target": {"co2_emission": {"value": chance.choice((1, 2, 4)), "measurement_unit": "kt/kwh"}},
        },
    }
    return NodeFacts.gather(f"n{number}", description=Node.model_validate(description))


def _application(chance: random.Random, name: str, cores: list[float], talk: float) -> Application:
    components: list[dict[str, Any]] = []
    for number, size in enumerate(cores):
        component: dict[str, Any] = {
            "metadata": {"name": f"c{number}"},
            "containers": [
                {
                    "image": "x:1",
                    "platform_requirements": {
                        "cpu": {"requests": f"{max(1, int(size * 1000))}m"},
                        "memory": {"requests": f"{max(1, int(size * chance.uniform(1.0, 4.0) * 1000))}M"},
                    },
                }
            ],
        }
        if chance.random() < 0.15:
            component["node_placement"] = {"labels": [f"zone-{chance.randrange(3)}"]}
        if chance.random() < 0.3:
            component["data_criticality"] = chance.choice(("low", "medium", "high"))
        if chance.random() < 0.3:
            component["qos_metrics"] = [{"application_metric_id": f"m{number}", "target": 1, "relation": "lower_than"}]
        components.append(component)
    interactions = [
        {
            "component_name1": f"c{chance.randrange(number)}",
            "type": "egress",
            "component_name2": f"c{number}",
            "interaction_criticality": chance.choice(("low", "medium", "high")),
        }
        for number in range(1, len(cores))
        if chance.random() < talk
    ]
    return Application.model_validate({"name": name, "components": components, "component_interactions": interactions})


#: What is published: twelve sizes, one like a real trace, and four whose components talk.
INSTANCES = (
    *(mixed(components, nodes) for components, nodes in SIZES),
    trace(150, 30),
    *(mixed(components, nodes, talk=0.5) for components, nodes in (SIZES[0], SIZES[4], SIZES[8], SIZES[-1])),
)
