"""Changes of a component's specification: asked for by its node, made by its cluster, taken back when nobody wants them."""

from __future__ import annotations

from typing import Any

import pytest
from agent_fakes import FakeHandle
from machines import NODE, WEB, Machine
from mlsysops_agents.node.status import NodeReport
from mlsysops_agents.plugins.mechanisms import Fluidity
from mlsysops_agents.plugins.mechanisms.node import (
    Acceleration,
    ContainerImage,
    ContainerResources,
    ContainerRuntimeClass,
)
from mlsysops_agents.plugins.policies import ComponentRequests
from mlsysops_core.errors import InvalidInput, Refused

COMPONENT = {"application": "shop", "component": "web"}


async def test_an_image_is_asked_for_and_taken_back(machine: Machine) -> None:
    mechanism = ContainerImage(machine.handle)
    assert mechanism.assets({**COMPONENT, "image": "registry/web:2"}) == {"application/shop/web"}

    await mechanism.apply({**COMPONENT, "image": "registry/web:2"})

    assert machine.handle.requests() == {
        "shop/web/0/image": {
            "application": "shop",
            "component": "web",
            "container": 0,
            "action": "change_container_image",
            "image": "registry/web:2",
        }
    }
    assert mechanism.get_state()["applications"]["shop"]["web"] == {
        "described": {"web": "registry/web:1"},
        "requested": {"0": "registry/web:2"},
    }
    await mechanism.restore()
    assert machine.handle.requests() == {}


async def test_requests_outlive_the_agent_in_the_status_of_its_node(machine: Machine) -> None:
    await ContainerImage(machine.handle).apply({**COMPONENT, "image": "registry/web:2"})
    report = NodeReport()
    assert report.requests(machine.handle.requests())
    assert not report.requests(machine.handle.requests())
    status = report.status(None)

    successor = Machine(machine.root, machine.state)
    successor.handle.remember(status["requests"])
    assert successor.handle.requests() == machine.handle.requests()
    assert NodeReport(status).status(None)["requests"] == status["requests"]
    await ContainerImage(successor.handle).restore()
    assert successor.handle.requests() == {}


@pytest.mark.parametrize(
    ("mechanism", "command", "says"),
    [
        (ContainerImage, {"image": ""}, "no name of an image"),
        (ContainerImage, {"image": "x", "container": "db"}, "container: db is not to be had, allowed: web"),
        (ContainerImage, {"imag": "x"}, "did you mean image?"),
        (ContainerRuntimeClass, {"runtime_class_name": "warp"}, "'warp' is not to be had, allowed: nvidia"),
        (ContainerResources, {"cpu": {"requests": "2"}}, "cpu: requests 2 is above limits 500m"),
        (ContainerResources, {"cpu": {"limit": "2"}}, "unknown key"),
        (ContainerResources, {"memory": {"limits": "lots"}}, "lots"),
        (ContainerResources, {}, "nothing to set"),
        (Acceleration, {"backend": "a b"}, "no vAccel plug-in"),
        (Acceleration, {"backend": "rpc"}, "with a remote_address"),
        (Acceleration, {"remote_address": "10.0.0.1"}, "allowed: tcp://HOST:PORT"),
    ],
)
async def test_what_would_not_be_valid_is_not_asked_for(
    machine: Machine, mechanism: Any, command: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await mechanism(machine.handle).apply({**COMPONENT, **command})
    assert says in str(caught.value)
    assert machine.handle.requests() == {}


async def test_nothing_is_asked_for_that_is_not_permitted(machine: Machine) -> None:
    machine.permit(node=(), application=("change_container_image",))
    with pytest.raises(Refused, match="of node w1"):
        await ContainerImage(machine.handle).apply({**COMPONENT, "image": "registry/web:2"})
    # For these only applications have a word.
    machine.permit(node=(), application=("change_container_runtime_class",))
    await ContainerRuntimeClass(machine.handle).apply({**COMPONENT, "runtime_class_name": "kata-fc"})


# -- the cluster's side -------------------------------------------------------------------------------------


class Cluster:
    """A cluster with one application on one node, policy and mechanism as its agent has them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.handle = FakeHandle("cluster", machine.objects)
        self.handle.components = ["web"]
        self.fluidity = Fluidity(self.handle)
        self.policy = ComponentRequests(self.handle)
        self.context = self.policy.initialize()

    async def deploy(self) -> None:
        plan = {"initial_plan": True, "web": [{"action": "deploy", "host": NODE}]}
        await self.fluidity.apply({"name": "shop", "deployment_plan": plan})

    async def turn(self) -> bool:
        """Let the node report and the policy look once; returns whether it made a plan."""
        report = NodeReport()
        report.requests(self.machine.handle.requests())
        self.machine.objects.stored[("MLSysOpsNode", NODE)]["status"] = report.status(None)
        owner = self.machine.objects.get("MLSysOpsApp", "shop")
        assert owner is not None
        arguments: Any = (
            [{"name": "shop", "spec": owner["spec"]}],
            {},
            {"fluidity": {"state": self.fluidity.get_state()}},
            {},
            None,
        )
        needed, self.context = await self.policy.analyze(self.context, *arguments)
        if not needed:
            return False
        plan, self.context = await self.policy.plan(self.context, *arguments)
        for command in plan.values():
            assert self.fluidity.check(command) == ""
            await self.fluidity.apply(command)
        return bool(plan)

    @property
    def container(self) -> dict[str, Any]:
        found = self.machine.objects.get("Deployment", "shop-web")
        assert found is not None
        return dict(found["spec"]["template"]["spec"]["containers"][0])


async def test_the_cluster_makes_what_is_asked_for_once_and_goes_back(machine: Machine) -> None:
    cluster = Cluster(machine)
    await cluster.deploy()
    before = cluster.container
    image, acceleration = ContainerImage(machine.handle), Acceleration(machine.handle)
    assert not await cluster.turn()

    await image.apply({**COMPONENT, "image": "registry/web:2"})
    await acceleration.apply({**COMPONENT, "remote_address": "tcp://192.0.2.7:8192"})
    await ContainerResources(machine.handle).apply({**COMPONENT, "cpu": {"limits": "2"}})
    assert await cluster.turn()
    assert not await cluster.turn()

    assert cluster.container["image"] == "registry/web:2"
    assert cluster.container["resources"]["limits"] == {"cpu": "2", "memory": "128Mi"}
    assert {item["name"]: item["value"] for item in cluster.container["env"]} == {
        "MODE": "fast",
        "VACCEL_PLUGINS": "libvaccel-rpc.so",
        "VACCEL_RPC_ADDRESS": "tcp://192.0.2.7:8192",
    }
    await image.restore()
    assert await cluster.turn()
    assert cluster.container["image"] == "registry/web:1"
    for mechanism in (acceleration, ContainerResources(machine.handle)):
        await mechanism.restore()
    assert await cluster.turn()
    assert cluster.container == before
    assert not await cluster.turn()


async def test_the_cluster_asks_both_descriptions_itself(machine: Machine) -> None:
    cluster = Cluster(machine)
    await cluster.deploy()
    machine.handle.request(
        "k", {"application": "shop", "component": "web", "action": "change_container_image", "image": "evil:1"}
    )
    machine.permit(node=(), application=("change_container_image",))
    assert not await cluster.turn()
    assert "not among the permitted_actions of node w1" in cluster.handle.told[0]
    assert not await cluster.turn()
    assert len(cluster.handle.told) == 1
    machine.permit(node=("change_container_image",), application=())
    assert not await cluster.turn()
    assert "of application shop" in cluster.handle.told[1]
    assert cluster.container["image"] == "registry/web:1"


@pytest.mark.parametrize(
    "change",
    [
        {"action": "acceleration", "image": "evil:1"},
        {"action": "acceleration", "environment": {"LD_PRELOAD": "/evil.so"}},
        {"action": "acceleration", "environment": {"VACCEL_PLUGINS": "x.so"}, "image": "evil:1"},
        {"action": "sudo", "image": "evil:1"},
        {"action": "acceleration"},
    ],
)
async def test_a_request_that_says_one_thing_and_does_another(machine: Machine, change: dict[str, Any]) -> None:
    cluster = Cluster(machine)
    await cluster.deploy()
    before = cluster.container
    machine.handle.request("k", {"application": "shop", "component": "web", **change})
    assert not await cluster.turn()
    assert cluster.container == before
    assert cluster.handle.told


async def test_what_another_policy_changed_stays(machine: Machine) -> None:
    cluster = Cluster(machine)
    await cluster.deploy()
    other = {"containers": [{**WEB["containers"][0], "image": "registry/web:small"}]}  # type: ignore[index]
    plan = {"web": [{"action": "change_spec", "new_spec": other, "host": NODE}]}
    await cluster.fluidity.apply({"name": "shop", "deployment_plan": plan})
    assert not await cluster.turn()
    assert cluster.container["image"] == "registry/web:small"


async def test_requests_of_a_node_that_does_not_host_the_component(machine: Machine) -> None:
    cluster = Cluster(machine)
    plan = {"web": [{"action": "deploy", "host": "w2"}]}
    await cluster.fluidity.apply({"name": "shop", "deployment_plan": plan})
    await ContainerImage(machine.handle).apply({**COMPONENT, "image": "registry/web:2"})
    assert not await cluster.turn()


@pytest.mark.parametrize(
    ("part", "permission"),
    [
        (
            {"env": [{"name": "VACCEL_PLUGINS", "value": "libvaccel-torch.so"}, {"name": "MODE", "value": "fast"}]},
            "acceleration",
        ),
        ({"env": [{"name": "MODE", "value": "slow"}]}, "*"),
        ({"command": ["sh"]}, "*"),
        ({"image": "registry/web:2"}, "change_container_image"),
    ],
)
async def test_every_change_of_a_specification_needs_its_permission(
    machine: Machine, part: dict[str, Any], permission: str
) -> None:
    cluster = Cluster(machine)
    await cluster.deploy()
    spec = {"containers": [{**WEB["containers"][0], **part}]}  # type: ignore[index]
    command = {"name": "shop", "deployment_plan": {"web": [{"action": "change_spec", "new_spec": spec, "host": NODE}]}}
    machine.permit(application=("component_relocation", "traffic_redirection"))
    assert "not among the permitted_actions of shop" in cluster.fluidity.check(command)
    machine.permit(application=(permission,))
    assert cluster.fluidity.check(command) == ""
