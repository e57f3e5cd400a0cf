"""The telemetry and the models of an agent, as a policy in a worker process reaches them: by asking over a socket.

A policy asks from the middle of its own code (``telemetry["query"]("load")`` is no coroutine), so the worker waits for the
answer there and then; what nobody asks for is never sent.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from mlsysops_core import errors
from mlsysops_core.errors import MlsError

from .declaration import PluginError

__all__ = ["Asker", "RemoteModels", "RemoteTelemetry", "data_frame", "has_pandas", "receive_exactly", "stamps"]

_HEAD = struct.Struct(">I")
_WINDOW_SECONDS = 300.0


class Asker:
    """One question at a time to the agent.

    Args:
        connection: A blocking socket to it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._turn = threading.Lock()

    def ask(self, call: int, operation: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer.

        Raises:
            MlsError: What the agent raised where it is one of `mlsysops_core.errors`.
            RuntimeError: The agent says why there is none.
        """
        question = json.dumps({"call": call, "op": operation, "args": arguments}).encode()
        with self._turn:
            self._connection.sendall(_HEAD.pack(len(question)) + question)
            (length,) = _HEAD.unpack(receive_exactly(self._connection, _HEAD.size))
            answer = json.loads(receive_exactly(self._connection, length))
        if "raised" in answer:
            raise _error(**answer["raised"])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]


class RemoteQuery:
    """``telemetry["query"]``."""

    def __init__(self, asker: Asker, call: int) -> None:
        self._asker = asker
        self._call = call

    def __call__(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """Return the newest value of a metric, or None."""
        return self.latest(metric, attributes)

    def latest(self, metric: str, attributes: Mapping[str, str] | None = None) -> float | None:
        """Return the newest value of a metric (with these attributes), or None."""
        value: float | None = self._asker.ask(self._call, "latest", metric, dict(attributes or {}))
        return value

    def window(
        self, metric: str, seconds: float = _WINDOW_SECONDS, attributes: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the values of the last ``seconds``: dicts with ``time``, ``value`` and ``attributes``, oldest first."""
        values: list[dict[str, Any]] = self._asker.ask(self._call, "window", metric, seconds, dict(attributes or {}))
        return values

    def list(self) -> Sequence[str]:
        """Return the names of all metrics there are."""
        names: Sequence[str] = self._asker.ask(self._call, "list")
        return names


class Windows(Protocol):
    """What ``telemetry["query"]`` is, as far as a data frame is made from it."""

    def window(self, metric: str, seconds: float = ...) -> Sequence[Mapping[str, Any]]:
        """Return the values of the last ``seconds``, oldest first."""

    def list(self) -> Sequence[str]:
        """Return the names of all metrics there are."""


class Telemetry(dict[str, Any]):
    """The ``telemetry`` argument; its data frame is made when the policy first looks at it.

    That is how a policy asks for one: pandas is not imported for policies that do not.

    Args:
        query: Answers questions for metrics.
        metrics: Columns of the data frame: what the policy named in its context; all there are where it named none.
    """

    def __init__(self, query: Windows, metrics: Sequence[str] = ()) -> None:
        super().__init__(query=query, dataframe=None)
        self._query = query
        self._metrics = metrics
        self._made = False

    def __getitem__(self, key: str) -> Any:
        if key == "dataframe" and not self._made:
            self[key] = data_frame(self._query.window, self._metrics or self._query.list())
            self._made = True
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any dict."""
        try:
            return self[key]
        except KeyError:
            return default


class RemoteTelemetry(Telemetry):
    """The ``telemetry`` argument of a worker."""

    def __init__(self, asker: Asker, call: int, metrics: Sequence[str]) -> None:
        super().__init__(RemoteQuery(asker, call), metrics)


class RemoteModels:
    """The ``ml_connector`` argument: every method is a coroutine that the agent's connector carries out."""

    def __init__(self, asker: Asker, call: int) -> None:
        self._asker = asker
        self._call = call

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def method(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(self._asker.ask, self._call, "model", name, arguments, options)

        return method


def _error(kind: str, message: str, hint: str) -> MlsError:
    known = getattr(errors, kind) if kind in errors.__all__ else MlsError
    made: MlsError = known(message, hint=hint)
    return made


def has_pandas() -> bool:
    """Whether pandas is installed; it is never imported to find out."""
    return importlib.util.find_spec("pandas") is not None


def data_frame(
    window: Callable[[str, float], Sequence[Mapping[str, Any]]],
    metrics: Sequence[str],
    seconds: float = _WINDOW_SECONDS,
) -> Any:
    """Return a pandas DataFrame: a column a metric, ``timestamp`` (epoch seconds), ``human_timestamp``, a row an instant.

    Policies of the MLSysOps framework expect these columns, and in every row what is known of every metric at that instant: a value
    counts until the next one comes.

    Args:
        window: Returns the values of a metric in the last seconds, each with ``time`` and ``value``.
        metrics: Columns wanted; a metric without values gives an empty column.
        seconds: How far back.

    Raises:
        PluginError: pandas is not installed where the policy runs.
    """
    if not has_pandas():
        raise PluginError(
            "telemetry['dataframe'] needs pandas, which is not installed here: install the extra 'dataframe' (mls_policy_dataframe "
            "of the inventory does), or name pandas among the policy's packages"
        )
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]

    rows: dict[float, dict[str, Any]] = {}
    for metric in metrics:
        for sample in window(metric, seconds):
            rows.setdefault(sample["time"], {})[metric] = sample["value"]
    records: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    for when in sorted(rows):
        known |= rows[when]
        records.append({**known, **stamps(when)})
    return pd.DataFrame(records, columns=[*metrics, "timestamp", "human_timestamp"])


def stamps(when: float) -> dict[str, Any]:
    """Return the columns of a row that say of which time it is.

    Args:
        when: Seconds since the Unix epoch.
    """
    return {
        "timestamp": when,
        "human_timestamp": datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    }


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Return exactly so many bytes.

    Raises:
        ConnectionError: The other side is gone.
    """
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the agent is gone")
        data += part
    return bytes(data)
