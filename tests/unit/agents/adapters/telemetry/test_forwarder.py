"""The forwarder's bookkeeping: what is owed to the tier above, and when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from mlsysops_agents.adapters.telemetry import Forwarder, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.telemetry.forwarder import PushError

NOW = 1_000_000.0


class Upstream:
    """Takes batches, or fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[Point]] = []
        self.failure: PushError | None = None

    async def __call__(self, points: Sequence[Point]) -> None:
        if self.failure is not None:
            raise self.failure
        self.batches.append(list(points))

    def values(self) -> list[dict[str, float]]:
        return [{point.key.metric: point.value for point in batch} for batch in self.batches]


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def store() -> TelemetryStore:
    return TelemetryStore(max_series=5000, now=lambda: NOW)


def ingest(store: TelemetryStore, when: float, **values: float) -> None:
    store.ingest([Point(SeriesKey.make(name), value, NOW - 100 + when) for name, value in values.items()])


async def test_newest_value_of_each_series_once(store: TelemetryStore, upstream: Upstream) -> None:
    forwarder = Forwarder(store, upstream, interval=5)
    ingest(store, 1, a=1, b=1)
    ingest(store, 2, a=2)

    assert await forwarder.cycle() == 5
    assert await forwarder.cycle() == 5
    ingest(store, 3, b=3)
    await forwarder.cycle()

    assert upstream.values() == [{"a": 2, "b": 1}, {"b": 3}]


async def test_a_clock_that_is_put_back_holds_nothing_back(upstream: Upstream) -> None:
    now = NOW
    store = TelemetryStore(now=lambda: now)
    forwarder = Forwarder(store, upstream, interval=5)
    ingest(store, 100, a=1)
    await forwarder.cycle()
    now -= 3600
    ingest(store, 100 - 3600, a=2)
    await forwarder.cycle()
    await forwarder.cycle()
    assert upstream.values() == [{"a": 1}, {"a": 2}]


async def test_outage_costs_intermediate_values_only(store: TelemetryStore, upstream: Upstream) -> None:
    forwarder = Forwarder(store, upstream, interval=5)
    upstream.failure = PushError("away", retryable=True)
    waits = []
    for index in range(6):
        ingest(store, index, a=index)
        waits.append(await forwarder.cycle())
    upstream.failure = None
    await forwarder.cycle()

    assert waits == [5, 10, 20, 30, 30, 30]
    assert upstream.values() == [{"a": 5}]
    assert forwarder.failures == 0
    assert await forwarder.cycle() == 5


async def test_waits_as_long_as_the_receiver_asks(store: TelemetryStore, upstream: Upstream) -> None:
    forwarder = Forwarder(store, upstream, interval=5)
    upstream.failure = PushError("busy", retryable=True, retry_after=120)
    ingest(store, 1, a=1)

    assert await forwarder.cycle() == 120


async def test_refused_values_are_dropped(store: TelemetryStore, upstream: Upstream) -> None:
    forwarder = Forwarder(store, upstream, interval=5)
    upstream.failure = PushError("HTTP 400", retryable=False)
    ingest(store, 1, a=1)

    assert await forwarder.cycle() == 5
    upstream.failure = None
    ingest(store, 2, b=1)
    await forwarder.cycle()

    assert upstream.values() == [{"b": 1}]


async def test_large_amounts_go_in_batches(store: TelemetryStore, upstream: Upstream) -> None:
    forwarder = Forwarder(store, upstream, interval=5)
    ingest(store, 1, **{f"m{index}": 1.0 for index in range(2500)})

    await forwarder.cycle()

    assert [len(batch) for batch in upstream.batches] == [1000, 1000, 500]


async def test_bookkeeping_forgets_series_that_are_gone(upstream: Upstream) -> None:
    now = [NOW]
    store = TelemetryStore(max_age=60, now=lambda: now[0])
    forwarder = Forwarder(store, upstream, interval=5)
    store.ingest([Point(SeriesKey.make("a"), 1, NOW)])
    await forwarder.cycle()
    now[0] += 100
    store.ingest([Point(SeriesKey.make("b"), 1, NOW + 100)])
    await forwarder.cycle()
    store.ingest([Point(SeriesKey.make("a"), 2, NOW + 50)])
    await forwarder.cycle()

    assert upstream.values() == [{"a": 1}, {"b": 1}, {"a": 2}]
