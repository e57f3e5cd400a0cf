"""Pushes a few metrics as OTLP/HTTP (protobuf), with asyncio's streams alone: an HTTP library would cost more than the rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

__all__ = ["Exporter", "Reading", "encode"]

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 3.0
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a metric now.

    Attributes:
        name: Metric name.
        value: The value.
        counter: Whether it counts since the process began; a gauge otherwise.
    """

    name: str
    value: int
    counter: bool = False


def encode(readings: list[Reading], resource: Mapping[str, str], *, start: float, now: float) -> bytes:
    """An ``ExportMetricsServiceRequest``; times in seconds since the Unix epoch."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in sorted(resource.items()):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    scope.scope.name = "mlsysops_testapp"
    for reading in readings:
        metric = scope.metrics.add(name=reading.name, unit="{message}")
        if reading.counter:
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            point = metric.sum.data_points.add(start_time_unix_nano=round(start * _NANOSECONDS))
        else:
            point = metric.gauge.data_points.add()
        point.time_unix_nano = round(now * _NANOSECONDS)
        point.as_int = reading.value
    return bytes(request.SerializeToString())


class Exporter:
    """Pushes readings; a receiver that is away costs the readings, never the application.

    Args:
        endpoint: Host and port; None pushes nowhere.
        resource: Who speaks.
    """

    def __init__(self, endpoint: tuple[str, int] | None, resource: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._resource = resource
        self._start = time.time()
        self._failing = False

    async def push(self, readings: list[Reading]) -> bool:
        """Push; whether it was taken."""
        if self._endpoint is None:
            return False
        body = encode(readings, self._resource, start=self._start, now=time.time())
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await _post(*self._endpoint, body)
        except (OSError, ValueError, asyncio.IncompleteReadError) as exc:  # TimeoutError is an OSError
            self._complain(str(exc) or type(exc).__name__)
            return False
        if status != 200:
            self._complain(f"HTTP {status}")
            return False
        if self._failing:
            _log.info("telemetry is taken again")
            self._failing = False
        return True

    def _complain(self, why: str) -> None:
        if not self._failing:
            _log.warning("telemetry not taken, going on without: %s", why)
            self._failing = True


async def _post(host: str, port: int, body: bytes) -> int:
    """POST to ``/v1/metrics``; returns the HTTP status.

    Raises:
        OSError: No connection.
        ValueError: The answer is not HTTP.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        name = f"[{host}]" if ":" in host else host
        head = (
            f"POST /v1/metrics HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/x-protobuf\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        parts = (await reader.readline()).split()
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/"):
            raise ValueError("the answer is not HTTP")
        return int(parts[1])
    finally:
        writer.close()
