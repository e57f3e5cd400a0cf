"""The OTLP receiver on a real socket, fed by the real OpenTelemetry SDK and by people who send garbage."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from mlsysops_agents.adapters.telemetry import Kind, OtlpReceiver, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.telemetry.otlp import encode_request
from mlsysops_core.errors import Conflict, InvalidInput
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def store() -> TelemetryStore:
    return TelemetryStore()


@pytest.fixture
async def receiver(store: TelemetryStore) -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver(store, address="127.0.0.1", port=0, defaults={"k8s.node.name": "w1"}) as running:
        yield running


async def post(
    receiver: OtlpReceiver, body: bytes, headers: dict[str, str], path: str = "/v1/metrics"
) -> tuple[int, bytes, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(receiver.url + path, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, await response.read(), response.content_type


def body_of(value: float = 1.0, age: float = 0.0) -> bytes:
    return encode_request([Point(SeriesKey.make("m", {"service.name": "a"}), value, time.time() - age)])


def as_request(data: MetricsData) -> bytes:
    """What an OTLP exporter makes of the SDK's data: the fields of the protocol, one by one."""
    request = ExportMetricsServiceRequest()
    for resource_metrics in data.resource_metrics:
        group = request.resource_metrics.add()
        for key, value in resource_metrics.resource.attributes.items():
            group.resource.attributes.add(key=key).value.string_value = str(value)
        for scope_metrics in resource_metrics.scope_metrics:
            scope = group.scope_metrics.add()
            for metric in scope_metrics.metrics:
                made = scope.metrics.add(name=metric.name, unit=metric.unit or "")
                _add_points(made, metric.data)
    return bytes(request.SerializeToString())


def _add_points(made: Any, data: Any) -> None:
    kind = type(data).__name__.lower()
    target = getattr(made, kind)
    if kind != "gauge":
        target.aggregation_temporality = int(data.aggregation_temporality)
    if kind == "sum":
        target.is_monotonic = data.is_monotonic
    for point in data.data_points:
        entry = target.data_points.add(time_unix_nano=point.time_unix_nano)
        for key, value in (point.attributes or {}).items():
            entry.attributes.add(key=key).value.string_value = str(value)
        if kind == "histogram":
            entry.count, entry.sum = point.count, point.sum
            entry.bucket_counts.extend(point.bucket_counts)
            entry.explicit_bounds.extend(point.explicit_bounds)
        elif isinstance(point.value, int):
            entry.as_int = point.value
        else:
            entry.as_double = point.value


async def test_metrics_of_the_real_sdk(receiver: OtlpReceiver, store: TelemetryStore) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "shop", "k8s.pod.name": "shop-1"}))
    meter = provider.get_meter("test")
    meter.create_counter("orders").add(3, {"kind": "book"})
    meter.create_up_down_counter("queue").add(-2)
    meter.create_gauge("temperature", unit="Cel").set(21.5)
    for value in (10, 30):
        meter.create_histogram("latency", unit="ms").record(value)
    data = reader.get_metrics_data()
    assert data is not None

    status, body, media = await post(receiver, as_request(data), PROTOBUF)
    provider.shutdown()

    assert (status, body, media) == (200, b"", "application/x-protobuf")
    values = {name: store.latest(name) for name in store.metrics()}
    assert {name: sample.value for name, sample in values.items() if sample} == {
        "orders": 3,
        "queue": -2,
        "temperature": 21.5,
        "latency": 20,
        "latency.count": 2,
        "latency.sum": 40,
    }
    orders = values["orders"]
    assert orders is not None
    assert orders.attributes["kind"] == "book"
    assert orders.attributes["service.name"] == "shop"
    assert orders.attributes["k8s.node.name"] == "w1"
    assert "telemetry.sdk.name" not in orders.attributes
    assert {series.kind for series in store.all_series() if series.key.metric == "orders"} == {Kind.COUNTER}


async def test_json_is_answered_in_json(receiver: OtlpReceiver, store: TelemetryStore) -> None:
    body = encode_request([Point(SeriesKey.make("m"), 4, time.time())], encoding="json")

    assert await post(receiver, body, JSON) == (200, b"{}", "application/json")
    assert len(store) == 1


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
async def test_gzip(receiver: OtlpReceiver, store: TelemetryStore, headers: dict[str, str]) -> None:
    encoding = "json" if headers is JSON else "protobuf"
    body = encode_request([Point(SeriesKey.make("m"), 4, time.time())], encoding=encoding)

    status, _, _ = await post(receiver, gzip.compress(body), headers | {"Content-Encoding": "gzip"})

    assert status == 200
    assert len(store) == 1


async def test_partial_success_says_how_many_and_why(receiver: OtlpReceiver) -> None:
    status, body, _ = await post(receiver, body_of(float("nan")), PROTOBUF)
    answer = ExportMetricsServiceResponse.FromString(body)

    assert status == 200
    assert answer.partial_success.rejected_data_points == 1
    assert answer.partial_success.error_message == "m: the value is not finite"
    _, body, _ = await post(receiver, body_of(age=7200), PROTOBUF)
    assert ExportMetricsServiceResponse.FromString(body).partial_success.error_message == "older than what is kept"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff", PROTOBUF, 400),
        (b"{", JSON, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"no gzip", PROTOBUF | {"Content-Encoding": "gzip"}, 400),
        (b"x" * 9_000_000, PROTOBUF, 413),
        (gzip.compress(b"\0" * 50_000_000), PROTOBUF | {"Content-Encoding": "gzip"}, 413),
    ],
)
async def test_garbage_is_refused_and_the_receiver_goes_on(
    receiver: OtlpReceiver, store: TelemetryStore, body: bytes, headers: dict[str, str], status: int
) -> None:
    try:
        assert (await post(receiver, body, headers))[0] == status
    except aiohttp.ClientConnectionError:
        assert status == 413  # closed while we were still sending: as clear an answer

    assert len(store) == 0
    assert (await post(receiver, body_of(), PROTOBUF))[0] == 200
    assert len(store) == 1


async def test_failures_have_a_status_message(receiver: OtlpReceiver) -> None:
    _, body, media = await post(receiver, b"[]", JSON)
    assert media == "application/json"
    assert "not an OTLP metrics request" in json.loads(body)["message"]
    _, body, media = await post(receiver, b"\xff", PROTOBUF)
    assert media == "application/x-protobuf"
    assert b"not an OTLP metrics request" in body


async def test_other_paths_and_methods(receiver: OtlpReceiver) -> None:
    assert (await post(receiver, b"", PROTOBUF, "/v1/traces"))[0] == 404
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{receiver.url}/v1/metrics") as response:
            assert response.status == 405
        async with session.get(f"{receiver.url}/healthz") as response:
            assert response.status == 200


async def test_empty_request_is_fine(receiver: OtlpReceiver) -> None:
    assert (await post(receiver, b"", PROTOBUF))[0] == 200


async def test_taken_port_is_one_clear_line(receiver: OtlpReceiver) -> None:
    with pytest.raises(Conflict, match=rf"127\.0\.0\.1:{receiver.port}: the port is taken"):
        async with OtlpReceiver(TelemetryStore(), address="127.0.0.1", port=receiver.port):
            pass


async def test_foreign_address_is_one_clear_line() -> None:
    with pytest.raises(InvalidInput, match=r"cannot listen on 192\.0\.2\.1:0"):
        async with OtlpReceiver(TelemetryStore(), address="192.0.2.1", port=0):
            pass


async def test_a_client_that_says_nothing_does_not_hold_up_the_stop(store: TelemetryStore) -> None:
    async with OtlpReceiver(store, address="127.0.0.1", port=0) as receiver:
        silent = socket.create_connection(("127.0.0.1", receiver.port))
        silent.sendall(b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert (await post(receiver, body_of(), PROTOBUF))[0] == 200
        started = time.monotonic()
    silent.close()

    assert time.monotonic() - started < 4
    assert threading.active_count() < 50
