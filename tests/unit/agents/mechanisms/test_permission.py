"""Who permits what: absent means nothing, a star everything, and both descriptions where both have the word."""

from __future__ import annotations

from typing import Any

import pytest
from machines import CPUFREQ, Machine, acpi_cpufreq, cgroup_v2, read
from mlsysops_agents.plugins.mechanisms.node import ContainerCpuSet, CpuFrequency
from mlsysops_core.errors import MlsError, Refused
from mlsysops_core.permissions import APPLICATION_ACTIONS, NODE_ACTIONS, refusal

CPU_SET = {"application": "shop", "component": "web", "cpus": "0-1"}


def described(name: str, *actions: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"permitted_actions": list(actions)} if actions else {}}


@pytest.mark.parametrize("action", sorted(NODE_ACTIONS | APPLICATION_ACTIONS))
def test_every_word(action: str) -> None:
    concerned = [name for name, words in (("n", NODE_ACTIONS), ("a", APPLICATION_ACTIONS)) if action in words]
    for given in (action, "*"):
        assert refusal(action, node=described("n", given), application=described("a", given)) == ""
    for name in concerned:
        node = described("n") if name == "n" else described("n", action)
        application = described("a") if name == "a" else described("a", action)
        assert f"{action} is not among the permitted_actions of" in refusal(action, node=node, application=application)


def test_words_that_nobody_has_are_never_permitted() -> None:
    with pytest.raises(MlsError, match="no action"):
        refusal("overclock", node=described("n", "*"))
    with pytest.raises(MlsError, match="needs the description"):
        refusal("component_relocation", node=described("n", "*"))


@pytest.mark.parametrize(
    ("actions", "permitted"), [((), False), (("set_power_cap",), False), (("cpu_frequency",), True), (("*",), True)]
)
async def test_a_knob_of_the_node(machine: Machine, actions: tuple[str, ...], permitted: bool) -> None:
    acpi_cpufreq(machine.root)
    machine.permit(node=actions)
    apply = CpuFrequency(machine.handle).apply({"governor": "performance"})

    if permitted:
        await apply
    else:
        with pytest.raises(Refused, match="cpu_frequency is not among the permitted_actions of node w1"):
            await apply
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == ("performance" if permitted else "schedutil")


async def test_a_knob_of_a_component_needs_both(machine: Machine) -> None:
    group = cgroup_v2(machine.root)
    mechanism = ContainerCpuSet(machine.handle)
    machine.permit(node=("change_container_cpu_set",), application=())
    with pytest.raises(Refused, match="of application shop"):
        await mechanism.apply(CPU_SET)
    machine.permit(node=(), application=("change_container_cpu_set",))
    with pytest.raises(Refused, match="of node w1"):
        await mechanism.apply(CPU_SET)
    machine.permit(node=("change_container_cpu_set",))
    await mechanism.apply(CPU_SET)
    assert read(machine.root, f"{group}/cpuset.cpus") == "0-1"


async def test_a_node_without_description_permits_nothing(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    del machine.objects.stored[("MLSysOpsNode", "w1")]

    with pytest.raises(Refused, match="nothing is permitted"):
        await CpuFrequency(machine.handle).apply({"governor": "performance"})
