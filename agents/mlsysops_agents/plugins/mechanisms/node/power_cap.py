"""Mechanism ``set_power_cap``: how much power a package may draw (Linux powercap, RAPL).

Source of files and units: Linux ``Documentation/power/powercap/powercap.rst`` (microwatts, microseconds). Hardware keeps limits
in units of 1/8 W (Intel SDM vol. 3B, 16.10.1), so a value that reads a little different is the one that was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mlsysops_core.errors import InvalidInput
from pydantic import Field

from .base import NodeMechanism
from .command import Command, in_range, one_of
from .knob import Change, FileKnob, Knob, read_text
from .ledger import Entry

__all__ = ["PowerCap"]

_POWERCAP = "/sys/class/powercap"
_UNIT_MICROWATTS = 125_000
#: What no zone reaches that does not say its most: the field of the limit has 15 bits of 1/8 W (the same, 16.10.3).
_MOST_WATTS = 4095.875
#: Longest window that its field can hold: 1.75 * 2^31 units of 1/1024 s.
_MOST_SECONDS = 1.75 * 2**31 / 1024
#: Relative deviation of a time window: the hardware keeps it as (1 + f/4) * 2^y units, f 0 to 3 (Intel SDM vol. 3B, 16.10.3), and
#: the kernel rounds down (``rapl_compute_time_window_core``): at most by the fifth part that 1.25 is above 1.
_WINDOW_TOLERANCE = 0.2
#: The usual unit of time windows is 1/1024 s; a window is at least one.
_WINDOW_UNIT_MICROSECONDS = 977
#: The zone of the whole platform (``intel_rapl_common``): display, storage and all.
_PLATFORM = "psys"


class PowerCapCommand(Command):
    """Form of a command.

    Attributes:
        zone: Zone by its name (``package-0``) or directory (``intel-rapl:0``); ``all`` packages, not the whole platform.
        watts: Most power in watts.
        constraint: Which limit: ``long_term`` or ``short_term`` as a rule.
        window: Time over which the power is averaged, in seconds.
    """

    zone: str = "all"
    watts: float | int | None = None
    constraint: str = "long_term"
    window: float | int | None = Field(None, gt=0)


@dataclass(frozen=True)
class _Zone:
    root: Path
    directory: str

    def key(self, file: str) -> str:
        return f"{_POWERCAP}/{self.directory}/{file}"

    def text(self, file: str) -> str | None:
        return read_text(self.root / self.key(file).lstrip("/"))

    def number(self, file: str) -> int | None:
        text = self.text(file)
        return int(text) if text is not None and text.isdecimal() else None

    @property
    def name(self) -> str:
        return self.text("name") or self.directory

    @property
    def is_package(self) -> bool:
        return self.directory.count(":") == 1 and self.name != _PLATFORM

    def constraints(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for number in range(8):
            name = self.text(f"constraint_{number}_name")
            if name is not None:
                found[name] = number
        return found

    def most(self, constraint: int) -> float | None:
        """Highest limit in watts, where the zone says one."""
        value = self.number(f"constraint_{constraint}_max_power_uw")
        return value / 1e6 if value else None


class PowerCap(NodeMechanism):
    """Acts on powercap zones."""

    name: ClassVar[str] = "set_power_cap"
    permission: ClassVar[str] = "set_power_cap"
    model: ClassVar[type[Command]] = PowerCapCommand

    def _zones(self) -> list[_Zone]:
        directory = self._root / _POWERCAP.lstrip("/")
        names = [path.name for path in directory.glob("*:*") if re.fullmatch(r"[\w-]+(:\d+)+", path.name)]
        # Zones of a control type together, a longer name (intel-rapl-mmio) after its beginning.
        names.sort(key=lambda name: (name.split(":")[0], [int(number) for number in name.split(":")[1:]]))
        zones = [_Zone(self._root, name) for name in names]
        return [zone for zone in zones if zone.constraints()]

    def _unavailable(self) -> str:
        if not self._zones():
            return f"{_POWERCAP} has no zones with limits (no RAPL here, or its driver is not loaded)"
        return ""

    def _selected(self, command: PowerCapCommand) -> list[_Zone]:
        zones = self._zones()
        if command.zone == "all":
            return [zone for zone in zones if zone.is_package and command.constraint in zone.constraints()]
        found = [zone for zone in zones if command.zone == zone.directory]
        # Several control types may have a zone of one name (intel-rapl and intel-rapl-mmio): the first is the CPU's own.
        found = found or [zone for zone in zones if command.zone == zone.name][:1]
        if not found:
            one_of(command.zone, [zone.directory for zone in zones], "zone")
        return found

    def _assets(self, command: PowerCapCommand) -> frozenset[str]:
        return frozenset(f"set_power_cap/{zone.directory}" for zone in self._selected(command))

    def _changes(self, command: PowerCapCommand) -> list[Change]:
        if command.watts is None and command.window is None:
            raise InvalidInput(f"{self.name}: nothing to set (watts or window)")
        selected = self._selected(command)
        if not selected:
            raise InvalidInput(f"constraint: no zone has a limit {command.constraint!r}")
        return [change for zone in selected for change in self._of_zone(zone, command)]

    def _of_zone(self, zone: _Zone, command: PowerCapCommand) -> list[Change]:
        constraints = zone.constraints()
        one_of(command.constraint, constraints, f"{zone.name}: constraint")
        number = constraints[command.constraint]
        values: list[tuple[str, int]] = []
        if command.watts is not None:
            least = (zone.number(f"constraint_{number}_min_power_uw") or 0) / 1e6 or _UNIT_MICROWATTS / 1e6
            in_range(command.watts, least, zone.most(number) or _MOST_WATTS, f"{zone.name}: watts", " W")
            values.append((f"constraint_{number}_power_limit_uw", round(command.watts * 1e6)))
        if command.window is not None:
            shortest, longest = (
                None if (value := zone.number(f"constraint_{number}_{word}_time_window_us")) is None else value / 1e6
                for word in ("min", "max")
            )
            in_range(
                command.window,
                shortest or _WINDOW_UNIT_MICROSECONDS / 1e6,
                longest or _MOST_SECONDS,
                f"{zone.name}: window",
                " s",
            )
            values.append((f"constraint_{number}_time_window_us", round(command.window * 1e6)))
        # A limit of a zone that is switched off limits nothing; switched on last, with the limit in place.
        if command.watts is not None and zone.text("enabled") == "0":
            values.append(("enabled", 1))
        asset = f"set_power_cap/{zone.directory}"
        return [Change(self._file(zone.key(file)), str(value), asset) for file, value in values]

    def _file(self, key: str) -> FileKnob:
        if key.endswith("_power_limit_uw"):
            return FileKnob(self._root, key, compare=_same_power)
        if key.endswith("_time_window_us"):
            return FileKnob(self._root, key, compare=_same_window)
        return FileKnob(self._root, key)

    def _knob(self, entry: Entry) -> Knob:
        return self._file(entry.key)

    def _look(self) -> dict[str, Any]:
        zones: dict[str, Any] = {}
        for zone in self._zones():
            limits: dict[str, Any] = {}
            for name, number in zone.constraints().items():
                watts = zone.number(f"constraint_{number}_power_limit_uw")
                window = zone.number(f"constraint_{number}_time_window_us")
                limits[name] = {
                    "watts": None if watts is None else watts / 1e6,
                    "window": None if window is None else window / 1e6,
                }
            zones[zone.directory] = {
                "name": zone.name,
                "enabled": zone.text("enabled") != "0",
                "energy_joules": None if (energy := zone.number("energy_uj")) is None else energy / 1e6,
                "limits": limits,
            }
        return {"zones": zones}

    def _offer(self) -> dict[str, Any]:
        return {
            "zones": {
                zone.directory: {
                    "name": zone.name,
                    "constraints": {
                        name: {"max_watts": zone.most(number)} for name, number in zone.constraints().items()
                    },
                }
                for zone in self._zones()
            }
        }


def _same_power(wanted: str, found: str) -> bool:
    return _near(wanted, found, _UNIT_MICROWATTS)


def _same_window(wanted: str, found: str) -> bool:
    return wanted.isdecimal() and _near(wanted, found, int(wanted) * _WINDOW_TOLERANCE + _WINDOW_UNIT_MICROSECONDS)


def _near(wanted: str, found: str, tolerance: float) -> bool:
    if not (wanted.isdecimal() and found.isdecimal()):
        return wanted == found
    return abs(int(wanted) - int(found)) <= tolerance
