"""The series that reach an agent: newest values, windows, and who wants to hear of new ones."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlsysops_core.contracts import Sample

from .points import Kind, Point, SeriesKey
from .ring import Ring

__all__ = ["Ingested", "Series", "TelemetryStore"]

_log = logging.getLogger(__name__)

#: A series that says nothing this long has no "latest" value any more (Prometheus' lookback delta).
_STALE_SECONDS = 300.0
#: Sources' clocks may run ahead this much; what lies further in the future is taken as now.
_SKEW_SECONDS = 60.0


@dataclass(slots=True)
class Series:
    """One series and its newest values.

    Attributes:
        key: What tells it apart.
        attributes: Resource and point attributes together; a point's win.
        kind: How its values follow each other.
        unit: Unit as the source gave it.
        start: Seconds since the Unix epoch when a sum began; 0 where unknown.
        ring: The values.
    """

    key: SeriesKey
    attributes: Mapping[str, str]
    kind: Kind
    unit: str
    start: float
    ring: Ring

    def sample(self) -> Sample:
        """The newest value."""
        when, value = self.ring.last()
        return Sample(self.key.metric, value, when, self.attributes)

    def matches(self, wanted: Mapping[str, str]) -> bool:
        """Whether the attributes include the wanted ones."""
        return all(self.attributes.get(name) == value for name, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a batch.

    Attributes:
        accepted: Points stored.
        ignored: Points seen before (not newer than what is stored), which is no fault.
        too_old: Points older than anything that is kept.
    """

    accepted: int
    ignored: int
    too_old: int


class TelemetryStore:
    """Bounded store of series; satisfies `mlsysops_core.contracts.Telemetry`.

    Bounds: at most ``max_series`` series (the one silent for longest goes first), at most ``max_points`` values each,
    none older than ``max_age``. With the defaults that is 12 MB when full to the brim.

    Args:
        max_series: Most series kept.
        max_points: Most values kept of each.
        max_age: Seconds after which a value, and in the end its series, is forgotten.
        stale_after: Seconds of silence after which a series has no newest value any more.
        now: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        *,
        max_series: int = 2000,
        max_points: int = 360,
        max_age: float = 1800.0,
        stale_after: float = _STALE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._max_series = max_series
        self._max_points = max_points
        self._max_age = max_age
        self._stale_after = stale_after
        self._now = now
        self._series: OrderedDict[SeriesKey, Series] = OrderedDict()  # the one silent for longest first
        self._by_metric: dict[str, dict[SeriesKey, Series]] = {}
        self._subscribers: list[Callable[[Sequence[Sample]], None]] = []
        self._evicted = 0

    def __len__(self) -> int:
        return len(self._series)

    # -- writing -------------------------------------------------------------------------------------------------

    def ingest(self, points: Iterable[Point]) -> Ingested:
        """Store a batch and tell subscribers of what was new in it."""
        now = self._now()
        fresh: list[Sample] = []
        ignored = too_old = 0
        for point in points:
            if point.time < now - self._max_age:
                too_old += 1
                continue
            series = self._store(point, min(point.time, now) if point.time > now + _SKEW_SECONDS else point.time, now)
            if series is None:
                ignored += 1
            else:
                fresh.append(series.sample())
        self._forget(now)
        if fresh:
            for subscriber in tuple(self._subscribers):
                self._tell(subscriber, fresh)
        return Ingested(len(fresh), ignored, too_old)

    def _store(self, point: Point, when: float, now: float) -> Series | None:
        series = self._series.get(point.key)
        value = point.value
        if series is None:
            series = self._add(point)
        else:
            last_time, last_value = series.ring.last()
            if when <= last_time <= now + _SKEW_SECONDS:
                return None
            if point.kind in {Kind.DELTA_COUNTER, Kind.DELTA_SUM}:
                value += last_value
            series.start = point.start or series.start
            if when <= last_time:  # this machine's clock was put back: what is stored would be the newest for as long
                series.ring = Ring(self._max_points)
        series.ring.append(when, value)
        self._series.move_to_end(point.key)
        return series

    def _add(self, point: Point) -> Series:
        while len(self._series) >= self._max_series:
            self._remove(next(iter(self._series)))
            if not self._evicted:
                _log.warning(
                    "more than %d series of metrics arrive; those silent for longest are dropped", self._max_series
                )
            self._evicted += 1
        kind = {Kind.DELTA_COUNTER: Kind.COUNTER, Kind.DELTA_SUM: Kind.SUM}.get(point.kind, point.kind)
        attributes = dict(point.key.resource) | dict(point.key.attributes)
        series = Series(point.key, attributes, kind, point.unit, point.start, Ring(self._max_points))
        self._series[point.key] = series
        self._by_metric.setdefault(point.key.metric, {})[point.key] = series
        return series

    def _forget(self, now: float) -> None:
        """Drop series that are silent for longer than ``max_age``; the order makes this cheap."""
        while self._series:
            key, series = next(iter(self._series.items()))
            if series.ring.last()[0] >= now - self._max_age:
                return
            self._remove(key)

    def _remove(self, key: SeriesKey) -> None:
        del self._series[key]
        of_metric = self._by_metric[key.metric]
        del of_metric[key]
        if not of_metric:
            del self._by_metric[key.metric]

    # -- reading -------------------------------------------------------------------------------------------------

    def latest(self, metric: str, **attributes: str) -> Sample | None:
        """The newest sample of a metric whose attributes include the given ones (``service_name`` = ``service.name``).

        None where no such series spoke within ``stale_after`` seconds.
        """
        wanted = _wanted(attributes)
        found = (series.sample() for series in self._fresh(metric) if series.matches(wanted))
        return max(found, key=lambda sample: sample.time, default=None)

    def series(self, metric: str) -> Sequence[Sample]:
        """The newest sample of every series of a metric that spoke within ``stale_after`` seconds."""
        return [series.sample() for series in self._fresh(metric)]

    def metrics(self) -> Sequence[str]:
        """Names of all metrics stored, sorted."""
        return sorted(self._by_metric)

    def window(self, metric: str, seconds: float, **attributes: str) -> Sequence[Sample]:
        """All samples of the last ``seconds`` of matching series, oldest first."""
        wanted = _wanted(attributes)
        since = self._now() - min(seconds, self._max_age)
        found = [
            Sample(metric, value, when, series.attributes)
            for series in self._by_metric.get(metric, {}).values()
            if series.matches(wanted)
            for when, value in series.ring.since(since)
        ]
        found.sort(key=lambda sample: sample.time)
        return found

    def all_series(self) -> Iterator[Series]:
        """Every series, the one silent for longest first; do not write to them."""
        yield from tuple(self._series.values())

    def subscribe(self, callback: Callable[[Sequence[Sample]], None]) -> Callable[[], None]:
        """Call back with each batch of new samples as it arrives; returns what ends the subscription."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def _fresh(self, metric: str) -> Iterator[Series]:
        since = self._now() - self._stale_after
        for series in self._by_metric.get(metric, {}).values():
            if series.ring.last()[0] >= since:
                yield series

    def _tell(self, subscriber: Callable[[Sequence[Sample]], None], samples: Sequence[Sample]) -> None:
        try:
            subscriber(samples)
        except Exception:  # noqa: BLE001 - one subscriber's fault must not cost the others their samples
            _log.exception("a subscriber to telemetry failed on %d samples", len(samples))


def _wanted(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attribute names as keyword arguments can spell them; one with a dot is meant as it stands."""
    return {name if "." in name else name.replace("_", "."): value for name, value in attributes.items()}
