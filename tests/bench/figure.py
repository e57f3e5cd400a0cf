"""A measured figure and the bar it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Attributes:
        name: Stable identifier, e.g. ``cli_help_ratio``.
        value: What was measured; None where it could not be, with the reason in `note`.
        unit: Unit of value and bar; empty for ratios.
        bar: The figure to meet.
        better: Whether lower or higher values are better.
        note: Why there is no value, or what to know about it.
    """

    name: str
    value: float | None
    unit: str
    bar: float
    better: Literal["lower", "higher"] = "lower"
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the bar is met; a figure that could not be measured is not."""
        if self.value is None:
            return False
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar

    def row(self) -> dict[str, object]:
        """The row as `build/bench.json` has it."""
        row: dict[str, object] = {
            "name": self.name,
            "value": None if self.value is None else round(self.value, 4),
            "unit": self.unit,
            "bar": self.bar,
            "ok": self.ok,
        }
        if self.note:
            row["note"] = self.note
        return row
