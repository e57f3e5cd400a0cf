"""An agent that lacks a right says which, keeps the rest going, and goes on by itself when it is granted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_CLUSTERS
from simulated_nodes import SimulatedNodes
from tiers_slice import NAMESPACE, RESOURCES, Object, eventually

pytestmark = pytest.mark.timeout(300)


class Rights(SimulatedNodes):
    """A cluster whose agent gets and loses rights."""

    def roles(self) -> list[Object]:
        """What the agent is given, as it is rendered."""
        names = [item for item in self.manifests("clusters/cluster1") if item["kind"] in ("Role", "ClusterRole")]
        return [item for item in names if item["metadata"]["name"] == "mlsysops-cluster-agent"]

    async def take(self, resource: str, *verbs: str) -> None:
        """Take verbs on a resource from the agent; without any, give it back what it should have."""
        for role in self.roles():
            rules = []
            for rule in role["rules"]:
                given = [verb for verb in rule["verbs"] if resource not in rule["resources"] or verb not in verbs]
                rules += [{**rule, "verbs": given}] if given else []
            await self.apply(self.member, {**role, "rules": rules})

    async def conditions(self) -> dict[str, Object]:
        status = (await self.member.get(MLSYSOPS_CLUSTERS, "cluster1", NAMESPACE)).get("status") or {}
        return {item["type"]: item for item in status.get("conditions") or ()}

    async def says_missing(self, words: str) -> bool:
        conditions = await self.conditions()
        told = conditions.get("Permitted", {"status": "True", "message": ""})
        ready = conditions.get("Ready", {"reason": ""})
        return told["status"] == "False" and words in told["message"] and ready["reason"] == "Forbidden"

    async def says_nothing_missing(self) -> bool:
        conditions = await self.conditions()
        return "Ready" in conditions and "Permitted" not in conditions

    async def ask_for(self, name: str) -> None:
        needs = {"cpu": {"requests": "1"}, "memory": {"requests": "64Mi"}}
        component = {"metadata": {"name": "web"}, "containers": [{"image": "x:1", "platform_requirements": needs}]}
        annotations = {"mlsysops.eu/component-clusters": '{"web": "cluster1"}'}
        await self.describe("MLSysOpsApp", name, {"name": name, "components": [component]}, annotations=annotations)

    async def is_placed(self, name: str) -> bool:
        return name in await self.places()


@pytest.fixture
async def rights(tmp_path: Path) -> AsyncIterator[Rights]:
    made = Rights(tmp_path, 2)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def test_an_agent_says_which_right_it_lacks_and_goes_on_when_it_has_it(rights: Rights) -> None:
    assert rights.roles()
    assert RESOURCES  # what the roles are written with

    # At the start: without the whole picture it decides nothing, and says why.
    await rights.take("endpointslices", "list", "watch", "get")
    rights.start_cluster_agent()
    await rights.ask_for("first")
    await eventually(lambda: rights.says_missing('list resource "endpointslices"'), seconds=90, what="it says so")
    assert not await rights.is_placed("first")
    await rights.take("endpointslices")
    await eventually(lambda: rights.is_placed("first"), seconds=120, what="it goes on")
    await eventually(rights.says_nothing_missing, seconds=90, what="nothing is missing")

    # Later: what needs the right waits, all else goes on.
    await rights.take("deployments", "create", "patch")
    await rights.ask_for("second")
    await eventually(lambda: rights.says_missing('"deployments"'), seconds=90, what="it says so")
    await rights.say(rights.nodes[:1], "Unknown")
    await eventually(lambda: rights.seen_ready(1), seconds=90, what="it looks after its nodes")
    assert not await rights.is_placed("second")
    await rights.take("deployments")
    await eventually(lambda: rights.is_placed("second"), seconds=120, what="it goes on")
    await eventually(rights.says_nothing_missing, seconds=90, what="nothing is missing")
    assert "may not" in (rights.directory / "server1-agent.log").read_text()
