"""OTLP over gRPC on the port of OTLP/HTTP: with OpenTelemetry's own exporter and grpcio, and with people who send garbage."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import grpc
import pytest
from mlsysops_agents.adapters.telemetry import OtlpReceiver, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.telemetry.grpc import METRICS_EXPORT, PREFACE
from mlsysops_agents.adapters.telemetry.otlp import encode_request
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


@pytest.fixture
def store() -> TelemetryStore:
    return TelemetryStore()


@pytest.fixture
async def receiver(store: TelemetryStore) -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver(store, address="127.0.0.1", port=0, defaults={"k8s.node.name": "w1"}) as running:
        yield running


@pytest.fixture
def channel(receiver: OtlpReceiver) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.port}") as opened:
        yield opened


def body_of(metric: str, value: float = 1.0, copies: int = 1) -> bytes:
    now = time.time()
    points = [Point(SeriesKey.make(metric, {"service.name": "a"}, {"n": str(n)}), value, now) for n in range(copies)]
    return encode_request(points)


async def call(channel: grpc.Channel, body: bytes, path: str = METRICS_EXPORT, **more: Any) -> bytes:
    method = channel.unary_unary(path)
    answer: bytes = await asyncio.to_thread(method, body, timeout=10, **more)
    return answer


def names(store: TelemetryStore) -> set[str]:
    return {series.key.metric for series in store.all_series()}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_the_exporter_of_opentelemetry(
    store: TelemetryStore, receiver: OtlpReceiver, compression: grpc.Compression
) -> None:
    """What existing images do: ``OTEL_EXPORTER_OTLP_ENDPOINT`` names this port, and the exporter's default is gRPC."""

    def export() -> None:
        exporter = OTLPMetricExporter(endpoint=f"127.0.0.1:{receiver.port}", insecure=True, compression=compression)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        provider = MeterProvider([reader], resource=Resource({"service.name": "client-app"}))
        provider.get_meter("t").create_counter("messages").add(7)
        assert provider.force_flush()
        provider.shutdown()

    await asyncio.to_thread(export)
    (series,) = [one for one in store.all_series() if one.key.metric == "messages"]
    assert series.ring.last()[1] == 7
    assert dict(series.key.resource)["service.name"] == "client-app"
    assert dict(series.key.resource)["k8s.node.name"] == "w1"


async def test_http_and_grpc_share_the_port(
    store: TelemetryStore, receiver: OtlpReceiver, channel: grpc.Channel
) -> None:
    ExportMetricsServiceResponse.FromString(await call(channel, body_of("over-grpc")))
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            receiver.url + "/v1/metrics", data=body_of("over-http"), headers={"Content-Type": "application/x-protobuf"}
        ) as answer,
    ):
        assert answer.status == 200
    assert names(store) == {"over-grpc", "over-http"}


async def test_one_connection_carries_many_calls(store: TelemetryStore, channel: grpc.Channel) -> None:
    # Far more than HTTP/2's first window of 64 KiB, so that it has to be opened again and again.
    await asyncio.gather(*(call(channel, body_of(f"m{n}", copies=90)) for n in range(20)))
    assert len(names(store)) == 20


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        (
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            b"",
            grpc.StatusCode.UNIMPLEMENTED,
            "only metrics",
        ),
        (METRICS_EXPORT, b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP metrics request"),
        (METRICS_EXPORT, b"\0" * (9 * 2**20), grpc.StatusCode.RESOURCE_EXHAUSTED, "8388608 bytes"),
    ],
    ids=["another service", "garbage", "too large"],
)
async def test_refusals(
    store: TelemetryStore, channel: grpc.Channel, path: str, body: bytes, code: grpc.StatusCode, text: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await call(channel, body, path)
    assert refused.value.code() is code
    assert text in refused.value.details()
    await call(channel, body_of("after"))  # the connection is as good as before
    assert names(store) == {"after"}


async def test_a_bomb_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await call(channel, b"\0" * (100 * 2**20), compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(gzip.compress(b"\0" * (100 * 2**20))) < 2**20


@pytest.mark.parametrize("said", [b"", PREFACE[:5], PREFACE, PREFACE + b"\xff" * 64, b"GET /healthz HTTP/1.1\r\n"])
async def test_clients_that_say_little_or_nonsense_hinder_nobody(
    receiver: OtlpReceiver, channel: grpc.Channel, store: TelemetryStore, said: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port)) as strange:
        strange.sendall(said)
        await call(channel, body_of("m"))
    assert names(store) == {"m"}


async def test_plain_http_2_is_no_grpc(receiver: OtlpReceiver) -> None:
    import h2.connection
    import h2.events

    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(
        1, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")], end_stream=True
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(client.data_to_send())
    events: list[Any] = []
    while not any(isinstance(event, h2.events.StreamEnded) for event in events):
        events += client.receive_data(await asyncio.wait_for(reader.read(65536), 5))
    (answer,) = [event for event in events if isinstance(event, h2.events.ResponseReceived)]
    assert dict(answer.headers)[b":status"] == b"415"
    writer.close()
    await writer.wait_closed()
