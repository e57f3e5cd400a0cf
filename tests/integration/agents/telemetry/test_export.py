"""Metrics and traces to a collector of the user's, over real connections and with the headers it asks for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from mlsysops_agents.adapters.telemetry import CollectorHeaders, Forwarder, HttpPush, Point, SeriesKey, TelemetryStore
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
    headers = CollectorHeaders(headers_file(tmp_path, "Authorization: Bearer s3cret\n\nX-Scope-OrgID: lab\n"))
    store = TelemetryStore()
    store.ingest([Point(SeriesKey.make("m", {"service.name": "a"}), 1.0, time.time())])
    async with aiohttp.ClientSession() as session:
        await Forwarder(store, HttpPush(session, collector.url, headers=headers)).cycle()
        assert collector.metrics == {"m"}
        await Forwarder(store, HttpPush(session, collector.url)).cycle()
    assert collector.refused == 1


async def test_a_token_that_is_renewed_is_sent_without_a_restart(collector: Collector, tmp_path: Path) -> None:
    file = headers_file(tmp_path, "Authorization: Bearer of-yesterday\n")
    store = TelemetryStore()
    async with aiohttp.ClientSession() as session:
        forwarder = Forwarder(store, HttpPush(session, collector.url, headers=CollectorHeaders(file)))
        for text, name in [("", "refused"), ("Authorization: Bearer s3cret\n", "sent"), ("spoilt\n", "sent as before")]:
            if text:
                file.with_name("new").write_text(text)
                file.with_name("new").replace(file)
            store.ingest([Point(SeriesKey.make(name, {"service.name": "a"}), 1.0, time.time())])
            await forwarder.cycle()
    assert (collector.refused, collector.metrics - {"refused"}) == (1, {"sent", "sent as before"})


TRACED = """
import pathlib
import sys
import time
from mlsysops_agents.adapters.telemetry import CollectorHeaders, export_traces
from opentelemetry import trace
file = pathlib.Path(sys.argv[2])
file.write_text("Authorization: Bearer of-yesterday")
headers = CollectorHeaders(file)
file.write_text("Authorization: Bearer s3cret")
with export_traces(sys.argv[1], headers, {"service.name": "mlsysops-node-agent"}):
    with trace.get_tracer("mlsysops.loop").start_as_current_span("mape.cycle"):
        pass
    ending = time.monotonic()
print(time.monotonic() - ending)
"""


async def test_traces_reach_a_collector_before_the_process_ends(collector: Collector, tmp_path: Path) -> None:
    # A process of its own: a tracer provider is set once in a process and never taken back.
    file = str(tmp_path / "headers")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TRACED, collector.url, file)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert collector.spans == {"mape.cycle": "mlsysops-node-agent"}


@pytest.mark.parametrize("listens", [False, True])
def test_a_collector_that_does_not_answer_does_not_keep_an_agent_from_stopping(tmp_path: Path, listens: bool) -> None:
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        if listens:  # and takes connections, and says nothing
            collector.listen()
        argv = [f"http://127.0.0.1:{collector.getsockname()[1]}", str(tmp_path / "headers")]
        done = subprocess.run(
            [sys.executable, "-c", TRACED, *argv], capture_output=True, text=True, timeout=120, check=True
        )
    assert float(done.stdout) < 8  # an export by itself takes ten, all retries included


@pytest.mark.parametrize("text", ["no header\n", "Bad Name: x\n", "Authorization:\n"])
def test_what_is_no_header_is_told_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="headers:1: not a header") as refused:
        CollectorHeaders(headers_file(tmp_path, text))
    assert text.strip() not in str(refused.value)


def test_no_headers(tmp_path: Path) -> None:
    assert CollectorHeaders(None)() == {}
    with pytest.raises(InvalidInput, match="No such file"):
        CollectorHeaders(tmp_path / "none")
