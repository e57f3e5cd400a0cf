"""OTLP metrics, protobuf and JSON, to and from points (OpenTelemetry protocol 1.x, ``opentelemetry.proto.metrics.v1``)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from google.protobuf import json_format  # type: ignore[import-untyped,unused-ignore] # has no annotations
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from mlsysops_core.errors import InvalidInput
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from .points import Kind, Point, SeriesKey

__all__ = ["Decoded", "Encoding", "decode_request", "encode_error", "encode_request", "encode_response"]

Encoding = Literal["protobuf", "json"]

_NANOSECONDS = 1_000_000_000
_MAX_ATTRIBUTES = 32
_MAX_TEXT = 256
#: The source's SDK tells nothing about what was measured, and would only make series distinct.
_NOISE = "telemetry.sdk."
_NO_VALUE = pb.DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


@dataclass(frozen=True, slots=True)
class Decoded:
    """The content of a request.

    Attributes:
        points: What can be stored.
        rejected: Number of data points that cannot.
        reason: Why the last of those was rejected.
    """

    points: list[Point]
    rejected: int
    reason: str


def decode_request(
    body: bytes, encoding: Encoding, *, now: float, defaults: Mapping[str, str] | None = None
) -> Decoded:
    """Points of an ``ExportMetricsServiceRequest``.

    A histogram (exponential or not) or summary ``m`` becomes ``m`` (mean), ``m.count`` and ``m.sum``.

    Args:
        body: The request's body, not compressed.
        encoding: How it is encoded.
        now: Time for points that have none, in seconds since the Unix epoch.
        defaults: Resource attributes added where the source does not give them.

    Raises:
        InvalidInput: The body is no such message.
    """
    request = service.ExportMetricsServiceRequest()
    try:
        if encoding == "protobuf":
            request.ParseFromString(body)
        else:
            value = json.loads(body)
            if not isinstance(value, dict):
                raise InvalidInput("not an OTLP metrics request: the JSON is no object")
            json_format.ParseDict(value, request, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as exc:
        raise InvalidInput(f"not an OTLP metrics request: {' '.join(str(exc).split())[:200]}") from exc
    points: list[Point] = []
    rejected = 0
    reason = ""
    for group in request.resource_metrics:
        resource = dict(defaults or {}) | _attributes(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                for found in _points(metric, resource, now):
                    if isinstance(found, Point):
                        points.append(found)
                    else:
                        rejected += 1
                        reason = f"{metric.name[:_MAX_TEXT] or 'a metric without name'}: {found}"
    return Decoded(points, rejected, reason)


def _points(metric: pb.Metric, resource: Mapping[str, str], now: float) -> Iterator[Point | str]:
    """Points of a metric, or for each that cannot be stored the reason."""
    which = metric.WhichOneof("data")
    if which is None:
        return
    data = getattr(metric, which)
    for point in data.data_points:
        if point.flags & _NO_VALUE:
            continue  # says that a series ended; it will be forgotten for its silence
        if not metric.name:
            yield "it has no name"
            continue
        when = point.time_unix_nano / _NANOSECONDS or now
        start = point.start_time_unix_nano / _NANOSECONDS
        attributes = _attributes(point.attributes)
        delta = getattr(data, "aggregation_temporality", 0) == pb.AGGREGATION_TEMPORALITY_DELTA
        if which in {"gauge", "sum"}:
            kind = _sum_kind(monotonic=data.is_monotonic, delta=delta) if which == "sum" else Kind.GAUGE
            parts = [("", _number(point), kind)]
        else:
            kind = _sum_kind(monotonic=True, delta=delta)
            parts = [(".count", float(point.count), kind), (".sum", point.sum, kind)]
            if point.count:
                parts.append(("", point.sum / point.count, Kind.GAUGE))
        for suffix, value, kind in parts:
            if not math.isfinite(value):
                yield "the value is not finite"
                break
            key = SeriesKey.make(metric.name[:_MAX_TEXT] + suffix, resource, attributes)
            yield Point(key, value, when, kind, "1" if suffix == ".count" else metric.unit[:63], start)


def _number(point: pb.NumberDataPoint) -> float:
    which = point.WhichOneof("value")
    return math.nan if which is None else float(getattr(point, which))


def _sum_kind(*, monotonic: bool, delta: bool) -> Kind:
    if delta:
        return Kind.DELTA_COUNTER if monotonic else Kind.DELTA_SUM
    return Kind.COUNTER if monotonic else Kind.SUM


def _attributes(pairs: Iterable[common.KeyValue]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        if pair.key.startswith(_NOISE):
            continue
        if len(found) == _MAX_ATTRIBUTES:
            break
        # OTEL_RESOURCE_ATTRIBUTES is often written with blanks after its commas, which not every SDK strips.
        found[pair.key.strip()[:_MAX_TEXT]] = _text(pair.value).strip()[:_MAX_TEXT]
    return found


def _text(value: common.AnyValue) -> str:
    which = value.WhichOneof("value")
    if which is None:
        return ""
    if which == "bool_value":
        return "true" if value.bool_value else "false"
    if which in {"string_value", "int_value", "double_value"}:
        return str(getattr(value, which))
    return str(json_format.MessageToJson(value, indent=None))


def encode_request(points: Iterable[Point], *, encoding: Encoding = "protobuf", scope: str = "mlsysops") -> bytes:
    """An ``ExportMetricsServiceRequest`` of points, grouped by resource and metric; sums are cumulative."""
    request = service.ExportMetricsServiceRequest()
    groups: dict[tuple[tuple[str, str], ...], pb.ScopeMetrics] = {}
    metrics: dict[tuple[tuple[tuple[str, str], ...], str, Kind], pb.Metric] = {}
    for point in points:
        key = point.key
        group = groups.get(key.resource)
        if group is None:
            resource_metrics = request.resource_metrics.add()
            _add_attributes(resource_metrics.resource.attributes, key.resource)
            group = groups[key.resource] = resource_metrics.scope_metrics.add()
            group.scope.name = scope
        metric = metrics.get((key.resource, key.metric, point.kind))
        if metric is None:
            metric = metrics[key.resource, key.metric, point.kind] = group.metrics.add(name=key.metric, unit=point.unit)
        if point.kind is Kind.GAUGE:
            entry = metric.gauge.data_points.add()
        else:
            metric.sum.is_monotonic = point.kind is Kind.COUNTER
            metric.sum.aggregation_temporality = pb.AGGREGATION_TEMPORALITY_CUMULATIVE
            entry = metric.sum.data_points.add()
            entry.start_time_unix_nano = round(point.start * _NANOSECONDS)
        entry.time_unix_nano = round(point.time * _NANOSECONDS)
        entry.as_double = point.value
        _add_attributes(entry.attributes, key.attributes)
    if encoding == "protobuf":
        return bytes(request.SerializeToString())
    return str(json_format.MessageToJson(request, indent=None, use_integers_for_enums=True)).encode()


def _add_attributes(target: list[common.KeyValue] | object, pairs: Iterable[tuple[str, str]]) -> None:
    for key, value in pairs:
        pair = target.add()  # type: ignore[union-attr]
        pair.key = key
        pair.value.string_value = value


def encode_response(encoding: Encoding, *, rejected: int = 0, message: str = "") -> bytes:
    """An ``ExportMetricsServiceResponse``; empty but for a partial success (OTLP/HTTP, "Partial Success")."""
    response = service.ExportMetricsServiceResponse()
    if rejected or message:
        response.partial_success.rejected_data_points = rejected
        response.partial_success.error_message = message
    if encoding == "protobuf":
        return bytes(response.SerializeToString())
    return str(json_format.MessageToJson(response, indent=None)).encode()


def encode_error(encoding: Encoding, code: int, message: str) -> bytes:
    """A ``google.rpc.Status`` as OTLP/HTTP wants in the body of a failure ("Failures").

    Args:
        encoding: As the request's.
        code: gRPC status code, e.g. 3 for an invalid argument.
        message: What was wrong.
    """
    if encoding == "json":
        return json.dumps({"code": code, "message": message}).encode()
    text = message.encode()[:1000]
    # Fields 1 (varint code) and 2 (string message) of google.rpc.Status; not worth another dependency.
    return bytes([0x08, code, 0x12]) + _varint(len(text)) + text


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
