"""Telemetry as policies get it."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from mlsysops_agents.adapters.telemetry import Point, SeriesKey, TelemetryStore, telemetry_argument
from mlsysops_agents.adapters.telemetry.query import data_frame
from mlsysops_core.plugins import PluginError, asking

NOW = 1_000_000.0


@pytest.fixture
def store() -> TelemetryStore:
    store = TelemetryStore(now=lambda: NOW)
    a = SeriesKey.make("m", {"service.name": "a"})
    store.ingest([Point(a, 1, NOW - 20), Point(a, 2, NOW - 10), Point(SeriesKey.make("n"), 5, NOW - 10)])
    return store


def test_query(store: TelemetryStore) -> None:
    query = telemetry_argument(store)["query"]

    assert query("m") == 2
    assert query.latest("m", {"service.name": "a"}) == 2
    assert query.latest("m", {"service.name": "b"}) is None
    assert query.list() == ["m", "n"]
    assert query.window("m", 15) == [{"time": NOW - 10, "value": 2.0, "attributes": {"service.name": "a"}}]


def test_pandas_is_not_imported_unless_asked_for(store: TelemetryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test of this process may have loaded it, by way of the solver.
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    telemetry = telemetry_argument(store, ["m"])

    assert set(telemetry) == {"query", "dataframe"}
    assert telemetry.get("prometheus_endpoint", "none") == "none"
    assert "pandas" not in sys.modules


def test_without_pandas_whoever_asks_for_the_frame_is_told(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "has_pandas", lambda: False)
    telemetry = telemetry_argument(store, ["m"])

    assert telemetry["query"]("m") == 2.0
    for ask in (lambda: telemetry["dataframe"], lambda: telemetry.get("dataframe")):
        with pytest.raises(PluginError, match=r"pandas.*extra 'dataframe'.*packages"):
            ask()


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")
def test_frame_has_a_column_a_metric(store: TelemetryStore) -> None:
    frame = data_frame(store, ["m", "n", "missing"])

    assert list(frame.columns) == ["m", "n", "missing", "timestamp", "human_timestamp"]
    assert list(frame["m"]) == [1, 2]
    assert list(frame["timestamp"]) == [NOW - 20, NOW - 10]
