"""GPUs and FPGAs."""

from __future__ import annotations

from typing import Any

import pytest
from machines import Machine, read, write_tree
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.plugins.mechanisms.node import FpgaBitstream, GpuFrequency
from mlsysops_agents.plugins.mechanisms.node.knob import FileKnob
from mlsysops_core.errors import InvalidInput, MlsError, Refused

# -- GPU ----------------------------------------------------------------------------------------------------


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


class Nvml:
    """The functions of NVML that are used, over one card, with its rules: no hardware of that kind is to be had."""

    NVMLError = NVMLError
    NVML_ERROR_UNINITIALIZED = 1
    NVML_ERROR_INVALID_ARGUMENT = 2
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NO_PERMISSION = 4
    NVML_ERROR_NOT_FOUND = 6
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_ERROR_IN_USE = 19
    NVML_CLOCK_GRAPHICS = 0
    NVML_CLOCK_MEM = 2

    def __init__(self, gpus: int = 1, *, driver: bool = True) -> None:
        self.gpus = gpus
        self.driver = driver
        self.power = 250_000
        self.locked: dict[str, Any] = {}
        self.deny: set[str] = set()
        self.unsupported: set[str] = set()
        self.lost: set[int] = set()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvmlDevice") and name in object.__getattribute__(self, "deny"):
            raise NVMLError(self.NVML_ERROR_NO_PERMISSION)
        if name.startswith("nvmlDevice") and name in object.__getattribute__(self, "unsupported"):
            raise NVMLError(self.NVML_ERROR_NOT_SUPPORTED)
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.driver:
            raise NVMLError(9)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index in self.lost:
            raise NVMLError(self.NVML_ERROR_GPU_IS_LOST)
        if not self.driver:
            raise NVMLError(self.NVML_ERROR_UNINITIALIZED)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        return int(uuid.rpartition("-")[2])

    def nvmlDeviceGetUUID(self, device: int) -> bytes:  # noqa: N802
        return f"GPU-{device}".encode()

    def nvmlDeviceGetName(self, device: int) -> str:  # noqa: N802
        return "Tesla K80"

    def nvmlDeviceGetSupportedMemoryClocks(self, device: int) -> list[int]:  # noqa: N802
        return [2505, 324]

    def nvmlDeviceGetSupportedGraphicsClocks(self, device: int, memory: int) -> list[int]:  # noqa: N802
        return [875, 562] if memory == 2505 else [324]

    def nvmlDeviceGetClockInfo(self, device: int, kind: int) -> int:  # noqa: N802
        return 562 if kind == self.NVML_CLOCK_GRAPHICS else 2505

    def nvmlDeviceGetPowerManagementLimit(self, device: int) -> int:  # noqa: N802
        return self.power

    def nvmlDeviceGetPowerManagementDefaultLimit(self, device: int) -> int:  # noqa: N802
        return 300_000

    def nvmlDeviceGetPowerManagementLimitConstraints(self, device: int) -> tuple[int, int]:  # noqa: N802
        return 100_000, 300_000

    def nvmlDeviceSetPowerManagementLimit(self, device: int, limit: int) -> None:  # noqa: N802
        self.power = limit

    def nvmlDeviceSetGpuLockedClocks(self, device: int, low: int, high: int) -> None:  # noqa: N802
        self.locked["graphics"] = (low, high)

    def nvmlDeviceResetGpuLockedClocks(self, device: int) -> None:  # noqa: N802
        self.locked.pop("graphics", None)

    def nvmlDeviceSetMemoryLockedClocks(self, device: int, low: int, high: int) -> None:  # noqa: N802
        self.locked["memory"] = (low, high)

    def nvmlDeviceResetMemoryLockedClocks(self, device: int) -> None:  # noqa: N802
        self.locked.pop("memory", None)


def gpu(machine: Machine, library: Nvml) -> GpuFrequency:
    return GpuFrequency(machine.handle, library=library)  # type: ignore[arg-type]


async def test_clocks_and_power_of_a_gpu(machine: Machine) -> None:
    library = Nvml()
    mechanism = gpu(machine, library)
    assert mechanism.get_options()["gpus"]["GPU-0"]["graphics_clock"] == {"min": 324, "max": 875}

    await mechanism.apply({"gpu_id": 0, "graphics_clock": [324, 562], "memory_clock": "max", "power_limit": 150})

    assert library.locked == {"graphics": (324, 562), "memory": (2505, 2505)}
    assert library.power == 150_000
    assert mechanism.get_state()["gpus"]["GPU-0"]["graphics_clock_locked"] == "324-562"
    successor = gpu(machine, library)
    assert successor.get_state()["gpus"]["GPU-0"]["graphics_clock_locked"] == "324-562"
    await successor.restore()
    assert library.locked == {}
    assert library.power == 250_000


async def test_what_the_driver_denies_is_taken_back(machine: Machine) -> None:
    library = Nvml()
    library.deny.add("nvmlDeviceSetPowerManagementLimit")
    with pytest.raises(Refused, match=r"the agent needs root's rights"):
        await gpu(machine, library).apply({"graphics_clock": 562, "power_limit": 150})
    assert library.locked == {}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"graphics_clock": 900}, "900 MHz is out of range, 324 to 875 MHz is allowed"),
        ({"graphics_clock": "fast"}, "allowed: min, max, default"),
        ({"graphics_clock": [562, 324]}, "neither one clock nor a lowest and a highest one"),
        ({"power_limit": 20}, "20 W is out of range, 100 to 300 W is allowed"),
        ({"gpu": 3, "power_limit": 200}, "gpu: 3 is out of range, 0 to 0 is allowed"),
        ({"gpu": "GPU-x", "power_limit": 200}, "allowed: GPU-0"),
        ({}, "nothing to set"),
    ],
)
async def test_gpu_commands_that_are_wrong(machine: Machine, command: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await gpu(machine, Nvml()).apply(command)
    assert says in str(caught.value)


async def test_machines_without_gpus(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu(machine, Nvml(0)).get_options() == {"unavailable": "NVML finds no GPU"}
    assert gpu(machine, Nvml(driver=False)).get_options() == {"unavailable": "NVML: error 9"}
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    bare = GpuFrequency(machine.handle)
    assert "mlsysops-cli[gpu]" in bare.get_options()["unavailable"]
    assert bare.assets({"power_limit": 200}) == frozenset()
    with pytest.raises(Refused, match="unavailable"):
        await bare.apply({"power_limit": 200})


async def test_what_a_gpu_does_not_support_hides_nothing_else(machine: Machine) -> None:
    """One that is divided (MIG) tells no clocks; a laptop's has no power limit."""
    library = Nvml()
    library.unsupported = {"nvmlDeviceGetSupportedMemoryClocks", "nvmlDeviceGetClockInfo"}
    mechanism = gpu(machine, library)
    assert mechanism.get_options() == {
        "gpus": {"GPU-0": {"name": "Tesla K80", "power_limit": {"min": 100.0, "max": 300.0}}}
    }
    assert mechanism.get_state()["gpus"]["GPU-0"]["power_limit"] == 250.0
    with pytest.raises(InvalidInput, match="does not say which clocks"):
        await mechanism.apply({"graphics_clock": 562})
    await mechanism.apply({"power_limit": 200})
    assert library.power == 200_000
    library.unsupported = {"nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetPowerManagementLimitConstraints"}
    other = gpu(machine, library)
    assert set(other.get_options()["gpus"]["GPU-0"]) == {"name", "graphics_clock", "memory_clock"}
    assert other.get_state()["gpus"]["GPU-0"]["graphics_clock"] == 562
    with pytest.raises(Refused):
        await other.apply({"power_limit": 200})


def test_a_gpu_that_is_lost_hides_no_other(machine: Machine) -> None:
    library = Nvml(2)
    library.lost = {0}
    assert list(gpu(machine, library).get_options()["gpus"]) == ["GPU-1"]


async def test_a_driver_that_comes_later_or_anew_is_found(machine: Machine) -> None:
    library = Nvml(driver=False)
    mechanism = gpu(machine, library)
    clock = machine.handle.clock
    assert isinstance(clock, VirtualClock)
    assert mechanism.get_options() == {"unavailable": "NVML: error 9"}
    library.driver = True
    await clock.advance(61)
    assert "gpus" in mechanism.get_options()
    library.driver = False  # unloaded: the library is not initialised any more
    await clock.advance(61)
    assert "unavailable" in mechanism.get_options()
    library.driver = True
    await clock.advance(61)
    assert "gpus" in mechanism.get_options()


async def test_clocks_that_a_killed_agent_meant_to_lock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML does not tell whether it came to that, so the next command locks them, and putting back unlocks them."""
    library = Nvml()

    def killed(device: int, low: int, high: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "nvmlDeviceSetGpuLockedClocks", killed)
    with pytest.raises(KeyboardInterrupt):
        await gpu(machine, library).apply({"graphics_clock": 562})
    monkeypatch.undo()
    successor = gpu(machine, library)
    assert successor.get_state()["gpus"]["GPU-0"]["graphics_clock_locked"] == "?"

    await successor.apply({"graphics_clock": 562})
    assert library.locked == {"graphics": (562, 562)}
    assert gpu(machine, library).get_state()["gpus"]["GPU-0"]["graphics_clock_locked"] == "562-562"
    await gpu(machine, library).restore()
    assert library.locked == {}


# -- FPGA ---------------------------------------------------------------------------------------------------

FPGA = "sys/class/fpga_manager/fpga0"


def fpga(machine: Machine) -> FpgaBitstream:
    write_tree(
        machine.root,
        {
            f"{FPGA}/name": "Xilinx ZynqMP FPGA Manager",
            f"{FPGA}/state": "operating",
            f"{FPGA}/flags": "0",
            f"{FPGA}/firmware": "",
            "lib/firmware/filter.bit.bin": "bits",
            "lib/firmware/golden.bit.bin": "bits",
        },
    )
    return FpgaBitstream(machine.handle)


async def test_a_bitstream_is_loaded_and_the_named_one_put_back(machine: Machine) -> None:
    mechanism = fpga(machine)
    assert mechanism.get_options() == {"managers": ["fpga0"], "bitstreams": ["filter.bit.bin", "golden.bit.bin"]}

    await mechanism.apply({"bitstream": "filter.bit.bin", "flags": 1, "restore": "golden.bit.bin"})
    assert read(machine.root, f"{FPGA}/firmware") == "filter.bit.bin"
    assert mechanism.get_state()["managers"]["fpga0"]["bitstream"] == "filter.bit.bin"

    await FpgaBitstream(machine.handle).restore()
    assert read(machine.root, f"{FPGA}/firmware") == "golden.bit.bin"
    assert read(machine.root, f"{FPGA}/flags") == "0"


async def test_a_bitstream_that_a_killed_agent_meant_to_load(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(knob: FileKnob, value: str) -> None:
        raise KeyboardInterrupt

    command = {"bitstream": "filter.bit.bin", "restore": "golden.bit.bin"}
    with monkeypatch.context() as patched:
        patched.setattr(FileKnob, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            await fpga(machine).apply(command)
    successor = FpgaBitstream(machine.handle)
    assert successor.get_state()["managers"]["fpga0"]["bitstream"] is None
    await successor.apply(command)
    assert read(machine.root, f"{FPGA}/firmware") == "filter.bit.bin"
    assert successor.get_state()["managers"]["fpga0"]["bitstream"] == "filter.bit.bin"
    # It runs by now: nothing is loaded again.
    assert (await FpgaBitstream(machine.handle).apply(command)).details["changes"] == []
    await FpgaBitstream(machine.handle).restore()
    assert read(machine.root, f"{FPGA}/firmware") == "golden.bit.bin"


async def test_nobody_can_go_back_to_a_bitstream_that_nobody_knows(machine: Machine) -> None:
    mechanism = fpga(machine)
    await mechanism.apply({"bitstream": "filter.bit.bin"})
    told = await mechanism.restore()
    assert "nobody knows which bitstream it had before" in told[0]
    assert mechanism.get_status()["held"] == {}


async def test_an_fpga_that_does_not_come_up(machine: Machine) -> None:
    mechanism = fpga(machine)
    write_tree(machine.root, {f"{FPGA}/state": "write error"})
    with pytest.raises(MlsError, match="in state 'write error', not 'operating'"):
        await mechanism.apply({"bitstream": "filter.bit.bin"})


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"bitstream": "nope.bin"}, "allowed: filter.bit.bin, golden.bit.bin"),
        ({"bitstream": "../../etc/passwd"}, "must be a file below /lib/firmware"),
        ({"bitstream": "/etc/passwd"}, "must be a file below /lib/firmware"),
        ({"manager": "fpga1", "bitstream": "filter.bit.bin"}, "allowed: fpga0"),
        ({}, "which bitstream?"),
    ],
)
async def test_fpga_commands_that_are_wrong(machine: Machine, command: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await fpga(machine).apply(command)
    assert says in str(caught.value)


async def test_machines_without_fpgas(machine: Machine) -> None:
    assert "has no FPGA managers" in FpgaBitstream(machine.handle).get_options()["unavailable"]
    write_tree(machine.root, {f"{FPGA}/state": "operating"})
    assert "no attribute 'firmware'" in FpgaBitstream(machine.handle).get_options()["unavailable"]
