"""The store of series: newest values, windows, bounds, subscribers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from mlsysops_agents.adapters.telemetry import Kind, Point, SeriesKey, TelemetryStore
from mlsysops_core.contracts import Sample, Telemetry


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> TelemetryStore:
    return TelemetryStore(max_series=10, max_points=5, max_age=600, stale_after=300, now=clock)


def point(
    value: float,
    when: float,
    metric: str = "m",
    kind: Kind = Kind.GAUGE,
    point_attributes: dict[str, str] | None = None,
    **resource: str,
) -> Point:
    key = SeriesKey.make(metric, {name.replace("_", "."): text for name, text in resource.items()}, point_attributes)
    return Point(key, value, when, kind)


def test_is_what_the_contract_asks_for(store: TelemetryStore) -> None:
    telemetry: Telemetry = store

    assert telemetry.metrics() == []
    assert telemetry.latest("m") is None
    assert telemetry.series("m") == []


def test_latest_of_matching_series(store: TelemetryStore, clock: Clock) -> None:
    store.ingest(
        [
            point(1, clock.now - 3, service_name="a", k8s_node_name="n1"),
            point(2, clock.now - 2, service_name="b", k8s_node_name="n1"),
            point(3, clock.now - 1, service_name="a", k8s_node_name="n2"),
        ]
    )

    newest = store.latest("m")
    assert newest is not None
    assert newest.value == 3
    found = store.latest("m", service_name="a", **{"k8s.node.name": "n1"})
    assert found is not None
    assert (found.value, found.time) == (1, clock.now - 3)
    assert found.attributes == {"service.name": "a", "k8s.node.name": "n1"}
    assert store.latest("m", service_name="c") is None
    assert sorted(sample.value for sample in store.series("m")) == [1, 2, 3]


def test_point_attributes_win_over_the_resource(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(1, clock.now, service_name="a", point_attributes={"service.name": "b"})])

    assert store.latest("m", service_name="b") is not None


def test_window_is_in_order_of_time(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(index, clock.now - 10 + index, service_name="a") for index in range(4)])
    store.ingest([point(10 + index, clock.now - 10.5 + index, service_name="b") for index in range(4)])

    assert [sample.value for sample in store.window("m", 9)] == [1, 12, 2, 13, 3]
    assert [sample.value for sample in store.window("m", 9, service_name="a")] == [1, 2, 3]
    assert store.window("other", 9) == []


def test_silent_series_has_no_latest_but_keeps_its_window(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(1, clock.now)])
    clock.now += 301

    assert store.latest("m") is None
    assert store.series("m") == []
    assert len(store.window("m", 600)) == 1


def test_old_series_are_forgotten(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(1, clock.now, "old"), point(1, clock.now, "kept")])
    clock.now += 500
    store.ingest([point(2, clock.now, "kept")])
    clock.now += 200
    store.ingest([point(3, clock.now, "kept")])

    assert store.metrics() == ["kept"]


def test_points_per_series_are_bounded(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(index, clock.now - 20 + index) for index in range(20)])

    assert [sample.value for sample in store.window("m", 600)] == [15, 16, 17, 18, 19]


def test_series_are_bounded_and_the_longest_silent_goes(
    store: TelemetryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.ingest([point(1, clock.now - 10, f"m{index}") for index in range(10)])
    store.ingest([point(2, clock.now, "m0")])
    with caplog.at_level(logging.WARNING):
        store.ingest([point(1, clock.now, "new1"), point(1, clock.now, "new2")])

    assert len(store) == 10
    assert {"m0", "new1", "new2"} <= set(store.metrics())
    assert {"m1", "m2"}.isdisjoint(store.metrics())
    assert len(caplog.records) == 1


def test_repeated_and_late_points_are_ignored(store: TelemetryStore, clock: Clock) -> None:
    assert store.ingest([point(1, clock.now)]).accepted == 1

    result = store.ingest([point(1, clock.now), point(0, clock.now - 5), point(0, clock.now - 601)])

    assert (result.accepted, result.ignored, result.too_old) == (0, 2, 1)


def test_a_clock_that_runs_ahead_is_taken_as_now(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(1, clock.now + 3600), point(1, clock.now + 30, "slightly")])

    far, near = store.latest("m"), store.latest("slightly")
    assert far is not None
    assert near is not None
    assert far.time == clock.now
    assert near.time == clock.now + 30


def test_a_clock_that_is_put_back_does_not_freeze_what_is_known(store: TelemetryStore, clock: Clock) -> None:
    heard: list[float] = []
    store.subscribe(lambda samples: heard.extend(sample.value for sample in samples))
    for ago in (2, 1):
        store.ingest([point(1.0, clock.now - ago)])
    store.ingest([point(1.0, clock.now, "total", Kind.DELTA_COUNTER)])
    clock.now -= 3600
    store.ingest([point(2.0, clock.now), point(2.0, clock.now, "total", Kind.DELTA_COUNTER)])
    assert [store.latest(name).value for name in ("m", "total")] == [2.0, 3.0]  # type: ignore[union-attr]
    assert heard == [1.0, 1.0, 1.0, 2.0, 3.0]
    assert [sample.value for sample in store.window("m", 600)] == [2.0]
    store.ingest([point(9.0, clock.now)])  # heard before
    assert len(heard) == 5


def test_deltas_become_cumulative(store: TelemetryStore, clock: Clock) -> None:
    store.ingest([point(value, clock.now + index, kind=Kind.DELTA_COUNTER) for index, value in enumerate([3, 4, 5])])

    latest = store.latest("m")
    assert latest is not None
    assert latest.value == 12
    assert [series.kind for series in store.all_series()] == [Kind.COUNTER]


def test_subscribers_get_new_samples_once_each(
    store: TelemetryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Sequence[Sample]] = []

    def broken(_: Sequence[Sample]) -> None:
        raise RuntimeError("broken subscriber")

    store.subscribe(broken)
    unsubscribe = store.subscribe(heard.append)
    store.ingest([point(1, clock.now), point(2, clock.now, "other")])
    store.ingest([point(1, clock.now)])
    unsubscribe()
    unsubscribe()
    store.ingest([point(1, clock.now + 1)])

    assert [[sample.metric for sample in batch] for batch in heard] == [["m", "other"]]
    assert "broken subscriber" in caplog.text
