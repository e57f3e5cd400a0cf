"""Components in other clusters have a Service here that leads to where they are, and stays the same while they move."""

from __future__ import annotations

import json
from typing import Any

from agent_fakes import FakeHandle
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_agents.plugins.policies import DynamicPlacedComponents

NAME = "app"


class Divided:
    """An application of which ``web`` is here and ``db`` elsewhere, to begin with."""

    def __init__(self) -> None:
        self.handle = FakeHandle()
        self.objects = self.handle.objects
        self.fluidity = Fluidity(self.handle)
        self.handle.components = ["web"]
        self.says()

    def says(self, **endpoints: dict[str, str]) -> None:
        port = {"containers": [{"image": "x", "ports": [{"container_port": 5432}]}]}
        components = [
            {"metadata": {"name": "web"}, "containers": [{"image": "x"}]},
            {"metadata": {"name": "db"}, **port},
        ]
        annotations = {"mlsysops.eu/component-endpoints": json.dumps(endpoints)}
        self.objects.put(
            {
                "apiVersion": "mlsysops.eu/v1",
                "kind": "MLSysOpsApp",
                "metadata": {"name": NAME, "annotations": annotations},
                "spec": {"name": NAME, "components": components},
            }
        )

    async def act(self, **actions: dict[str, Any]) -> None:
        plan = {name: [action] for name, action in actions.items()}
        command = {"name": NAME, "deployment_plan": {"initial_plan": False, **plan}}
        assert self.fluidity.check(command) == ""
        assert (await self.fluidity.apply(command)).ok

    @property
    def disconnected(self) -> list[str]:
        return list(self.fluidity.get_state()["applications"][NAME]["disconnected"])

    @property
    def addresses(self) -> list[str]:
        found = self.objects.get("EndpointSlice", "db-elsewhere") or {}
        return [address for item in found.get("endpoints") or () for address in item["addresses"]]


async def test_the_service_is_there_before_anything_that_may_want_its_address() -> None:
    divided = Divided()
    await divided.act(web={"action": "deploy", "host": "n1"})
    kinds = [kind for _, kind, _ in divided.objects.writes]
    assert kinds.index("Service") < kinds.index("Deployment")
    service = divided.objects.get("Service", "db")
    assert service is not None
    assert "selector" not in service["spec"]
    assert divided.disconnected == []


async def test_addresses_follow_what_the_continuum_says() -> None:
    divided = Divided()
    await divided.act(web={"action": "deploy", "host": "n1"})
    divided.says(db={"cluster": "c2", "address": "10.0.0.7"})
    assert divided.disconnected == ["db"]
    policy = DynamicPlacedComponents(divided.handle)
    state = {"fluidity": {"state": divided.fluidity.get_state(), "options": {}}}
    apps = [{"name": NAME, "spec": divided.objects.stored["MLSysOpsApp", NAME]["spec"]}]
    needed, context = await policy.analyze(policy.initialize(), apps, {}, state, {}, None)
    assert needed
    plan, _ = await policy.plan(context, apps, {}, state, {}, None)
    assert plan["fluidity"]["deployment_plan"]["db"] == [{"action": "connect"}]
    await divided.fluidity.apply(plan["fluidity"])
    assert divided.addresses == ["10.0.0.7"]
    assert divided.disconnected == []
    needed, _ = await policy.analyze(
        policy.initialize(), apps, {}, {"fluidity": {"state": divided.fluidity.get_state(), "options": {}}}, {}, None
    )
    assert not needed
    # Not ready there: better no address than a wrong one.
    divided.says(db={"cluster": "c2"})
    await divided.act(db={"action": "connect"})
    assert divided.addresses == []


async def test_a_component_that_moves_between_clusters_keeps_its_service() -> None:
    divided = Divided()
    divided.says(db={"cluster": "c2", "address": "10.0.0.7"})
    await divided.act(web={"action": "deploy", "host": "n1"})
    divided.handle.components = ["web", "db"]
    await divided.act(db={"action": "deploy", "host": "n2"})
    service = divided.objects.get("Service", "db")
    assert service is not None
    assert service["spec"]["selector"]
    assert divided.objects.get("EndpointSlice", "db-elsewhere") is None
    divided.handle.components = ["web"]
    await divided.act(db={"action": "remove", "host": "n2"})
    assert divided.objects.get("Deployment", "app-db") is None
    service = divided.objects.get("Service", "db")
    assert service is not None
    assert "selector" not in service["spec"]
    assert divided.addresses == ["10.0.0.7"]
    # Nothing of the application is here any more: then nobody asks for it.
    divided.handle.components = []
    await divided.act(web={"action": "remove", "host": "n1"}, db={"action": "remove", "host": None})
    assert divided.objects.get("Service", "db") is None
    assert divided.addresses == []


async def test_only_what_is_elsewhere_can_be_connected() -> None:
    divided = Divided()
    command = {"name": NAME, "deployment_plan": {"web": [{"action": "connect"}]}}
    assert divided.fluidity.check(command) == "component web is in no other cluster"
