"""Telemetry as policies get it: ``{"dataframe": …, "query": …}``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .store import TelemetryStore

__all__ = ["Query", "TelemetryArgument", "data_frame", "has_pandas", "telemetry_argument"]

_WINDOW_SECONDS = 300.0


class Query:
    """Asks the store for a metric; the object behind ``telemetry["query"]``."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    def __call__(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """The newest value of a metric (with these attributes), or None."""
        return self.latest(metric, attributes)

    def latest(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """The newest value of a metric (with these attributes, e.g. ``{"service.name": …}``), or None."""
        found = self._store.latest(metric, **(attributes or {}))
        return found.value if found else None

    def window(
        self, metric: str, seconds: float = _WINDOW_SECONDS, attributes: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Values of the last ``seconds``: dicts with ``time``, ``value`` and ``attributes``, oldest first."""
        return [
            {"time": sample.time, "value": sample.value, "attributes": dict(sample.attributes)}
            for sample in self._store.window(metric, seconds, **(attributes or {}))
        ]

    def list(self) -> Sequence[str]:
        """Names of all metrics there are."""
        return self._store.metrics()


def has_pandas() -> bool:
    """Whether pandas is installed; it is never imported to find out."""
    return importlib.util.find_spec("pandas") is not None


def data_frame(store: TelemetryStore, metrics: Sequence[str], seconds: float = _WINDOW_SECONDS) -> Any:
    """A pandas DataFrame: a column a metric, ``timestamp`` (epoch seconds) and ``human_timestamp``, a row an instant.

    Policies of the MLSysOps framework expect these columns. None where pandas is not installed.

    Args:
        store: Where values come from.
        metrics: Columns wanted; a metric without values gives an empty column.
        seconds: How far back.
    """
    if not has_pandas():
        return None
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]

    rows: dict[float, dict[str, Any]] = {}
    for metric in metrics:
        for sample in store.window(metric, seconds):
            rows.setdefault(sample.time, {})[metric] = sample.value
    records = [
        {
            **rows[when],
            "timestamp": when,
            "human_timestamp": datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        for when in sorted(rows)
    ]
    return pd.DataFrame(records, columns=[*metrics, "timestamp", "human_timestamp"])


class TelemetryArgument(dict[str, Any]):
    """The ``telemetry`` argument of a policy; its data frame is made when the policy first looks at it.

    That is how a policy asks for one: pandas is not imported for policies that do not.
    """

    def __init__(self, store: TelemetryStore, metrics: Sequence[str]) -> None:
        super().__init__(query=Query(store), dataframe=None)
        self._store = store
        self._metrics = metrics
        self._made = False

    def __getitem__(self, key: str) -> Any:
        if key == "dataframe" and not self._made:
            self._made = True
            self[key] = data_frame(self._store, self._metrics)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any dict."""
        try:
            return self[key]
        except KeyError:
            return default


def telemetry_argument(store: TelemetryStore, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """The ``telemetry`` argument of a policy.

    Args:
        store: Where values come from.
        metrics: Columns of the data frame: what the policy named in its context; all there are where it named none.
    """
    return TelemetryArgument(store, metrics or store.metrics())
