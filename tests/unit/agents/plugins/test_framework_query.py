"""``telemetry["query"]`` and the data frame as the MLSysOps framework's policies call them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from typing import Any

import pytest
from mlsysops_core.plugins.asking import data_frame
from mlsysops_core.plugins.compat import FrameworkQuery, framework_telemetry

needs_pandas = pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")


class Query:
    """Two metrics whose values come at different times."""

    def __init__(self) -> None:
        self.now = time.time()
        self.values = {
            "load": [(self.now - 600, 1.0), (self.now - 20, 2.0)],
            "delay": [(self.now - 30, 7.0), (self.now - 10, 8.0)],
        }

    def __call__(self, metric: str, attributes: Any = None) -> float | None:
        return self.latest(metric, attributes)

    def latest(self, metric: str, attributes: Any = None) -> float | None:
        return self.values[metric][-1][1] if metric in self.values and attributes is None else None

    def window(self, metric: str, seconds: float = 300.0) -> Sequence[dict[str, Any]]:
        return [
            {"time": when, "value": value, "attributes": {}}
            for when, value in self.values.get(metric, ())
            if when >= self.now - seconds
        ]

    def list(self) -> Sequence[str]:
        return list(self.values)


@pytest.fixture
def query() -> FrameworkQuery:
    return FrameworkQuery(Query())


def test_a_metric_is_asked_for_by_name(query: FrameworkQuery) -> None:
    assert query("load") == 2.0
    assert query(metric="load") == 2.0
    assert query("load", {"service.name": "none"}) is None


def test_keys_of_the_framework_are_there() -> None:
    telemetry: dict[str, Any] = {"query": Query()}
    assert framework_telemetry(telemetry) is telemetry
    assert telemetry["prometheus_endpoint"] is telemetry["grafana_endpoint"] is None
    assert telemetry["query"]("load") == 2.0


async def test_the_newest_row_says_of_which_time_it_is(query: FrameworkQuery) -> None:
    row = await query(latest=True)
    assert row["load"].values[0] == 2.0
    assert abs(row["timestamp"].values[0] - time.time()) < 600
    assert list(row.columns) == ["load", "delay", "timestamp", "human_timestamp"]


async def test_half_a_time_is_none(query: FrameworkQuery) -> None:
    with pytest.raises(ValueError, match="start_time and an end_time"):
        await query(start_time=1.0)


@needs_pandas
async def test_rows_of_a_time_and_all_rows_are_data_frames(query: FrameworkQuery) -> None:
    now = query.now
    assert list((await query())["load"])[:1] == [1.0]
    for rows in (await query(now - 25, now), await query(start_time=now - 25, end_time=now)):
        assert list(rows["timestamp"]) == [now - 20, now - 10]
        assert list(rows["load"]) == [2.0, 2.0]


@needs_pandas
def test_every_row_has_what_was_known_then(query: FrameworkQuery) -> None:
    frame = data_frame(query.window, ["load", "delay"], 60.0)
    assert list(frame["delay"]) == [7.0, 7.0, 8.0]
    assert frame["load"].isna().tolist() == [True, False, False]
    assert frame.iloc[-1]["load"] == 2.0
