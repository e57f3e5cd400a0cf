"""Metrics and traces to a collector of the user's, over real connections and with the headers it asks for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from mlsysops_agents.adapters.telemetry import Forwarder, HttpPush, Point, SeriesKey, TelemetryStore, read_headers
from mlsysops_core.errors import InvalidInput
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Takes what carries its token, as a collector with the bearertokenauth extension does."""

    def __init__(self) -> None:
        self.metrics: set[str] = set()
        self.spans: dict[str, str] = {}
        self.refused = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer s3cret":
            self.refused += 1
            return web.Response(status=401)
        body = await request.read()  # aiohttp decompresses by itself
        if request.path == "/v1/metrics":
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in group.scope_metrics for metric in scope.metrics}
        else:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {pair.key: pair.value.string_value for pair in group.resource.attributes}
                for scope in group.scope_spans:
                    self.spans |= {span.name: names["service.name"] for span in scope.spans}
        return web.Response(body=b"", content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    taking = Collector()
    app = web.Application()
    app.router.add_post("/{kind:v1/(metrics|traces)}", taking.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taking.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield taking
    await runner.cleanup()


def headers_file(directory: Path, text: str) -> Path:
    path = directory / "headers"
    path.write_text(text)
    return path


async def test_metrics_reach_a_collector_that_wants_a_token(collector: Collector, tmp_path: Path) -> None:
    headers = read_headers(headers_file(tmp_path, "Authorization: Bearer s3cret\n\nX-Scope-OrgID: lab\n"))
    store = TelemetryStore()
    store.ingest([Point(SeriesKey.make("m", {"service.name": "a"}), 1.0, time.time())])
    async with aiohttp.ClientSession() as session:
        await Forwarder(store, HttpPush(session, collector.url, headers=headers)).cycle()
        assert collector.metrics == {"m"}
        await Forwarder(store, HttpPush(session, collector.url)).cycle()
    assert collector.refused == 1


TRACED = """
import sys
from mlsysops_agents.adapters.telemetry import export_traces
from opentelemetry import trace
with export_traces(sys.argv[1], {"Authorization": "Bearer s3cret"}, {"service.name": "mlsysops-node-agent"}):
    with trace.get_tracer("mlsysops.loop").start_as_current_span("mape.cycle"):
        pass
"""


async def test_traces_reach_a_collector_before_the_process_ends(collector: Collector) -> None:
    # A process of its own: a tracer provider is set once in a process and never taken back.
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TRACED, collector.url)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert collector.spans == {"mape.cycle": "mlsysops-node-agent"}


def test_a_collector_that_is_away_does_not_keep_an_agent_from_stopping() -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", TRACED, "http://127.0.0.1:9"], timeout=60, check=False)
    assert done.returncode == 0
    assert time.monotonic() - started < 15  # of which the interpreter's own start is most, on a machine under load


@pytest.mark.parametrize("text", ["no header\n", "Bad Name: x\n", "Authorization:\n"])
def test_what_is_no_header_is_told_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="headers:1: not a header") as refused:
        read_headers(headers_file(tmp_path, text))
    assert text.strip() not in str(refused.value)


def test_no_headers(tmp_path: Path) -> None:
    assert read_headers(None) == {}
    with pytest.raises(InvalidInput, match="No such file"):
        read_headers(tmp_path / "none")
