"""Agents that are killed at any instant of a relocation: every component ends on exactly one node.

MLS_CRASH_ROUNDS sets the number of relocations (200 for a night's run); MLS_CRASH_SEED repeats one run's instants.
"""

from __future__ import annotations

import asyncio
import copy
import os
import random
import signal
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes.resources import DEPLOYMENTS
from tiers_slice import MLSYSOPS_APPS, NAMESPACE, LocalSlice, eventually, pair_application

NAME = "test-application"
ROUNDS = int(os.environ.get("MLS_CRASH_ROUNDS", "4"))
SEED = int(os.environ.get("MLS_CRASH_SEED", "20261121"))
#: Longest time from the order to the kill; a relocation takes about that long.
SECONDS = 1.5


def pinned(node: str) -> dict[str, Any]:
    """The pair, both on one node by order of their owner."""
    description = copy.deepcopy(pair_application())
    for component in description["components"]:
        component["node_placement"] = {"node": node}
    return description


async def where(slice_: LocalSlice) -> dict[str, list[str]]:
    """Component to the nodes that its living pods are on; every Deployment must be there once."""
    found: dict[str, list[str]] = {}
    for item in (await slice_.member.list(DEPLOYMENTS, NAMESPACE))["items"]:
        found.setdefault(item["metadata"]["labels"]["mlsysops.eu/component"], [])
    for pod in (await slice_.pods()).values():
        component = pod["metadata"]["labels"].get("mlsysops.eu/component")
        if component and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            found.setdefault(component, []).append(str(pod["spec"].get("nodeName")))
    return found


@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_every_component_ends_on_exactly_one_node(local_slice: LocalSlice) -> None:
    chance = random.Random(SEED)
    nodes = list(local_slice.workers)
    await local_slice.deploy(pinned(nodes[0]))
    await local_slice.running(NAME)
    for number in range(1, ROUNDS + 1):
        target = nodes[number % 2]
        await local_slice.continuum.patch(
            MLSYSOPS_APPS, NAME, {"spec": {"components": pinned(target)["components"]}}, NAMESPACE
        )
        for victim in chance.sample(["server1-agent", "management-agent", f"{target}-agent"], chance.randint(1, 2)):
            await asyncio.sleep(chance.uniform(0, SECONDS))  # the instant of the kill is what the test draws
            process = local_slice.processes[victim]
            process.stop(signal.SIGKILL)
            process.start()

        async def settled(target: str = target) -> bool:
            status = await local_slice.status(NAME)
            there = {"server-app": [target], "client-app": [target]}
            return await where(local_slice) == there and status.get("phase") == "Running"

        await eventually(settled, seconds=60, what=f"round {number}: both on {target} alone")
    status = await local_slice.status(NAME)
    assert {item["node"] for item in status["components"]} == {nodes[ROUNDS % 2]}
    # What a killed agent had begun is told as interrupted, or was finished; nothing is left half told.
    outcomes = {item["outcome"].partition(":")[0] for item in status["decisions"]}
    assert outcomes <= {"executed", "interrupted", "stale", "superseded", "nothing done", "failed"}
