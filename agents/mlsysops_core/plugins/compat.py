"""The few modules of the MLSysOps framework that its plug-ins import, so that they run here unmodified.

They exist only in `sys.modules` of a process that loads module plug-ins: nothing called ``mlsysops`` is installed, and
where a distribution of that name is installed it stays in charge.
"""

from __future__ import annotations

import importlib.util
import logging
import operator
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from .asking import data_frame, stamps
from .declaration import parse_interval
from .framework_modules import FrameworkTelemetryClient, MessageEvents

__all__ = [
    "Frame",
    "FrameworkLogger",
    "FrameworkQuery",
    "evaluate_condition",
    "framework_telemetry",
    "install_framework_modules",
]

#: Addresses of services that stand beside the framework's agents; here values come from the agent itself.
_ENDPOINTS = ("prometheus_endpoint", "grafana_endpoint")
#: All that an agent keeps of a metric (seconds).
_LONGEST_SECONDS = 1800.0
#: Relations of the descriptions' QoS metrics.
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "lower_or_equal": operator.le,
    "greater_or_equal": operator.ge,
    "equal": operator.eq,
    "lower_than": operator.lt,
    "greater_than": operator.gt,
}


class FrameworkLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger with the one extra level that the framework's policies use."""

    def test(self, message: str, *args: object, **kwargs: Any) -> None:
        """Log what the framework calls its test level; debug here."""
        self.debug(message, *args, **kwargs)


def evaluate_condition(a: Any, b: Any, relation: str) -> bool:
    """Compare ``a`` with ``b`` by the name of a relation.

    Raises:
        ValueError: The relation is unknown.
    """
    try:
        compare = _RELATIONS[relation]
    except KeyError:
        raise ValueError(f"unknown relation {relation!r} (one of {', '.join(_RELATIONS)})") from None
    return bool(compare(a, b))


def _parse_analyze_interval(interval: str) -> int:
    return int(parse_interval(interval))


class Column:
    """One column of a `Frame`."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)
        self.iloc = self.values

    def __getitem__(self, index: int) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)


class Frame:
    """The corner of a data frame that the framework's policies look at, where pandas is not in use.

    A metric that has no value yet is a column of None, as those policies expect.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = dict(row)

    @property
    def columns(self) -> list[str]:
        """Names of the metrics."""
        return list(self._row)

    @property
    def empty(self) -> bool:
        """Whether there is no metric at all."""
        return not self._row

    def __getitem__(self, metric: str) -> Column:
        return Column([self._row.get(metric)])

    def __contains__(self, metric: object) -> bool:
        return metric in self._row

    def __len__(self) -> int:
        return int(bool(self._row))


class FrameworkQuery:
    """``telemetry["query"]`` for module policies: also the framework's form, a coroutine that gives rows of all metrics.

    Source: its ``query(start_time=None, end_time=None, latest=False)``: the newest row, those of a time (seconds since the Unix
    epoch), or all there are.

    Args:
        query: The agent's own query, a callable with ``latest`` and ``list``.
    """

    def __init__(self, query: Any) -> None:
        self._query = query

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return one metric's newest value, or (without a metric) a coroutine of the frame."""
        if "metric" in options or (arguments and isinstance(arguments[0], str)):
            return self._query(*arguments, **options)
        return self._frame(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)

    async def _frame(self, start_time: float | None = None, end_time: float | None = None, latest: bool = False) -> Any:
        if latest:
            return self._newest()
        if (start_time is None) != (end_time is None):
            raise ValueError("a time has a start_time and an end_time")
        now = time.time()
        since = _LONGEST_SECONDS if start_time is None else max(0.0, now - start_time)
        frame = data_frame(self._query.window, self._query.list(), since)
        if start_time is None:
            return frame
        return frame[(frame["timestamp"] >= start_time) & (frame["timestamp"] <= end_time)]

    def _newest(self) -> Any:
        row = {name: self._query.latest(name) for name in self._query.list()}
        if row:
            row |= stamps(time.time())
        # A policy that works with pandas has imported it; nobody else pays for it.
        pandas = sys.modules.get("pandas")
        return _pandas_frame(pandas, row) if pandas is not None else Frame(row)


def _pandas_frame(pandas: Any, row: Mapping[str, Any]) -> Any:
    """Return a pandas DataFrame of one row, in which a metric without a value is a column of None, as in `Frame`."""

    class MetricsFrame(pandas.DataFrame):  # type: ignore[misc]
        def __getitem__(self, key: Any) -> Any:
            if isinstance(key, str) and key not in self.columns:
                return pandas.Series([None] * len(self), dtype=object, name=key)
            return super().__getitem__(key)

    return MetricsFrame([row])


def framework_telemetry(telemetry: dict[str, Any]) -> dict[str, Any]:
    """Return the telemetry argument with a query that understands the framework's calls; the same object."""
    for endpoint in _ENDPOINTS:
        telemetry.setdefault(endpoint, None)
    query = telemetry.get("query")
    if query is not None and not isinstance(query, FrameworkQuery) and hasattr(query, "list"):
        telemetry["query"] = FrameworkQuery(query)
    return telemetry


def install_framework_modules() -> None:
    """Make importable what the framework's plug-ins import; does nothing where the real thing is installed."""
    _install_telemetry_client()
    if "mlsysops" in sys.modules or importlib.util.find_spec("mlsysops") is not None:
        return
    logger = FrameworkLogger(logging.getLogger("mlsysops.policy"), {})
    modules: dict[str, dict[str, Any]] = {
        "logger_util": {"logger": logger},
        "utilities": {
            "logger": logger,
            "evaluate_condition": evaluate_condition,
            "parse_analyze_interval": _parse_analyze_interval,
        },
        "events": {"MessageEvents": MessageEvents},
    }
    package = _module("mlsysops", {"MessageEvents": MessageEvents, "logger": logger})
    package.__path__ = []
    for name, contents in modules.items():
        package.__dict__[name] = _module(f"mlsysops.{name}", contents)


def _install_telemetry_client() -> None:
    # A plug-in whose own environment has the framework's client gets that one.
    if "mlstelemetry" not in sys.modules and importlib.util.find_spec("mlstelemetry") is None:
        _module("mlstelemetry", {"MLSTelemetry": FrameworkTelemetryClient})


def _module(name: str, contents: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(name, "Stand-in for a module of the MLSysOps framework.")
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module
