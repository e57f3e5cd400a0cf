"""Telemetry from tier to tier over real connections, through a restart of the upper tier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from mlsysops_agents.adapters.telemetry import Forwarder, HttpPush, OtlpReceiver, Point, SeriesKey, TelemetryStore
from mlsysops_agents.adapters.telemetry.forwarder import PushError


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of the parts under test
            await asyncio.sleep(0.01)


def put(store: TelemetryStore, value: float) -> None:
    store.ingest([Point(SeriesKey.make("m", {"service.name": "a"}), value, time.time())])


def newest(store: TelemetryStore) -> float | None:
    sample = store.latest("m", service_name="a")
    return sample.value if sample else None


async def test_values_travel_two_tiers_and_survive_a_restart_of_the_middle() -> None:
    node, continuum = TelemetryStore(), TelemetryStore()
    async with OtlpReceiver(continuum, address="127.0.0.1", port=0) as top, aiohttp.ClientSession() as session:
        cluster = TelemetryStore()
        async with OtlpReceiver(cluster, address="127.0.0.1", port=0, defaults={"k8s.cluster.name": "c"}) as middle:
            port = middle.port
            upward = asyncio.create_task(Forwarder(cluster, HttpPush(session, top.url), interval=0.05).run())
            from_node = Forwarder(node, HttpPush(session, middle.url), interval=0.05)
            pushing = asyncio.create_task(from_node.run())
            put(node, 1)
            await until(lambda: newest(continuum) == 1)
        upward.cancel()
        put(node, 2)
        await until(lambda: from_node.failures > 0)
        put(node, 3)
        reborn = TelemetryStore()
        async with OtlpReceiver(reborn, address="127.0.0.1", port=port, defaults={"k8s.cluster.name": "c"}):
            upward = asyncio.create_task(Forwarder(reborn, HttpPush(session, top.url), interval=0.05).run())
            await until(lambda: newest(continuum) == 3)
            upward.cancel()
        pushing.cancel()

    sample = continuum.latest("m")
    assert sample is not None
    assert sample.attributes["k8s.cluster.name"] == "c"
    assert [item.value for item in continuum.window("m", 60)] == [1, 3]


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "wait"),
    [(503, {"Retry-After": "9"}, True, 9.0), (429, {}, True, 0.0), (400, {}, False, 0.0), (413, {}, False, 0.0)],
)
async def test_answers_say_whether_to_try_again(
    status: int, headers: dict[str, str], retryable: bool, wait: float
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        push = HttpPush(session, f"http://127.0.0.1:{runner.addresses[0][1]}/")
        with pytest.raises(PushError) as caught:
            await push([Point(SeriesKey.make("m"), 1, time.time())])
    await runner.cleanup()

    assert (caught.value.retryable, caught.value.retry_after) == (retryable, wait)
