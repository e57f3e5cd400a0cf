"""What the embedded control plane costs: against a bare JSON endpoint on its own server stack, and alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from figure import Figure

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "kubernetes"))

from kube_api import config_map, deployment, pod  # noqa: E402 - found in tests/kubernetes
from kube_embedded import EmbeddedControlPlane  # noqa: E402
from kube_pki import issue_server, issue_user  # noqa: E402
from kube_process import ADDRESS, Process, free_port  # noqa: E402

OBJECTS = 10_000
WRITERS = 8
#: Writes of the durable-creates figure.
CREATES = 3_000
#: Seconds of each turn of the GET comparison, and how many turns each side has.
TURN, TURNS = 2.0, 3
READERS = 8
NODES, FLEET_NODE = 1_000, "fleet"
WATCHERS, WATCH_RATE, WATCH_SECONDS = 100, 100, 5.0

#: The same server (uvicorn with uvloop and httptools, TLS) with nothing behind it but the bytes of a ConfigMap.
BARE = """
import sys
import orjson, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

OBJECT = orjson.loads(sys.argv[5])

async def get(request):
    return Response(orjson.dumps(OBJECT), media_type="application/json")

app = Starlette(routes=[Route("/api/v1/namespaces/{namespace}/configmaps/{name}", get)])
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), ssl_certfile=sys.argv[3], ssl_keyfile=sys.argv[4],
            loop="uvloop", http="httptools", log_level="error", access_log=False)
"""


@asynccontextmanager
async def session(plane: EmbeddedControlPlane, url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """An administrator's connections."""
    context = ssl.create_default_context(cafile=str(plane.authority[0]))
    context.load_cert_chain(*issue_user(plane.authority, "bench", ("system:masters",), plane.directory))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as made:
        yield made


async def gets(http: aiohttp.ClientSession, url: str, seconds: float) -> float:
    """GETs a second of a few readers."""
    end = time.perf_counter() + seconds
    count = 0

    async def reader() -> None:
        nonlocal count
        while time.perf_counter() < end:
            async with http.get(url) as response:
                assert response.status == 200, response.status
                await response.read()
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(READERS)))
    return count / (time.perf_counter() - start)


async def create(http: aiohttp.ClientSession, url: str, objects: Iterator[dict[str, Any]], writers: int) -> float:
    """Seconds that so many writers take for the objects."""

    async def writer() -> None:
        for obj in objects:
            async with http.post(url, json=obj) as response:
                assert response.status == 201, await response.text()

    start = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(writers)))
    return time.perf_counter() - start


async def measure_get(plane: EmbeddedControlPlane) -> list[Figure]:
    """Ratio of GET rates; the two servers take turns, so that noise hits both."""
    url = "/api/v1/namespaces/default/configmaps/one"
    cert, key = plane.directory / "bare.crt", plane.directory / "bare.key"
    issue_server(plane.authority, ADDRESS, cert, key)
    port = free_port()
    async with session(plane, plane.url) as ours:
        await create(ours, url.rpartition("/")[0], iter([config_map("one")]), 1)
        async with ours.get(url) as response:
            text = await response.text()
        script = plane.directory / "bare.py"
        script.write_text(BARE)
        argv = [sys.executable, str(script), ADDRESS, str(port), str(cert), str(key), text]
        bare = Process(argv, plane.directory / "bare.log")
        try:
            async with session(plane, f"https://{ADDRESS}:{port}") as theirs:
                await until_served(theirs, url)
                rates: tuple[list[float], list[float]] = ([], [])
                for _ in range(TURNS):
                    rates[0].append(await gets(ours, url, TURN))
                    rates[1].append(await gets(theirs, url, TURN))
        finally:
            bare.stop()
    mine, other = (statistics.median(rate) for rate in rates)
    return [Figure("engine_get_ratio", mine / other, "", 0.35, "higher", f"{mine:.0f}/s against {other:.0f}/s")]


async def until_served(http: aiohttp.ClientSession, url: str) -> None:
    """Wait for a server to listen."""
    deadline = time.perf_counter() + 20
    while True:
        try:
            async with http.get(url) as response:
                assert response.status == 200
                return
        except aiohttp.ClientConnectionError:
            if time.perf_counter() > deadline:
                raise
            await asyncio.sleep(0.05)


async def measure_creates(plane: EmbeddedControlPlane) -> list[Figure]:
    """Durable creates: each is on disk when it is acknowledged."""
    objects = (config_map(f"durable-{index}") for index in range(CREATES))
    async with session(plane, plane.url) as http:
        seconds = await create(http, "/api/v1/namespaces/default/configmaps", objects, WRITERS)
    return [Figure("engine_creates", CREATES / seconds, "/s", 300, "higher", f"{WRITERS} writers")]


async def measure_list_and_memory(plane: EmbeddedControlPlane) -> list[Figure]:
    """10,000 pods of a scheduler that does not exist, so that nothing else works on them."""
    url = "/api/v1/namespaces/default/pods"
    objects = (pod(f"pod-{index:05}", schedulerName="none") for index in range(OBJECTS))
    async with session(plane, plane.url) as http:
        await create(http, url, objects, WRITERS)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            async with http.get(url) as response:
                body = await response.read()
            seconds.append(time.perf_counter() - start)
        assert len(json.loads(body)["items"]) == OBJECTS
    assert plane.process is not None
    rss = psutil.Process(plane.process.popen.pid).memory_info().rss / 2**20
    return [
        Figure("engine_list_pods", statistics.median(seconds), "s", 1.5, note=f"{len(body) / 2**20:.1f} MiB"),
        Figure("engine_rss", rss, "MiB", 150, note=f"{OBJECTS} pods, right after they were written and listed"),
    ]


async def measure_watch(plane: EmbeddedControlPlane) -> list[Figure]:
    """From the moment of sending a write to the moment at which each watcher has read it."""
    url = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    sent: dict[str, float] = {}
    delays: list[float] = []
    count = int(WATCH_RATE * WATCH_SECONDS)

    async with session(plane, plane.url) as http:
        async with http.get(url) as response:
            since = (await response.json())["metadata"]["resourceVersion"]
        ready = asyncio.Semaphore(0)

        async def watcher() -> None:
            seen = 0
            params = {"watch": "true", "resourceVersion": since}
            async with http.get(url, params=params, timeout=aiohttp.ClientTimeout(sock_read=60)) as response:
                ready.release()
                async for line in response.content:
                    now = time.perf_counter()
                    # Parsing 50,000 events in this one process would be what is measured: the name is enough.
                    name = line.partition(b'"name":"')[2].partition(b'"')[0].decode()
                    if name in sent:
                        delays.append(now - sent[name])
                        seen += 1
                        if seen == count:
                            return

        watchers = [asyncio.create_task(watcher()) for _ in range(WATCHERS)]
        for _ in watchers:
            await ready.acquire()
        start = time.perf_counter()
        writes = []
        for index in range(count):
            await asyncio.sleep(max(0.0, start + index / WATCH_RATE - time.perf_counter()))
            name = f"watched-{index}"
            body = {"metadata": {"name": name}, "spec": {"holderIdentity": "bench"}}
            sent[name] = time.perf_counter()
            writes.append(asyncio.create_task(create(http, url, iter([body]), 1)))
        await asyncio.gather(*writes, *watchers)
    delays.sort()
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [Figure("engine_watch_p99", p99, "ms", 50, note=f"median {statistics.median(delays) * 1000:.1f} ms")]


def measure_start(plane: EmbeddedControlPlane) -> Figure:
    """From exec to /readyz, of a store that holds nothing yet."""
    seconds = []
    for _ in range(3):
        shutil.rmtree(plane.directory / "data", ignore_errors=True)
        seconds.append(plane.start())
        plane.stop()
    return Figure("engine_cold_start", statistics.median(seconds), "s", 1.5)


async def measure_fleet(plane: EmbeddedControlPlane) -> list[Figure]:
    """From the first Deployment to the last Running pod; the nodes run pods in name only, in a process of their own."""
    # As an administrator: a node could not be so many others.
    plane.start_kubelet(FLEET_NODE, simulated_nodes=NODES, kubeconfig=str(plane.kubeconfig))
    async with session(plane, plane.url) as http:

        async def nodes() -> int:
            return len(await items(http, "/api/v1/nodes"))

        async def pods() -> int:
            # What the Deployments say costs the server little; listing 10,000 pods every second would be measured too.
            listed = await items(http, url)
            return sum((item.get("status") or {}).get("readyReplicas", 0) for item in listed)

        url = "/apis/apps/v1/namespaces/default/deployments"
        await until_counted(nodes, NODES + 1)
        start = time.perf_counter()
        await create(http, url, _deployments(100, OBJECTS // 100), 4)
        found = await until_counted(pods, OBJECTS)
        seconds = time.perf_counter() - start
    value = seconds if found >= OBJECTS else None
    note = f"{found} of {OBJECTS} pods ready on {NODES} nodes"
    return [Figure("engine_fleet_running", value, "s", 120, note=note if value else f"{note} after {seconds:.0f} s")]


async def items(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Items of a list."""
    async with http.get(url) as response:
        found: list[dict[str, Any]] = (await response.json())["items"]
        return found


def _deployments(count: int, replicas: int) -> Iterator[dict[str, Any]]:
    return (deployment(f"fleet-{index}", replicas=replicas) for index in range(count))


async def until_counted(count: Callable[[], Awaitable[int]], wanted: int, timeout: float = 300) -> int:
    """Wait until a count is reached, or for `timeout` seconds; the last count."""
    deadline = time.perf_counter() + timeout
    while (found := await count()) < wanted and time.perf_counter() < deadline:  # noqa: ASYNC110 - it is elsewhere
        await asyncio.sleep(1.0)
    return found


def figures() -> Iterator[Figure]:
    """Each figure with a control plane of its own state, all in one run."""
    with tempfile.TemporaryDirectory() as directory:
        plane = EmbeddedControlPlane(Path(directory), nodes=(FLEET_NODE,))
        yield measure_start(plane)
        for measured in (measure_get, measure_creates, measure_watch, measure_list_and_memory, measure_fleet):
            plane.start()
            try:
                yield from asyncio.run(measured(plane))
            finally:
                plane.stop()
                shutil.rmtree(plane.directory / "data")
