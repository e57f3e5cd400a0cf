"""The exact solver in a running agent: it finds better places beside the agent's work, and the components move there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES
from tiers_slice import NAMESPACE, LocalSlice, eventually, pair_application

NAME = "test-application"


async def label(local_slice: LocalSlice, costs: dict[str, float]) -> None:
    """Say what a core of each worker costs, and wait until the cluster has heard."""
    for worker, cost in costs.items():
        labels = {"spec": {"labels": [f"mlsysops.eu/cost={cost}"]}}
        await local_slice.continuum.patch(MLSYSOPS_NODES, worker, labels, NAMESPACE)

    async def told() -> bool:
        nodes = [await local_slice.member.get(MLSYSOPS_NODES, worker, NAMESPACE) for worker in costs]
        return [node["spec"].get("labels") for node in nodes] == [
            [f"mlsysops.eu/cost={cost}"] for cost in costs.values()
        ]

    await eventually(told, what="the cluster knows the costs")


def restart(local_slice: LocalSlice, **placement: Any) -> None:
    """Have the cluster's agent begin anew with settings of placement."""
    process = local_slice.processes["server1-agent"]
    process.stop()
    file = local_slice.config("server1", "agent")
    config = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**config, "placement": placement}))
    process.start()


async def places(local_slice: LocalSlice) -> dict[str, str]:
    """Node of each component that runs."""
    status = await local_slice.status(NAME)
    return {item["name"]: item["node"] for item in status.get("components") or () if item["ready"]}


async def test_components_move_to_better_places_that_were_found_beside(local_slice: LocalSlice) -> None:
    pytest.importorskip("ortools")
    weights = {"cost": 5.0, "stay": 0.5}
    restart(local_slice, weights=weights)
    await label(local_slice, {"worker1": 0.1, "worker2": 9.0})
    await local_slice.deploy(pair_application(permitted_actions=["component_relocation"]))
    await local_slice.running(NAME)
    assert await places(local_slice) == {"server-app": "worker1", "client-app": "worker1"}

    # Prices change while the agent is away. Without the solver nobody looks for anything better.
    local_slice.processes["server1-agent"].stop()
    await label(local_slice, {"worker1": 9.0, "worker2": 0.1})
    restart(local_slice, weights=weights, exact_seconds=10.0)

    async def moved() -> bool:
        return await places(local_slice) == {"server-app": "worker2", "client-app": "worker2"}

    await eventually(moved, seconds=120, what="both components are where they cost least")
    log = local_slice.processes["server1-agent"].log.read_text()
    assert "better places for 2 of test-application: the best" in log
    decisions = [
        item for item in (await local_slice.status(NAME))["decisions"] if item["policy"] == "relocateComponents"
    ]
    assert [item["outcome"].partition(":")[0] for item in decisions] == ["executed"]
    assert "better places were found" in decisions[0]["trigger"]
    await local_slice.running(NAME)
