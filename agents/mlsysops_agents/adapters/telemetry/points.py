"""A measured value on its way: what OTLP carries, reduced to one number, its time and who said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Kind", "Point", "SeriesKey"]

Attributes = tuple[tuple[str, str], ...]


class Kind(StrEnum):
    """How values of a series follow each other (OpenTelemetry metrics data model, "Metric points")."""

    GAUGE = "gauge"
    #: Cumulative sum that only grows.
    COUNTER = "counter"
    #: Cumulative sum that may fall.
    SUM = "sum"
    #: Change since the last point of a sum that only grows; stored as COUNTER.
    DELTA_COUNTER = "delta-counter"
    #: Change since the last point of a sum that may fall; stored as SUM.
    DELTA_SUM = "delta-sum"


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What tells two series apart.

    Attributes:
        metric: Metric name as the source gave it.
        resource: Sorted resource attributes.
        attributes: Sorted attributes of the point.
    """

    metric: str
    resource: Attributes = ()
    attributes: Attributes = ()

    @classmethod
    def make(
        cls, metric: str, resource: Mapping[str, str] | None = None, attributes: Mapping[str, str] | None = None
    ) -> SeriesKey:
        """A key from attributes in any order."""
        return cls(metric, tuple(sorted((resource or {}).items())), tuple(sorted((attributes or {}).items())))


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one series.

    Attributes:
        key: The series.
        value: The value; for sums since the start, for DELTA kinds since the last point.
        time: Seconds since the Unix epoch when it was observed.
        kind: How values of the series follow each other.
        unit: Unit as in UCUM (``By``, ``1``, ``s``); may be empty.
        start: Seconds since the Unix epoch when a sum began; 0 where unknown.
    """

    key: SeriesKey
    value: float
    time: float
    kind: Kind = field(default=Kind.GAUGE)
    unit: str = ""
    start: float = 0.0
