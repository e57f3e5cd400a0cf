"""Mechanism ``container_limits``: how much CPU, memory and disk throughput the containers of a component get, at once and in place.

It changes the control groups of what runs, not the description: a container that starts anew starts with its description's
limits. For a lasting change there is ``change_container_resource_requirements``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

from mlsysops_core.contracts import Object
from mlsysops_core.errors import InvalidInput, NotFound
from mlsysops_core.quantities import parse_bytes, parse_cpu
from pydantic import BaseModel, ConfigDict, Field

from .cgroups import ControlGroups, Group
from .command import Command, in_range, parse_cpus
from .component import ComponentCommand, ComponentMechanism, asset_of
from .knob import Change, FileKnob, Knob, read_text
from .ledger import Entry
from .limit_files import (
    PERIOD,
    DeviceLimit,
    MemoryLimit,
    device_limits,
    same_memory,
    same_quota,
    shares_of_weight,
    weight_of_shares,
)

__all__ = ["ContainerLimits"]

Limit = int | Literal["max"] | None
#: Least CPU quota (microseconds) that the kernel takes (``min_cfs_quota_period``).
_LEAST_QUOTA = 1000
#: Version 1 says a number a little below 2^63 where there is no limit.
_UNLIMITED = 1 << 62
#: A container never gets more than the group of its pod has, whatever its own says.
_INSTEAD = "which counts too (change_container_resource_requirements changes both)"
_ONLINE = "sys/devices/system/cpu/online"
_DEVICE = re.compile(r"\d+:\d+")
_HARD_LIMITS = frozenset({"memory.max", "memory.limit_in_bytes"})
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "cpu.max": same_quota,
    "memory.high": same_memory,
    "memory.soft_limit_in_bytes": same_memory,
}


class IoLimit(BaseModel):
    """Limits of one block device; ``max`` takes one away.

    Attributes:
        device: ``major:minor``, or the name of a device (``sda``).
        rbps: Bytes read a second.
        wbps: Bytes written a second.
        riops: Reads a second.
        wiops: Writes a second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    device: str
    rbps: Limit = None
    wbps: Limit = None
    riops: Limit = None
    wiops: Limit = None


class LimitsCommand(ComponentCommand):
    """Form of a command; what is not given stays.

    Attributes:
        cpu: Most CPU (``500m``, cores), ``max`` for no limit.
        cpu_weight: Share under contention, 1 to 10000 (100 is usual).
        memory: Most memory (``128Mi``, bytes), ``max`` for no limit.
        memory_high: Memory above which the kernel reclaims (version 1: soft limit).
        io: Limits of block devices.
    """

    cpu: str | int | float | None = None
    cpu_weight: int | None = Field(None, ge=1, le=10000)
    memory: str | int | None = None
    memory_high: str | int | None = None
    io: tuple[IoLimit, ...] = Field((), strict=False)


class ContainerLimits(ComponentMechanism):
    """Acts on the controllers cpu, memory and blkio (io)."""

    name: ClassVar[str] = "container_limits"
    permission: ClassVar[str] = "change_container_resource_requirements"
    model: ClassVar[type[Command]] = LimitsCommand

    def _unavailable(self) -> str:
        groups = ControlGroups(self._root)
        if not any(groups.has(name) for name in ("cpu", "memory", "blkio")):
            return "this machine has no control group controllers cpu, memory or io"
        return ""

    def _changes(self, command: LimitsCommand) -> list[Change]:
        given = command.model_dump(exclude_none=True, exclude_defaults=True)
        if not given.keys() & {"cpu", "cpu_weight", "memory", "memory_high", "io"}:
            raise InvalidInput(f"{self.name}: nothing to set (one of cpu, cpu_weight, memory, memory_high, io)")
        asset = asset_of(command.application, command.component)
        groups = ControlGroups(self._root)
        return [
            Change(knob, value, asset)
            for pod, container in self._containers(command)
            for knob, value in self._of_container(groups, pod, container, command)
        ]

    def _of_container(
        self, groups: ControlGroups, pod: Object, container: Any, command: LimitsCommand
    ) -> Iterator[tuple[Knob, str]]:
        if command.cpu is not None or command.cpu_weight is not None:
            yield from self._cpu(groups.find(pod, container, "cpu"), command)
        if command.memory is not None or command.memory_high is not None:
            yield from self._memory(groups.find(pod, container, "memory"), command)
        if command.io:
            group = groups.find(pod, container, "blkio")
            for limit in command.io:
                yield from self._io(group, limit)

    def _cpu(self, group: Group, command: LimitsCommand) -> Iterator[tuple[Knob, str]]:
        if command.cpu is not None:
            quota = self._quota(command.cpu, group.parent)
            if group.version == 2:
                yield self._file(group.key("cpu.max")), f"{'max' if quota is None else quota} {PERIOD}"
            else:
                yield self._file(group.key("cpu.cfs_period_us")), str(PERIOD)
                yield self._file(group.key("cpu.cfs_quota_us")), str(-1 if quota is None else quota)
        if command.cpu_weight is not None:
            if group.version == 2:
                yield self._file(group.key("cpu.weight")), str(command.cpu_weight)
            else:
                yield self._file(group.key("cpu.shares")), str(shares_of_weight(command.cpu_weight))

    def _quota(self, cpu: str | float, pod: Group) -> int | None:
        if cpu == "max":
            return None
        cores = parse_cpu(cpu)
        in_range(cores, _LEAST_QUOTA / PERIOD, self._cores(), "cpu", " cores")
        most = _cores_of(pod)
        if most is not None and cores > most:
            raise InvalidInput(f"cpu: {cores:g} cores are more than the {most:g} of its pod, {_INSTEAD}")
        return round(cores * PERIOD)

    def _cores(self) -> int:
        return len(parse_cpus(read_text(self._root / _ONLINE) or "0"))

    def _memory(self, group: Group, command: LimitsCommand) -> Iterator[tuple[Knob, str]]:
        files = (
            ("memory.max", "memory.high")
            if group.version == 2
            else ("memory.limit_in_bytes", "memory.soft_limit_in_bytes")
        )
        used = group.number("memory.current" if group.version == 2 else "memory.usage_in_bytes") or 0
        for file, wanted in zip(files, (command.memory, command.memory_high), strict=True):
            if wanted is None:
                continue
            if wanted == "max":
                yield self._file(group.key(file)), "max" if group.version == 2 else "-1"
                continue
            amount = parse_bytes(wanted)
            # Below what is in use the kernel would kill the container's processes, and nobody asked for that.
            if file == files[0] and amount < used:
                raise InvalidInput(
                    f"memory: {amount} bytes is less than the {used} bytes in use, at least those are allowed"
                )
            most = _memory_of(group.parent)
            if most is not None and amount > most:
                raise InvalidInput(f"memory: {amount} bytes are more than the {most} of its pod, {_INSTEAD}")
            yield self._file(group.key(file)), str(amount)

    def _io(self, group: Group, limit: IoLimit) -> Iterator[tuple[Knob, str]]:
        device = self._device(limit.device)
        given = limit.model_dump(exclude_none=True, exclude={"device"})
        for key, value in given.items():
            if value != "max":
                in_range(value, 1, 2**63 - 1, f"io {limit.device}: {key}")
        limits = {key: None if value == "max" else int(value) for key, value in given.items()}
        yield from device_limits(self._root, group.path, group.version, device, limits)

    def _device(self, name: str) -> str:
        if _DEVICE.fullmatch(name):
            return name
        plain = name.removeprefix("/dev/")
        text = read_text(self._root / "sys/class/block" / plain / "dev") if "/" not in plain else None
        if text is None:
            raise InvalidInput(f"io: {name!r} is no block device here, allowed: {', '.join(self._devices()) or 'none'}")
        return text

    def _devices(self) -> list[str]:
        return sorted(path.name for path in (self._root / "sys/class/block").glob("*"))

    def _file(self, key: str) -> FileKnob:
        file = key.rpartition("/")[2]
        if file in _HARD_LIMITS:
            return MemoryLimit(self._root, key, same_memory)
        compare = _COMPARE.get(file)
        return FileKnob(self._root, key, compare) if compare is not None else FileKnob(self._root, key)

    def _knob(self, entry: Entry) -> Knob:
        return DeviceLimit.at(self._root, entry.key) if "#" in entry.key else self._file(entry.key)

    def _look(self) -> dict[str, Any]:
        groups = ControlGroups(self._root)
        found: dict[str, Any] = {}
        for application, component in self._components():
            found.setdefault(application, {})[component] = {
                status["name"]: _limits(groups, pod, status)
                for pod in self._pods(application, component)
                for status in (pod.get("status") or {}).get("containerStatuses") or ()
                if "running" in (status.get("state") or {})
            }
        return {"applications": found}

    def _offer(self) -> dict[str, Any]:
        groups = ControlGroups(self._root)
        return {
            "version": groups.version,
            "controllers": [name for name in ("cpu", "memory", "blkio") if groups.has(name)],
            "cpu": {"min": _LEAST_QUOTA / PERIOD, "max": self._cores()},
            "cpu_weight": {"min": 1, "max": 10000},
            "devices": self._devices(),
        }


def _cores_of(group: Group) -> float | None:
    """Return the most cores that a group may use; None where it is not limited."""
    if group.version == 2:
        quota, _, period = (group.text("cpu.max") or "max").partition(" ")
        return None if quota == "max" else int(quota) / int(period or PERIOD)
    limit = group.number("cpu.cfs_quota_us") or -1
    return None if limit < 0 else limit / (group.number("cpu.cfs_period_us") or PERIOD)


def _memory_of(group: Group) -> int | None:
    """Return the most bytes that a group may use; None where it is not limited."""
    memory = group.number("memory.max" if group.version == 2 else "memory.limit_in_bytes")
    return None if memory is None or memory >= _UNLIMITED else memory


def _limits(groups: ControlGroups, pod: Object, container: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        group = groups.find(pod, container, "cpu")
        found["cpu"] = _cores_of(group)
        if group.version == 2:
            found["cpu_weight"] = group.number("cpu.weight")
        else:
            found["cpu_weight"] = weight_of_shares(group.number("cpu.shares") or 2)
        group = groups.find(pod, container, "memory")
        found["memory"] = _memory_of(group)
        found["memory_used"] = group.number("memory.current" if group.version == 2 else "memory.usage_in_bytes")
    except NotFound as exc:
        found["unavailable"] = str(exc)
    return found
