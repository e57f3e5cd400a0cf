"""The framework's ``fluidity_proxy`` on a node: a new specification becomes requests to the cluster, one a kind of change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from machines import Machine
from mlsysops_agents.plugins.mechanisms.node import CpuFrequency, FluidityProxy
from mlsysops_core.errors import InvalidInput, Refused
from mlsysops_core.knobs import Restorable
from mlsysops_core.plugins import load_mechanisms

WORDS = ("change_container_image", "change_container_runtime_class", "change_container_resource_requirements")


def described(machine: Machine) -> dict[str, Any]:
    owner = machine.objects.get("MLSysOpsApp", "shop")
    assert owner is not None
    return copy.deepcopy(owner["spec"]["components"][0])


def command(machine: Machine, host: str = "w1", **changes: Any) -> dict[str, Any]:
    """As policies write it: the description, with something changed."""
    component = described(machine)
    for key, value in changes.items():
        (component if key == "runtime_class_name" else component["containers"][0])[key] = value
    action = {"action": "change_spec", "new_spec": component, "host": host}
    return {"name": "shop", "deployment_plan": {"initial_plan": False, component["metadata"]["name"]: [action]}}


async def test_each_kind_of_change_is_asked_for_by_its_own_word(machine: Machine) -> None:
    machine.permit(node=WORDS, application=WORDS)
    proxy = FluidityProxy(machine.handle)
    needs = {"cpu": {"requests": "120m", "limits": "350m"}, "memory": {"requests": "50Mi", "limits": "300Mi"}}
    wanted = command(machine, image="registry/web:2", platform_requirements=needs, runtime_class_name="kata-fc")
    assert proxy.check(wanted) == ""
    assert proxy.assets(wanted) == {"application/shop/web"}
    outcome = await proxy.apply(wanted)
    assert outcome.ok
    asked = {key: request["action"] for key, request in machine.handle.requests().items()}
    assert asked == {
        "shop/web/0/image": "change_container_image",
        "shop/web/0/runtimeClassName": "change_container_runtime_class",
        "shop/web/0/resources": "change_container_resource_requirements",
    }
    assert machine.handle.requests()["shop/web/0/resources"]["resources"] == needs
    assert isinstance(proxy, Restorable)
    assert len(await proxy.restore()) == 3
    assert machine.handle.requests() == {}


async def test_nothing_new_asks_for_nothing(machine: Machine) -> None:
    machine.permit(node=WORDS, application=WORDS)
    assert (await FluidityProxy(machine.handle).apply(command(machine))).message == "all is as wanted already"
    assert machine.handle.requests() == {}


async def test_what_one_description_does_not_permit_stops_all_of_it(machine: Machine) -> None:
    machine.permit(node=WORDS, application=("change_container_image",))
    wanted = command(machine, image="registry/web:2", runtime_class_name="kata-fc")
    with pytest.raises(Refused, match="change_container_runtime_class is not among"):
        await FluidityProxy(machine.handle).apply(wanted)
    assert machine.handle.requests() == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"command": ["sh"]}, "web.containers.0.command cannot be changed from a node"),
        ({"platform_requirements": {"disk": "1Gi"}}, "platform_requirements.disk cannot be changed from a node"),
        ({"runtime_class_name": "warp"}, "runtime_class_name"),
    ],
)
async def test_what_a_node_may_not_change_is_refused(machine: Machine, changes: dict[str, Any], says: str) -> None:
    machine.permit(node=WORDS, application=WORDS)
    with pytest.raises(InvalidInput) as caught:
        await FluidityProxy(machine.handle).apply(command(machine, **changes))
    assert says in str(caught.value)


async def test_a_node_places_nothing_and_speaks_for_itself_alone(machine: Machine) -> None:
    proxy = FluidityProxy(machine.handle)
    move = {"name": "shop", "deployment_plan": {"web": [{"action": "move", "target_host": "w2", "src_host": "w1"}]}}
    with pytest.raises(InvalidInput, match="its cluster places components"):
        await proxy.apply(move)
    assert proxy.check(command(machine, host="w2")) == "component web is on w1, not on w2"
    assert proxy.get_state() == {"applications": {"shop": {"components": {"web": {"node_placed": "w1"}}}}}
    assert proxy.get_options()["actions"] == ["change_spec"]


async def test_a_mechanism_answers_to_the_framework_s_name_for_it(machine: Machine) -> None:
    found = {item.name: item.mechanism for item in load_mechanisms(machine.handle)}
    alias, own = found["CPUFrequencyConfigurator"], found["cpu_frequency"]
    assert isinstance(own, CpuFrequency)
    asked = {"command": "set", "cpu": "all", "frequency": "min"}
    assert alias.assets(asked) == own.assets(asked)
    assert alias.get_options() == own.get_options()
    assert not isinstance(alias, Restorable)  # or everything would be put back twice
