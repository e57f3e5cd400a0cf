"""Mechanism ``gpu_frequency``: clocks and power limit of NVIDIA GPUs (NVML, through the official ``nvidia-ml-py``).

Source: NVIDIA Management Library API reference, "Device Commands" (locked clocks in MHz, power in milliwatts). NVML says the
power limit in force but not which clocks are locked, so that the agent remembers those: put back means unlocked.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

from mlsysops_core.contracts import Clock
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused
from mlsysops_core.knobs import NodePluginHandle

from .base import NodeMechanism
from .command import Command, in_range, one_of
from .knob import UNSURE, CannotRestore, Change, Knob
from .ledger import Entry, Ledger

__all__ = ["GpuFrequency"]

_DEFAULT = "default"
#: A driver that is not there is looked for again after this many seconds.
_RETRY_SECONDS = 60.0
_CLOCKS = ("graphics_clock", "memory_clock")
Megahertz = int | list[int] | str


class GpuCommand(Command):
    """Form of a command.

    Attributes:
        gpu: Index, UUID or ``all``.
        gpu_id: The same, in the MLSysOps framework's spelling.
        graphics_clock: Clock in MHz, lowest and highest clock, or ``min``, ``max``, ``default``.
        memory_clock: Likewise.
        power_limit: Most power in watts, or ``default``.
    """

    gpu: int | str = "all"
    gpu_id: int | str | None = None
    graphics_clock: Megahertz | None = None
    memory_clock: Megahertz | None = None
    power_limit: int | float | str | None = None


class _Nvml:
    """The library, brought up at first use, and again when its driver came later or was loaded anew."""

    def __init__(self, library: ModuleType | None, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._lock = threading.Lock()
        self._fault = ""
        self._ready = False
        self._again = float("-inf")

    def fault(self) -> str:
        """Say why there are no GPUs; empty where there are."""
        with self._lock:
            now = self._clock.monotonic()
            if not self._ready and now >= self._again:
                self._fault, self._again = self._start(), now + _RETRY_SECONDS
                self._ready = not self._fault
            return self._fault

    def _start(self) -> str:
        try:
            self._library = self._library or importlib.import_module("pynvml")
        except ImportError:
            return "nvidia-ml-py is not installed (install mlsysops-cli[gpu])"
        try:
            self._library.nvmlInit()
            count = self._library.nvmlDeviceGetCount()
        except self._library.NVMLError as exc:
            return f"NVML: {exc}"
        return "" if count else "NVML finds no GPU"

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the library.

        Raises:
            MlsError: It failed; the class says how.
        """
        library = self._library
        if library is None:
            raise Refused(self.fault())
        try:
            return getattr(library, function)(*arguments)
        except library.NVMLError as exc:
            if getattr(exc, "value", None) in (library.NVML_ERROR_UNINITIALIZED, library.NVML_ERROR_DRIVER_NOT_LOADED):
                self._ready = False
            raise self._translate(library, function, exc) from exc

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function that not every GPU supports (parts of one, say: MIG); None where this one does not."""
        try:
            return self.call(function, *arguments)
        except Refused:
            return None

    def constant(self, name: str) -> Any:
        """Return a constant of the library."""
        return getattr(self._library, name)

    @staticmethod
    def _translate(library: Any, function: str, error: Any) -> MlsError:
        text = f"{function}: {error}"
        match getattr(error, "value", None):
            case library.NVML_ERROR_NO_PERMISSION:
                return Refused(text, hint="the agent needs root's rights for it")
            case library.NVML_ERROR_NOT_SUPPORTED:
                return Refused(text)
            case library.NVML_ERROR_INVALID_ARGUMENT:
                return InvalidInput(text)
            case library.NVML_ERROR_GPU_IS_LOST | library.NVML_ERROR_NOT_FOUND:
                return NotFound(text)
            case library.NVML_ERROR_IN_USE:
                return Conflict(text)
        return MlsError(text)


class _ClockLock:
    """Locked clocks of one GPU: ``low-high`` in MHz, or ``default``."""

    lasting = False
    remembered = True

    def __init__(self, nvml: _Nvml, uuid: str, kind: str, known: str) -> None:
        self._nvml = nvml
        self._uuid = uuid
        self._kind = "Gpu" if kind == "graphics_clock" else "Memory"
        self._set = known
        self.key = f"nvml/{uuid}/{kind}"

    def read(self) -> str:
        """Return what was set last: NVML does not say."""
        return self._set

    def write(self, value: str) -> None:
        """Lock or unlock."""
        if value == UNSURE:
            raise CannotRestore(f"{self.key}: nobody knows what it was")
        device = self._nvml.call("nvmlDeviceGetHandleByUUID", self._uuid)
        if value == _DEFAULT:
            self._nvml.call(f"nvmlDeviceReset{self._kind}LockedClocks", device)
        else:
            low, _, high = value.partition("-")
            self._nvml.call(f"nvmlDeviceSet{self._kind}LockedClocks", device, int(low), int(high))
        self._set = value

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return wanted == found

    def drifted(self, wanted: str, found: str) -> bool:
        """It may be ours when nobody knows."""
        return found == UNSURE


class _PowerLimit:
    """Power limit of one GPU, in milliwatts."""

    lasting = False
    remembered = False

    def __init__(self, nvml: _Nvml, uuid: str) -> None:
        self._nvml = nvml
        self._uuid = uuid
        self.key = f"nvml/{uuid}/power_limit"

    def read(self) -> str:
        """Ask for it."""
        return str(self._nvml.call("nvmlDeviceGetPowerManagementLimit", self._device()))

    def write(self, value: str) -> None:
        """Set it."""
        self._nvml.call("nvmlDeviceSetPowerManagementLimit", self._device(), int(value))

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return int(wanted) == int(found)

    def drifted(self, wanted: str, found: str) -> bool:
        """Nobody else moves it."""
        return False

    def _device(self) -> Any:
        return self._nvml.call("nvmlDeviceGetHandleByUUID", self._uuid)


class GpuFrequency(NodeMechanism):
    """Acts on NVIDIA GPUs.

    Args:
        handle: The agent.
        ledger: As for every mechanism.
        library: In the place of ``pynvml``, which else is imported at first use.
    """

    name: ClassVar[str] = "gpu_frequency"
    permission: ClassVar[str] = "gpu_frequency"
    model: ClassVar[type[Command]] = GpuCommand

    def __init__(
        self, handle: NodePluginHandle, *, ledger: Ledger | None = None, library: ModuleType | None = None
    ) -> None:
        super().__init__(handle, ledger=ledger)
        self._nvml = _Nvml(library, handle.clock)

    def _unavailable(self) -> str:
        return self._nvml.fault()

    def _devices(self) -> dict[str, Any]:
        """Return the GPUs by UUID."""
        count = self._nvml.call("nvmlDeviceGetCount")
        found: dict[str, Any] = {}
        for index in range(count):
            # One that fell off the bus must not hide the others.
            with contextlib.suppress(NotFound):
                device = self._nvml.call("nvmlDeviceGetHandleByIndex", index)
                found[_text(self._nvml.call("nvmlDeviceGetUUID", device))] = device
        return found

    def _selected(self, command: GpuCommand) -> dict[str, Any]:
        if self._unavailable():
            return {}
        devices = self._devices()
        wanted = command.gpu if command.gpu_id is None else command.gpu_id
        if wanted == "all":
            return devices
        if isinstance(wanted, int):
            in_range(wanted, 0, len(devices) - 1, "gpu")
            wanted = list(devices)[wanted]
        one_of(wanted, devices, "gpu")
        return {wanted: devices[wanted]}

    def _assets(self, command: GpuCommand) -> frozenset[str]:
        return frozenset(f"gpu_frequency/{uuid}" for uuid in self._selected(command))

    def _changes(self, command: GpuCommand) -> list[Change]:
        changes = [
            Change(knob, value, f"gpu_frequency/{uuid}")
            for uuid, device in self._selected(command).items()
            for knob, value in self._of_device(uuid, device, command)
        ]
        if not changes:
            raise InvalidInput(f"{self.name}: nothing to set (graphics_clock, memory_clock or power_limit)")
        return changes

    def _of_device(self, uuid: str, device: Any, command: GpuCommand) -> list[tuple[Knob, str]]:
        found: list[tuple[Knob, str]] = []
        for kind in _CLOCKS:
            clock: Megahertz | None = getattr(command, kind)
            if clock is not None:
                value = _clock(clock, self._clocks(device)[kind], f"{uuid}: {kind}")
                found.append((self._lock(uuid, kind), value))
        if command.power_limit is not None:
            if command.power_limit == _DEFAULT:
                milliwatts = int(self._nvml.call("nvmlDeviceGetPowerManagementDefaultLimit", device))
            else:
                if isinstance(command.power_limit, str):
                    raise InvalidInput(f"power_limit: {command.power_limit!r} is neither watts nor {_DEFAULT!r}")
                low, high = self._nvml.call("nvmlDeviceGetPowerManagementLimitConstraints", device)
                in_range(command.power_limit, low / 1e3, high / 1e3, f"{uuid}: power_limit", " W")
                milliwatts = round(command.power_limit * 1e3)
            found.append((_PowerLimit(self._nvml, uuid), str(milliwatts)))
        return found

    def _clocks(self, device: Any) -> dict[str, list[int]]:
        """Return the clocks that the GPU supports (MHz), lowest first."""
        memory = sorted(self._nvml.ask("nvmlDeviceGetSupportedMemoryClocks", device) or ())
        graphics: set[int] = set()
        for clock in memory:
            graphics.update(self._nvml.ask("nvmlDeviceGetSupportedGraphicsClocks", device, clock) or ())
        return {"graphics_clock": sorted(graphics), "memory_clock": memory}

    def _lock(self, uuid: str, kind: str) -> _ClockLock:
        held = self._ledger.entries().get(f"nvml/{uuid}/{kind}")
        known = _DEFAULT if held is None else UNSURE if held.pending else held.ours[-1]
        return _ClockLock(self._nvml, uuid, kind, known)

    def _knob(self, entry: Entry) -> Knob:
        if reason := self._unavailable():
            raise NotFound(f"{entry.key} is gone: {reason}")
        _, uuid, kind = entry.key.split("/")
        return _PowerLimit(self._nvml, uuid) if kind == "power_limit" else self._lock(uuid, kind)

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for uuid, device in self._devices().items():
            state: dict[str, Any] = {"name": _text(self._nvml.call("nvmlDeviceGetName", device))}
            for kind, clock in zip(_CLOCKS, ("NVML_CLOCK_GRAPHICS", "NVML_CLOCK_MEM"), strict=True):
                state[kind] = self._nvml.ask("nvmlDeviceGetClockInfo", device, self._nvml.constant(clock))
                state[f"{kind}_locked"] = self._lock(uuid, kind).read()
            limit = self._nvml.ask("nvmlDeviceGetPowerManagementLimit", device)
            state["power_limit"] = None if limit is None else limit / 1e3
            found[uuid] = {key: value for key, value in state.items() if value is not None}
        return {"gpus": found}

    def _offer(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for uuid, device in self._devices().items():
            power = self._nvml.ask("nvmlDeviceGetPowerManagementLimitConstraints", device)
            found[uuid] = {
                "name": _text(self._nvml.call("nvmlDeviceGetName", device)),
                **{
                    kind: {"min": clocks[0], "max": clocks[-1]}
                    for kind, clocks in self._clocks(device).items()
                    if clocks
                },
                **({} if power is None else {"power_limit": {"min": power[0] / 1e3, "max": power[1] / 1e3}}),
            }
        return {"gpus": found}


def _clock(value: Megahertz, supported: Sequence[int], what: str) -> str:
    if value == _DEFAULT:
        return _DEFAULT
    if not supported:
        raise InvalidInput(f"{what}: this GPU does not say which clocks it supports")
    words = {"min": supported[0], "max": supported[-1]}
    if isinstance(value, str):
        one_of(value, [*words, _DEFAULT], what)
        value = words[value]
    bounds = [value, value] if isinstance(value, int) else value
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        raise InvalidInput(f"{what}: {value!r} is neither one clock nor a lowest and a highest one")
    for bound in bounds:
        in_range(bound, supported[0], supported[-1], what, " MHz")
    return f"{bounds[0]}-{bounds[1]}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
