"""How control groups write limits of CPU, memory and block devices, version 1 and 2.

Sources: Linux ``Documentation/scheduler/sched-bwc.rst``, ``admin-guide/cgroup-v1/{memory,blkio-controller}.rst``,
``admin-guide/cgroup-v2.rst``; the conversion between shares and weight is that of kubelet's ``pkg/kubelet/cm``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlsysops_core.errors import Conflict

from .knob import FileKnob, read_text

__all__ = [
    "PERIOD",
    "DeviceLimit",
    "MemoryLimit",
    "device_limits",
    "same_memory",
    "same_quota",
    "shares_of_weight",
    "weight_of_shares",
]

#: Microseconds over which a CPU quota counts (``CPUQuotaPeriod`` of Kubernetes).
PERIOD = 100_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: What version 1 says for "no limit": the largest multiple of a page below 2^63.
_UNLIMITED = (1 << 63) - _PAGE
_NO_LIMIT = "max"
#: Keys of ``io.max`` to the files of version 1.
_THROTTLE = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}


def shares_of_weight(weight: int) -> int:
    """Turn a weight of version 2 (1 to 10000) into shares of version 1 (2 to 262144)."""
    return 2 + round((weight - 1) * 262142 / 9999)


def weight_of_shares(shares: int) -> int:
    """Turn shares into a weight."""
    return 1 + ((shares - 2) * 9999) // 262142


def same_memory(wanted: str, found: str) -> bool:
    """Compare amounts of memory: kernels round down to pages, and have several words for no limit."""
    return _pages(wanted) == _pages(found)


def same_quota(wanted: str, found: str) -> bool:
    """Compare ``cpu.max``: a period that is not named is the default."""
    return _quota(wanted) == _quota(found)


def _pages(text: str) -> int | None:
    number = None if text.strip() in (_NO_LIMIT, "-1") else int(text)
    return None if number is None or number >= _UNLIMITED else number // _PAGE


def _quota(text: str) -> tuple[str, int]:
    quota, _, period = text.strip().partition(" ")
    return quota, int(period or PERIOD)


@dataclass(frozen=True, slots=True)
class MemoryLimit(FileKnob):
    """The hard limit of memory, which is never set below what is in use, by a command or when it is put back.

    Version 1 refuses that itself; version 2 would kill the container.
    """

    def write(self, value: str) -> None:
        """Write it."""
        directory, _, file = self.key.rpartition("/")
        usage = "memory.current" if file == "memory.max" else "memory.usage_in_bytes"
        used = read_text(self.root / f"{directory}/{usage}".lstrip("/")) or ""
        if value.isdecimal() and used.isdecimal() and int(value) < int(used):
            raise Conflict(f"{self.key} cannot be set to {value}: {used} bytes are in use")
        FileKnob.write(self, value)


@dataclass(frozen=True, slots=True)
class DeviceLimit:
    """The limits of one block device in a file that has a line for each.

    Attributes:
        file: The file.
        device: ``major:minor``.
        nested: Whether a line has several limits (``io.max``) or one number.
    """

    file: FileKnob
    device: str
    nested: bool
    lasting: bool = False
    remembered: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """Path of the file, and the device."""
        return f"{self.file.key}#{self.device}"

    def read(self) -> str:
        """Return the limits of the device."""
        for line in self.file.read().splitlines():
            device, _, rest = line.strip().partition(" ")
            if device == self.device:
                return _write_limits(_read_limits(rest)) if self.nested else rest.strip()
        return _write_limits({}) if self.nested else "0"

    def write(self, value: str) -> None:
        """Set them."""
        self.file.write(f"{self.device} {value}")

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return _read_limits(wanted) == _read_limits(found) if self.nested else wanted == found

    def drifted(self, wanted: str, found: str) -> bool:
        """Nobody else moves it."""
        return False

    @classmethod
    def at(cls, root: Path, key: str) -> DeviceLimit:
        """Find the limits of a key."""
        path, _, device = key.partition("#")
        return cls(FileKnob(root, path), device, nested=path.endswith("/io.max"))


def device_limits(
    root: Path, directory: str, version: int, device: str, limits: Mapping[str, int | None]
) -> list[tuple[DeviceLimit, str]]:
    """Return what to write for the limits of one device.

    Args:
        root: Where the host's root directory is.
        directory: The control group on the host.
        version: Of control groups.
        device: ``major:minor``.
        limits: ``rbps``, ``wbps`` (bytes a second), ``riops``, ``wiops`` (operations a second); None takes a limit away.
    """
    if version == 2:
        line = DeviceLimit.at(root, f"{directory}/io.max#{device}")
        merged = _read_limits(line.read()) | {key: _number(value) for key, value in limits.items()}
        return [(line, _write_limits(merged))]
    return [
        (DeviceLimit.at(root, f"{directory}/{_THROTTLE[key]}#{device}"), str(value or 0))
        for key, value in limits.items()
    ]


def _number(value: int | None) -> str:
    return _NO_LIMIT if value is None else str(value)


def _read_limits(text: str) -> dict[str, str]:
    given = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return {key: given.get(key, _NO_LIMIT) for key in _THROTTLE}


def _write_limits(limits: Mapping[str, str]) -> str:
    return " ".join(f"{key}={limits.get(key, _NO_LIMIT)}" for key in _THROTTLE)
