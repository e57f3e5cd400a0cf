"""CPU frequency on recorded machines: laptop, server and board."""

from __future__ import annotations

from typing import Any

import pytest
from machines import (
    CPUFREQ,
    Machine,
    acpi_cpufreq,
    amd_pstate,
    big_little,
    intel_pstate,
    read,
    snapshot,
    take_offline,
    write_tree,
)
from mlsysops_agents.plugins.mechanisms.node import CpuFrequency
from mlsysops_agents.plugins.mechanisms.node.knob import FileKnob
from mlsysops_core.errors import InvalidInput, Refused


def governor(machine: Machine, policy: int) -> str:
    return read(machine.root, f"{CPUFREQ}/policy{policy}/scaling_governor")


def limits(machine: Machine, policy: int) -> tuple[str, str]:
    directory = f"{CPUFREQ}/policy{policy}"
    return read(machine.root, f"{directory}/scaling_min_freq"), read(machine.root, f"{directory}/scaling_max_freq")


async def test_a_laptop_is_slowed_down_and_comes_back(machine: Machine) -> None:
    intel_pstate(machine.root)
    before = snapshot(machine.root)
    mechanism = CpuFrequency(machine.handle)

    outcome = await mechanism.apply(
        {"governor": "powersave", "max": "1.2GHz", "energy_performance_preference": "power", "boost": False}
    )

    assert outcome.ok
    assert limits(machine, 3) == ("400000", "1200000")
    assert read(machine.root, "sys/devices/system/cpu/intel_pstate/no_turbo") == "1"
    assert mechanism.get_state()["boost"] is False
    assert mechanism.get_state()["policies"]["policy0"]["max"] == 1_200_000_000
    assert mechanism.get_status()["held"][f"/{CPUFREQ}/policy0/scaling_max_freq"]["previous"] == "4200000"
    told = await mechanism.restore()
    assert len(told) == 4 + 4 + 1  # the governor was as wanted already
    assert snapshot(machine.root) == before
    assert mechanism.get_status()["held"] == {}


async def test_a_command_of_the_framework_sets_a_fixed_frequency(machine: Machine) -> None:
    acpi_cpufreq(machine.root)
    mechanism = CpuFrequency(machine.handle)

    await mechanism.apply({"command": "set", "cpu": "all", "frequency": "max"})
    assert limits(machine, 0) == ("2800000", "2800000")
    await mechanism.apply({"command": "set", "cpu": "2,3", "frequency": "1400000000 Hz"})
    assert (limits(machine, 0), limits(machine, 2)) == (("2800000", "2800000"), ("1400000", "1400000"))
    await mechanism.apply({"command": "reset"})
    assert limits(machine, 0) == limits(machine, 2) == ("1400000", "2800000")


async def test_the_userspace_governor_gets_a_speed(machine: Machine) -> None:
    acpi_cpufreq(machine.root)

    await CpuFrequency(machine.handle).apply({"cpus": 0, "governor": "userspace", "frequency": 2_100_000_000})

    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_setspeed") == "2100000"
    assert governor(machine, 2) == "schedutil"


async def test_big_cpus_alone(machine: Machine) -> None:
    big_little(machine.root)
    mechanism = CpuFrequency(machine.handle)

    assert mechanism.assets({"cpus": "6", "max": "max"}) == {"cpu_frequency/policy4"}
    await mechanism.apply({"cpus": "4-7", "governor": "performance", "min": "1008 MHz"})

    assert (governor(machine, 0), governor(machine, 4)) == ("schedutil", "performance")
    assert limits(machine, 4) == ("1008000", "1800000")
    assert mechanism.get_options()["policies"]["policy4"]["frequencies"] == [408_000_000, 1_008_000_000, 1_800_000_000]
    assert mechanism.get_options()["boost"] is False


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"govenor": "performance"}, "unknown key (did you mean governor?)"),
        ({"governor": "turbo"}, "policy0: governor: 'turbo' is not to be had, allowed: conservative, ondemand"),
        ({"max": "9GHz"}, "9000 MHz is out of range, 1400 to 2800 MHz is allowed"),
        ({"min": "max", "max": "min"}, "min 2.8GHz is above max 1.4GHz"),
        ({"frequency": "1.5GHz"}, "no step, allowed: 1.4GHz, 2.1GHz, 2.8GHz"),
        ({"frequency": "max", "max": "max"}, "min and max cannot be given beside it"),
        ({"cpus": "0-9", "max": "max"}, "no CPU 4, 5, 6, 7, 8, 9"),
        ({"cpus": "x", "max": "max"}, "'x' is no list of CPUs"),
        ({"energy_performance_preference": "power"}, "allowed: none"),
        ({}, "nothing to set"),
        ({"boost": "yes"}, "boost: Input should be a valid boolean"),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_touched(
    machine: Machine, command: dict[str, Any], says: str
) -> None:
    acpi_cpufreq(machine.root)
    before = snapshot(machine.root)
    mechanism = CpuFrequency(machine.handle)

    with pytest.raises(InvalidInput) as caught:
        await mechanism.apply(command)

    assert says in str(caught.value)
    assert snapshot(machine.root) == before
    assert not machine.state.exists()
    assert mechanism.assets(command)
    assert mechanism.check(command) == ""


async def test_a_dry_run_tells_paths_and_values_and_changes_nothing(machine: Machine) -> None:
    big_little(machine.root)
    machine.permit(node=())
    before = snapshot(machine.root)
    mechanism = CpuFrequency(machine.handle)
    told = [
        {"path": f"/{CPUFREQ}/policy4/scaling_max_freq", "from": "1800000", "to": "1008000"},
        {"path": f"/{CPUFREQ}/policy4/scaling_min_freq", "from": "408000", "to": "1008000"},
    ]

    assert mechanism.dry_run({"cpus": 4, "frequency": "1008MHz"}) == told
    outcome = await mechanism.apply({"cpus": 4, "frequency": "1008MHz", "dry_run": True})

    assert outcome.details["changes"] == told
    assert snapshot(machine.root) == before


async def test_a_machine_without_the_knob_says_so(machine: Machine) -> None:
    mechanism = CpuFrequency(machine.handle)

    assert "has no policies" in mechanism.get_options()["unavailable"]
    assert mechanism.get_state() == {}
    with pytest.raises(Refused, match=r"unavailable: .* has no policies"):
        await mechanism.apply({"governor": "performance"})


async def test_cpus_that_are_offline_are_left_out(machine: Machine) -> None:
    """Hyper-threads that are switched off, say."""
    intel_pstate(machine.root)
    take_offline(machine.root, 1)
    mechanism = CpuFrequency(machine.handle)
    assert list(mechanism.get_options()["policies"]) == ["policy0", "policy2", "policy3"]
    assert list(mechanism.get_state()["policies"]) == ["policy0", "policy2", "policy3"]

    await mechanism.apply({"governor": "performance"})

    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_governor") == "performance"
    with pytest.raises(InvalidInput, match="no CPU 1, allowed: 0-0, 2-2, 3-3"):
        await mechanism.apply({"cpus": 1, "governor": "performance"})
    for policy in (0, 2, 3):
        take_offline(machine.root, policy)
    assert "offline" in CpuFrequency(machine.handle).get_options()["unavailable"]


async def test_boost_of_some_cpus_where_they_have_switches_of_their_own(machine: Machine) -> None:
    amd_pstate(machine.root)
    before = snapshot(machine.root)
    mechanism = CpuFrequency(machine.handle)
    assert mechanism.get_options()["policies"]["policy0"]["boost"] is True
    assert mechanism.assets({"cpus": 1, "boost": False}) == {"cpu_frequency/policy1"}

    await mechanism.apply({"cpus": 1, "boost": False})
    assert [read(machine.root, f"{CPUFREQ}/policy{number}/boost") for number in (0, 1)] == ["1", "0"]
    await mechanism.apply({"boost": False})
    assert [read(machine.root, f"{CPUFREQ}/policy{number}/boost") for number in (0, 1)] == ["0", "0"]

    await mechanism.restore()
    assert snapshot(machine.root) == before


async def test_one_switch_for_all_is_taken_where_no_cpus_are_named(machine: Machine) -> None:
    amd_pstate(machine.root)
    write_tree(machine.root, {f"{CPUFREQ}/boost": 1})
    mechanism = CpuFrequency(machine.handle)
    assert mechanism.assets({"boost": False}) >= {"cpu_frequency/boost"}
    await mechanism.apply({"boost": False})
    assert read(machine.root, f"{CPUFREQ}/boost") == "0"
    assert read(machine.root, f"{CPUFREQ}/policy0/boost") == "1"  # the kernel's to turn


async def test_boost_comes_back_before_the_limits_that_it_moves(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """acpi-cpufreq sets every upper limit to the most there is when its switch is turned."""
    acpi_cpufreq(machine.root)
    write_tree(machine.root, {f"{CPUFREQ}/policy0/scaling_max_freq": 2100000})
    before = snapshot(machine.root)
    write = FileKnob.write

    def kernel(knob: FileKnob, value: str) -> None:
        write(knob, value)
        if knob.key.endswith("/cpufreq/boost"):
            for number in (0, 2):
                write(FileKnob(machine.root, f"/{CPUFREQ}/policy{number}/scaling_max_freq"), "2800000")

    monkeypatch.setattr(FileKnob, "write", kernel)
    mechanism = CpuFrequency(machine.handle)
    await mechanism.apply({"boost": False, "max": "1.4GHz"})
    assert read(machine.root, f"{CPUFREQ}/policy0/scaling_max_freq") == "1400000"
    await mechanism.restore()
    assert snapshot(machine.root) == before
