"""Mechanism ``cpu_frequency``: governor, limits, fixed frequency, energy preference and boost of the CPUs (Linux cpufreq).

Source of files and units: Linux ``Documentation/admin-guide/pm/cpufreq.rst`` and ``intel_pstate.rst``; frequencies are in kHz
there. CPUs of one policy share a clock: a command for one of them is a command for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from mlsysops_core.errors import InvalidInput, NotFound
from mlsysops_core.quantities import format_frequency, parse_frequency

from .base import NodeMechanism
from .command import Command, cpu_list, in_range, one_of, parse_cpus, read_command
from .knob import Change, FileKnob, Knob, read_text
from .ledger import Entry

__all__ = ["CpuFrequency"]

_CPUFREQ = "/sys/devices/system/cpu/cpufreq"
_PSTATE = "/sys/devices/system/cpu/intel_pstate"
_BOOST_ASSET = "cpu_frequency/boost"
_BOOST = "boost"
_LIMITS = frozenset({"scaling_min_freq", "scaling_max_freq"})
#: "1400000000", "1.4GHz" or, as policies of the MLSysOps framework write it, "1000000 Hz".
Frequency = str | int | float


class CpuFrequencyCommand(Command):
    """Form of a command.

    Attributes:
        cpus: CPUs, as ``all``, ``0-3,8``, a number or numbers.
        cpu: The same, in the MLSysOps framework's spelling.
        governor: Governor.
        min: Lower limit: a frequency (plain numbers are Hz), or ``min`` or ``max`` of the hardware.
        max: Upper limit, likewise.
        frequency: One frequency to run at: both limits, and the set speed where the governor is ``userspace``.
        energy_performance_preference: Hint to the hardware, where it takes one.
        boost: Whether the CPUs may go beyond their nominal frequency; for the whole machine, unless CPUs are named and have
            switches of their own.
    """

    cpus: str | int | list[int] = "all"
    cpu: str | int | list[int] | None = None
    governor: str | None = None
    min: Frequency | None = None
    max: Frequency | None = None
    frequency: Frequency | None = None
    energy_performance_preference: str | None = None
    boost: bool | None = None


@dataclass(frozen=True)
class _Policy:
    """One cpufreq policy: CPUs that share a clock."""

    root: Path
    name: str

    def text(self, file: str) -> str | None:
        return read_text(self.root / self.key(file).lstrip("/"))

    def number(self, file: str) -> int | None:
        text = self.text(file)
        return int(text) if text is not None and text.isdecimal() else None

    def words(self, file: str) -> list[str]:
        return (self.text(file) or "").split()

    def key(self, file: str) -> str:
        return f"{_CPUFREQ}/{self.name}/{file}"

    @cached_property
    def cpus(self) -> frozenset[int]:
        """The CPUs, also those that are offline."""
        return parse_cpus(",".join(self.words("related_cpus") or self.words("affected_cpus")))

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest frequency of the hardware (kHz)."""
        low, high = self.number("cpuinfo_min_freq"), self.number("cpuinfo_max_freq")
        if low is None or high is None:
            raise NotFound(f"{self.key('')} does not say its frequencies")
        return low, high

    @cached_property
    def frequencies(self) -> list[int]:
        """The steps there are (kHz), boosted ones too; none where the hardware takes any frequency."""
        steps = [*self.words("scaling_available_frequencies"), *self.words("scaling_boost_frequencies")]
        return sorted({int(step) for step in steps if step.isdecimal()})


class CpuFrequency(NodeMechanism):
    """Acts on cpufreq."""

    name: ClassVar[str] = "cpu_frequency"
    #: What policies of the MLSysOps framework call it.
    aliases: ClassVar[frozenset[str]] = frozenset({"CPUFrequencyConfigurator"})
    permission: ClassVar[str] = "cpu_frequency"
    model: ClassVar[type[Command]] = CpuFrequencyCommand

    def _policies(self) -> list[_Policy]:
        directory = self._root / _CPUFREQ.lstrip("/")
        names = [path.name for path in directory.glob("policy*") if re.fullmatch(r"policy\d+", path.name)]
        policies = [_Policy(self._root, name) for name in sorted(names, key=lambda name: int(name[6:]))]
        # The kernel keeps the policy of CPUs that are offline, and lets none of its files be read (``policy_is_inactive``).
        return [policy for policy in policies if policy.words("affected_cpus")]

    def _unavailable(self) -> str:
        if not self._policies():
            return f"{_CPUFREQ} has no policies (a virtual machine, no driver for these CPUs, or all of them offline)"
        return ""

    def _selected(self, command: CpuFrequencyCommand) -> list[_Policy]:
        wanted = command.cpus if command.cpu is None else command.cpu
        policies = self._policies()
        if wanted == "all":
            return policies
        cpus = cpu_list(wanted)
        unknown = cpus - frozenset[int]().union(*(policy.cpus for policy in policies))
        if unknown:
            raise InvalidInput(
                f"cpus: no CPU {', '.join(map(str, sorted(unknown)))}, allowed: "
                + ", ".join(f"{min(policy.cpus)}-{max(policy.cpus)}" for policy in policies if policy.cpus)
            )
        return [policy for policy in policies if policy.cpus & cpus]

    def _read(self, command: Any) -> Any:
        read = read_command(CpuFrequencyCommand, command, self.name)
        given = read.model_dump(exclude_none=True, exclude={"cpus", "cpu", "command", "dry_run"})
        if read.command == "set" and not given:
            raise InvalidInput(f"{self.name}: nothing to set (one of governor, min, max, frequency, …)")
        if "frequency" in given and given.keys() & {"min", "max"}:
            raise InvalidInput(f"{self.name}: frequency sets both limits, so min and max cannot be given beside it")
        return read

    def _assets(self, command: CpuFrequencyCommand) -> frozenset[str]:
        found = {f"cpu_frequency/{policy.name}" for policy in self._selected(command)}
        if (command.boost is not None and not self._own_boosts(command)) or command.command == "reset":
            found.add(_BOOST_ASSET)
        return frozenset(found)

    def _changes(self, command: CpuFrequencyCommand) -> list[Change]:
        changes: list[Change] = []
        # Boost first: limits above the nominal frequency are only taken once it is on.
        own = self._own_boosts(command)
        for policy in own:
            change = FileKnob(self._root, policy.key(_BOOST))
            changes.append(Change(change, str(int(bool(command.boost))), f"cpu_frequency/{policy.name}"))
        if command.boost is not None and not own:
            key, on, off = self._boost()
            changes.append(Change(FileKnob(self._root, key), on if command.boost else off, _BOOST_ASSET))
        for policy in self._selected(command):
            changes.extend(self._of_policy(policy, command))
        return changes

    def _of_policy(self, policy: _Policy, command: CpuFrequencyCommand) -> list[Change]:
        changes: list[Change] = []

        def change(file: str, to: str) -> None:
            changes.append(Change(self._file(policy.key(file)), to, f"cpu_frequency/{policy.name}"))

        if command.governor is not None:
            one_of(command.governor, policy.words("scaling_available_governors"), f"{policy.name}: governor")
            change("scaling_governor", command.governor)
        low = _kilohertz(policy, command.min, "min")
        high = _kilohertz(policy, command.max, "max")
        if command.frequency is not None:
            low = high = _kilohertz(policy, command.frequency, "frequency")
            if policy.frequencies and low not in policy.frequencies:
                steps = ", ".join(format_frequency(step * 1e3) for step in policy.frequencies)
                raise InvalidInput(f"{policy.name}: frequency {command.frequency} is no step, allowed: {steps}")
        self._limits(policy, low, high, change)
        governor = command.governor or policy.text("scaling_governor")
        if command.frequency is not None and governor == "userspace":
            change("scaling_setspeed", str(low))
        if command.energy_performance_preference is not None:
            allowed = policy.words("energy_performance_available_preferences")
            one_of(command.energy_performance_preference, allowed, f"{policy.name}: energy_performance_preference")
            change("energy_performance_preference", command.energy_performance_preference)
        return changes

    def _limits(self, policy: _Policy, low: int | None, high: int | None, change: Any) -> None:
        """Set the limits in the order in which the lower one is never above the upper one."""
        present_low = policy.number("scaling_min_freq") or policy.limits[0]
        present_high = policy.number("scaling_max_freq") or policy.limits[1]
        new_low = present_low if low is None else low
        new_high = present_high if high is None else high
        if new_low > new_high:
            raise InvalidInput(
                f"{policy.name}: min {format_frequency(new_low * 1e3)} is above max {format_frequency(new_high * 1e3)}"
            )
        todo = [("scaling_max_freq", high), ("scaling_min_freq", low)]
        if new_high < present_low:
            todo.reverse()
        for file, value in todo:
            if value is not None:
                change(file, str(value))

    def _boost(self) -> tuple[str, str, str]:
        """Return the machine's switch, and what it says for on and off; intel_pstate has it the other way round."""
        for key, on, off in ((f"{_CPUFREQ}/boost", "1", "0"), (f"{_PSTATE}/no_turbo", "0", "1")):
            if read_text(self._root / key.lstrip("/")) is not None:
                return key, on, off
        raise InvalidInput("boost: these CPUs have no switch for it")

    def _own_boosts(self, command: CpuFrequencyCommand) -> list[_Policy]:
        """Return the policies whose own switches a command turns: where it names CPUs, or the machine has no switch for all.

        Linux has a switch a policy since 6.11, where the driver can.
        """
        selected = self._selected(command)
        if command.boost is None or any(policy.text(_BOOST) is None for policy in selected):
            return []
        named = command.cpu is not None or command.cpus != "all"
        return selected if named or self._boosted() is None else []

    async def _give_back(self, chosen: Sequence[Entry]) -> list[str]:
        # What is put back last comes first here: a switch of boost that is turned moves the upper limits.
        return await super()._give_back(sorted(chosen, key=lambda entry: _is_boost(entry.key)))

    def _file(self, key: str) -> FileKnob:
        directory, _, file = key.rpartition("/")
        if file not in _LIMITS:
            return FileKnob(self._root, key)
        most = read_text(self._root / f"{directory}/cpuinfo_max_freq".lstrip("/"))
        return FileKnob(self._root, key, drifts=partial(_drifted, most))

    def _knob(self, entry: Entry) -> Knob:
        return self._file(entry.key)

    def _look(self) -> dict[str, Any]:
        policies: dict[str, Any] = {}
        for policy in self._policies():
            found = {
                "cpus": sorted(policy.cpus),
                "governor": policy.text("scaling_governor"),
                "min": _hertz(policy.number("scaling_min_freq")),
                "max": _hertz(policy.number("scaling_max_freq")),
                "current": _hertz(policy.number("scaling_cur_freq")),
                "energy_performance_preference": policy.text("energy_performance_preference"),
                "boost": None if (boost := policy.text(_BOOST)) is None else boost == "1",
            }
            policies[policy.name] = {key: value for key, value in found.items() if value is not None}
        return {"policies": policies, "boost": self._boosted()}

    def _boosted(self) -> bool | None:
        try:
            key, on, _ = self._boost()
        except InvalidInput:
            return None
        return read_text(self._root / key.lstrip("/")) == on

    def _offer(self) -> dict[str, Any]:
        policies: dict[str, Any] = {}
        for policy in self._policies():
            low, high = policy.limits
            found = {
                "cpus": sorted(policy.cpus),
                "driver": policy.text("scaling_driver"),
                "governors": policy.words("scaling_available_governors"),
                "min": _hertz(low),
                "max": _hertz(high),
                "frequencies": [step * 1000 for step in policy.frequencies],
                "energy_performance_preferences": policy.words("energy_performance_available_preferences"),
                "boost": policy.text(_BOOST) is not None,
            }
            policies[policy.name] = {key: value for key, value in found.items() if value}
        return {"policies": policies, "boost": self._boosted() is not None}


def _kilohertz(policy: _Policy, value: Frequency | None, what: str) -> int | None:
    if value is None:
        return None
    low, high = policy.limits
    if value in ("min", "max"):
        return low if value == "min" else high
    hertz = parse_frequency(value)
    in_range(hertz / 1e6, low / 1e3, high / 1e3, f"{policy.name}: {what}", " MHz")
    return round(hertz / 1e3)


def _is_boost(key: str) -> bool:
    return key.endswith(("/boost", "/no_turbo"))


def _drifted(most: str | None, wanted: str, found: str) -> bool:
    """Say whether the system may have made one limit of the other.

    Thermal and power limits lower it (``drivers/cpufreq``: the least request counts). Raised it is to the most there is alone, where
    boost is switched.
    """
    return found == most or (wanted.isdecimal() and found.isdecimal() and int(found) < int(wanted))


def _hertz(kilohertz: int | None) -> int | None:
    return None if kilohertz is None else kilohertz * 1000
