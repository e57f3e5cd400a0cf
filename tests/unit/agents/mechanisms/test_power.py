"""Power caps on recorded machines: packages, their twins, the platform, and what the hardware makes of a value."""

from __future__ import annotations

from typing import Any

import pytest
from machines import Machine, rapl, read, snapshot, write_tree
from mlsysops_agents.plugins.mechanisms.node import PowerCap
from mlsysops_agents.plugins.mechanisms.node.knob import FileKnob
from mlsysops_core.errors import InvalidInput

ZONE_0 = "sys/class/powercap/intel-rapl:0"
ZONE_1 = "sys/class/powercap/intel-rapl:1"


async def test_all_packages_are_capped_and_come_back(machine: Machine) -> None:
    rapl(machine.root)
    before = snapshot(machine.root)
    mechanism = PowerCap(machine.handle)

    assert mechanism.assets({"watts": 65}) == {"set_power_cap/intel-rapl:0", "set_power_cap/intel-rapl:1"}
    await mechanism.apply({"watts": 65.5})

    for zone in (ZONE_0, ZONE_1):
        assert read(machine.root, f"{zone}/constraint_0_power_limit_uw") == "65500000"
        assert read(machine.root, f"{zone}/enabled") == "1"
    zones = mechanism.get_state()["zones"]
    assert list(zones) == ["intel-rapl:0", "intel-rapl:1"]  # cores below a package have no limits here
    assert zones["intel-rapl:0"]["limits"]["long_term"]["watts"] == 65.5
    await mechanism.restore()
    assert snapshot(machine.root) == before


async def test_one_limit_of_one_package(machine: Machine) -> None:
    rapl(machine.root)
    await PowerCap(machine.handle).apply(
        {"zone": "package-1", "constraint": "short_term", "watts": 300, "window": 0.01}
    )
    assert read(machine.root, f"{ZONE_1}/constraint_1_power_limit_uw") == "300000000"
    assert read(machine.root, f"{ZONE_1}/constraint_1_time_window_us") == "10000"
    assert read(machine.root, f"{ZONE_0}/constraint_1_power_limit_uw") == "150000000"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"watts": 126}, "126 W is out of range, 0.125 to 125 W is allowed"),
        ({"watts": 0}, "0 W is out of range"),
        ({"zone": "dram", "watts": 5}, "'dram' is not to be had, allowed: intel-rapl:0, intel-rapl:1"),
        ({"zone": "package-0", "constraint": "peak", "watts": 5}, "allowed: long_term, short_term"),
        ({"constraint": "peak", "watts": 5}, "no zone has a limit 'peak'"),
        ({"watt": 5}, "did you mean watts?"),
        ({"constraint": "short_term", "watts": float("inf")}, "inf W is out of range, 0.125 to 4095.88 W is allowed"),
        ({"watts": float("nan")}, "out of range"),
        ({"window": float("inf")}, "inf s is out of range"),
        ({"window": 0.0001}, "0.0001 s is out of range"),
        ({}, "nothing to set"),
    ],
)
async def test_caps_that_are_wrong(machine: Machine, command: dict[str, Any], says: str) -> None:
    rapl(machine.root)
    with pytest.raises(InvalidInput) as caught:
        await PowerCap(machine.handle).apply(command)
    assert says in str(caught.value)


async def test_all_packages_are_not_the_whole_platform(machine: Machine) -> None:
    """A laptop: its zone ``psys`` has the display in it, and a twin of the package is reached by another way."""
    rapl(machine.root)
    for zone, name in (("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0")):
        directory = f"sys/class/powercap/{zone}"
        files = {"name": name, "enabled": 1, "constraint_0_name": "long_term", "constraint_0_power_limit_uw": 90000000}
        write_tree(machine.root, {f"{directory}/{file}": value for file, value in files.items()})
    mechanism = PowerCap(machine.handle)
    assert mechanism.assets({"watts": 65}) == {
        f"set_power_cap/{zone}" for zone in ("intel-rapl:0", "intel-rapl:1", "intel-rapl-mmio:0")
    }
    # By its name a package is the CPU's own zone, the platform can be named, too.
    assert mechanism.assets({"zone": "package-0", "watts": 65}) == {"set_power_cap/intel-rapl:0"}
    assert mechanism.assets({"zone": "psys", "watts": 65}) == {"set_power_cap/intel-rapl:2"}


async def test_windows_and_limits_as_the_hardware_keeps_them(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is rounded down to (1 + f/4) * 2^y units of 1/1024 s, a limit to 1/8 W."""
    rapl(machine.root)
    before = snapshot(machine.root)
    write = FileKnob.write

    def kernel(knob: FileKnob, value: str) -> None:
        number = int(value)
        if knob.key.endswith("_time_window_us"):
            units = number * 1024 // 1_000_000
            exponent = units.bit_length() - 1
            fraction = 4 * (units - (1 << exponent)) // (1 << exponent)
            number = (4 + fraction) * (1 << exponent) * 1_000_000 // 4 // 1024
        elif knob.key.endswith("_power_limit_uw"):
            number -= number % 125_000
        write(knob, str(number))

    mechanism = PowerCap(machine.handle)
    for window in (0.001, 0.00245, 1, 1.2499, 9.99, 27.9, 1000):
        with monkeypatch.context() as patched:
            patched.setattr(FileKnob, "write", kernel)
            await mechanism.apply({"zone": "package-0", "watts": 65.3, "window": window})
        assert read(machine.root, f"{ZONE_0}/constraint_0_power_limit_uw") == "65250000"
        await mechanism.restore()
        assert snapshot(machine.root) == before


async def test_no_power_zones(machine: Machine) -> None:
    assert "has no zones with limits" in PowerCap(machine.handle).get_options()["unavailable"]
