"""Telemetry as policies get it: ``{"dataframe": …, "query": …}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysops_core.plugins.asking import Telemetry, has_pandas
from mlsysops_core.plugins.asking import data_frame as frame

from .store import TelemetryStore

__all__ = ["Query", "data_frame", "has_pandas", "telemetry_argument"]

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


def data_frame(store: TelemetryStore, metrics: Sequence[str], seconds: float = _WINDOW_SECONDS) -> Any:
    """The data frame of `mlsysops_core.plugins.asking.data_frame` over a store."""
    return frame(Query(store).window, metrics, seconds)


def telemetry_argument(store: TelemetryStore, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """The ``telemetry`` argument of a policy.

    Args:
        store: Where values come from.
        metrics: Columns of the data frame: what the policy named in its context; all there are where it named none.
    """
    return Telemetry(Query(store), metrics)
