"""A cluster agent with a thousand nodes and two thousand components: how long until everything is placed, and what that weighs.

The nodes are simulated (one process registers them all and says that their pods run); the control plane and the agent are the real
ones, each a process of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml
from bench_scale import NODES, REPOSITORY, _ready, _session, _start_fleet
from figure import Figure
from kube_embedded import EmbeddedControlPlane
from kube_process import Process

APPLICATIONS, COMPONENTS = 400, 5
#: Seconds after which a run counts as failed.
PATIENCE = 1200
_GROUP = "mlsysops.eu/v1"
_OURS = f"/apis/{_GROUP}/namespaces/mlsysops"
_WRITERS = 16


def node(name: str) -> dict[str, Any]:
    """A node's description, as `mls` writes it for a worker."""
    spec = {
        "name": name,
        "continuum_layer": "edge",
        "cluster_id": "cluster1",
        "environment": {"node_type": "virtualized"},
        "hardware": {"cpu": {"architecture": "amd64", "cores": 8}, "memory": 32},
    }
    return {"apiVersion": _GROUP, "kind": "MLSysOpsNode", "metadata": {"name": name}, "spec": spec}


def application(number: int, chance: random.Random) -> dict[str, Any]:
    """An application of five components, assigned to the cluster; three cores of eight are wanted in the mean."""
    components = [
        {
            "metadata": {"name": f"a{number}-c{index}"},
            "containers": [
                {
                    "image": "x:1",
                    "platform_requirements": {
                        "cpu": {"requests": f"{chance.randint(1, 28) * 100}m"},
                        "memory": {"requests": f"{chance.randint(1, 28) * 256}Mi"},
                    },
                }
            ],
        }
        for index in range(COMPONENTS)
    ]
    clusters = json.dumps({component["metadata"]["name"]: "cluster1" for component in components})
    name = f"app{number}"
    metadata = {"name": name, "annotations": {"mlsysops.eu/component-clusters": clusters}}
    return {
        "apiVersion": _GROUP,
        "kind": "MLSysOpsApp",
        "metadata": metadata,
        "spec": {"name": name, "components": components},
    }


async def create(http: aiohttp.ClientSession, url: str, items: list[dict[str, Any]]) -> None:
    """Create objects, some at a time."""
    gate = asyncio.Semaphore(_WRITERS)

    async def one(item: dict[str, Any]) -> None:
        async with gate, http.post(url, json=item) as response:
            assert response.status in (201, 409), await response.text()

    await asyncio.gather(*map(one, items))


async def prepare(http: aiohttp.ClientSession) -> None:
    """Add namespaces and the project's definitions."""
    names = ("mlsysops", "mlsysops-framework")
    await create(http, "/api/v1/namespaces", [{"metadata": {"name": name}} for name in names])
    files = sorted((REPOSITORY / "templates" / "crds").glob("*.yaml"))
    definitions = [yaml.safe_load(file.read_text()) for file in files]
    await create(http, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definitions)
    await until("definitions served", 1, lambda: served(http))


async def served(http: aiohttp.ClientSession) -> int:
    """Whether our kinds are there."""
    async with http.get(f"{_OURS}/mlsysopsnodes") as response:
        return int(response.status == 200)


async def items(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """All objects of a collection."""
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        found: list[dict[str, Any]] = (await response.json())["items"]
        return found


async def number(http: aiohttp.ClientSession, url: str) -> int:
    """How many objects a collection has, without having the server write them all."""
    async with http.get(url, params={"limit": "1"}) as response:
        assert response.status == 200, await response.text()
        page = await response.json()
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


async def until(what: str, wanted: int, count: Any, step: float = 2.0) -> float:
    """Count until enough is there; seconds since the call."""
    start = time.perf_counter()
    for tick in itertools.count():
        found = await count()
        seconds = time.perf_counter() - start
        if found >= wanted:
            return seconds
        if tick % 10 == 9:
            print(f"  {seconds:.0f} s: {found} of {wanted} {what}", file=sys.stderr, flush=True)
        assert seconds < PATIENCE, f"{found} of {wanted} {what} after {seconds:.0f} s"
        await asyncio.sleep(step)
    raise AssertionError


def price(spent: list[tuple[int, float]], start: float, end: float) -> float:
    """CPU of a component in ms, of those between two shares of all: the agent's own start is none of theirs."""
    total = APPLICATIONS * COMPONENTS
    inside = [sample for sample in spent if start * total <= sample[0] <= end * total]
    placed = inside[-1][0] - inside[0][0] if inside else 0
    return 1000 * (inside[-1][1] - inside[0][1]) / placed if placed else float("nan")


def start_agent(plane: EmbeddedControlPlane) -> Process:
    """Start the cluster agent."""
    config = plane.directory / "agent.yaml"
    settings = {
        "tier": "cluster",
        "name": "cluster1",
        "slice": "bench",
        "kubeconfig": str(plane.kubeconfig),
        "state_dir": str(plane.directory / "agent"),
        "telemetry": {"listen": {"address": "127.0.0.1", "port": 0}},
    }
    config.write_text(yaml.safe_dump(settings))
    argv = [sys.executable, "-m", "mlsysops_agents", "cluster", "--config", str(config)]
    return Process(argv, plane.directory / "agent.log")


async def measure(plane: EmbeddedControlPlane) -> AsyncIterator[Figure]:
    """Register, describe, deploy, wait."""
    fleet = _start_fleet(plane)
    agent: Process | None = None
    try:
        async with _session(plane) as http:
            await prepare(http)

            async def nodes() -> int:
                return sum(map(_ready, await items(http, "/api/v1/nodes")))

            await until("nodes Ready", NODES, nodes)
            names = [item["metadata"]["name"] for item in await items(http, "/api/v1/nodes")]
            await create(http, f"{_OURS}/mlsysopsnodes", [node(name) for name in names])
            agent = start_agent(plane)
            watched = psutil.Process(agent.popen.pid)
            chance = random.Random(1)
            described = [application(number, chance) for number in range(APPLICATIONS)]
            await create(http, f"{_OURS}/mlsysopsapps", described)

            spent: list[tuple[int, float]] = []

            async def deployed() -> int:
                found = await number(http, "/apis/apps/v1/namespaces/mlsysops/deployments")
                spent.append((found, sum(watched.cpu_times()[:2])))
                return found

            async def running() -> int:
                found = await items(http, f"{_OURS}/mlsysopsapps")
                return sum((item.get("status") or {}).get("phase") == "Running" for item in found)

            placed = await until("components placed", APPLICATIONS * COMPONENTS, deployed)
            used = sum(watched.cpu_times()[:2])
            note = f"{APPLICATIONS * COMPONENTS} components on {NODES} nodes, {used:.0f} s of CPU in the agent"
            yield Figure("agents_placed", placed, "s", 120, note=note)
            early, late = price(spent, 0.1, 0.4), price(spent, 0.6, 0.9)
            note = (
                f"CPU in the agent; {early:.1f} ms for those in the first half, {late:.1f} ms for those in the second"
            )
            yield Figure("agents_cpu_component", price(spent, 0.1, 0.9), "ms", 20, note=note)
            seconds = placed + await until("applications Running", APPLICATIONS, running)
            yield Figure("agents_running", seconds, "s", 180, note="as their statuses say")
            yield Figure("agents_rss_cluster_agent", watched.memory_info().rss / 2**20, "MiB", 400)
    finally:
        for process in (agent, fleet):
            if process is not None:
                process.stop()


async def _collect(found: AsyncIterator[Figure]) -> list[Figure]:
    return [figure async for figure in found]


def figures() -> Iterator[Figure]:
    """One run from an empty store."""
    with tempfile.TemporaryDirectory() as directory:
        plane = EmbeddedControlPlane(Path(directory), nodes=("fleet",))
        plane.start()
        try:
            yield from asyncio.run(_collect(measure(plane)))
        finally:
            plane.stop()
