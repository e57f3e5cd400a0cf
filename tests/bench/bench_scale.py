"""How long a thousand simulated nodes take to run ten thousand pods in one control plane, and what that weighs."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml
from figure import Figure

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "kubernetes"))

from kube_api import deployment  # noqa: E402 - found in tests/kubernetes
from kube_embedded import EmbeddedControlPlane  # noqa: E402
from kube_pki import issue_user  # noqa: E402
from kube_process import Process  # noqa: E402

NODES, DEPLOYMENTS, REPLICAS = 1000, 100, 100
#: Seconds after which a run counts as failed.
PATIENCE = 600
#: Seconds for which the full cluster is watched after all runs: its Leases must hold.
REST = 45.0


@asynccontextmanager
async def _session(plane: EmbeddedControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=str(plane.authority[0]))
    context.load_cert_chain(*issue_user(plane.authority, "bench", ("system:masters",), plane.directory))
    async with aiohttp.ClientSession(plane.url, connector=aiohttp.TCPConnector(ssl=context)) as made:
        yield made


def _start_fleet(plane: EmbeddedControlPlane) -> Process:
    node = plane.kubelets.nodes[0]
    runtime = plane.directory / "runtime.yaml"
    runtime.write_text("images: []\n")
    config = plane.directory / "fleet.yaml"
    settings = {
        "node": node,
        "kubeconfig": str(plane.kubeconfig),  # of an administrator: a node could not be so many others
        "data_dir": str(plane.directory / node),
        "address": "127.121.1.1",
        "listen": {"port": 0},
        "pki_dir": str(plane.kubelets.pki(node)),
        "max_pods": 1,
        "runtime_config": str(runtime),
        "proxy": False,
        "simulated_nodes": NODES,
    }
    config.write_text(yaml.safe_dump(settings))
    argv = [sys.executable, "-m", "mlsysops_embedded", "kubelet", "--config", str(config)]
    return Process(argv, plane.directory / "fleet.log")


async def _items(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        items: list[dict[str, Any]] = (await response.json())["items"]
        return items


def _ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def _until(what: str, wanted: int, count: Any, start: float) -> float:
    """Poll a cheap count until it is what is wanted; seconds since the start."""
    for tick in itertools.count():
        found = await count()
        seconds = time.perf_counter() - start
        if found >= wanted:
            return seconds
        if tick % 10 == 9:
            print(f"  {seconds:.0f} s: {found} of {wanted} {what}", file=sys.stderr, flush=True)
        assert seconds < PATIENCE, f"{found} of {wanted} {what} after {seconds:.0f} s"
        await asyncio.sleep(1.0)
    raise AssertionError


async def _measure(plane: EmbeddedControlPlane) -> AsyncIterator[Figure]:
    assert plane.process is not None
    start = time.perf_counter()
    fleet = _start_fleet(plane)
    watched = {"control plane": psutil.Process(plane.process.popen.pid), "fleet": psutil.Process(fleet.popen.pid)}
    try:
        async with _session(plane) as http:

            async def nodes() -> int:
                return sum(map(_ready, await _items(http, "/api/v1/nodes")))

            async def pods() -> int:
                # What the ReplicaSets count is a hundredth of the pods themselves, and late rather than early.
                owners = await _items(http, "/apis/apps/v1/deployments")
                return sum((owner.get("status") or {}).get("readyReplicas", 0) for owner in owners)

            registered = await _until("nodes Ready", NODES, nodes, start)
            begin = time.perf_counter()
            for index in range(DEPLOYMENTS):
                obj = deployment(f"scale-{index}", replicas=REPLICAS)
                async with http.post("/apis/apps/v1/namespaces/default/deployments", json=obj) as response:
                    assert response.status == 201, await response.text()
            running = await _until("pods ready", DEPLOYMENTS * REPLICAS, pods, begin)
            phases = [pod["status"]["phase"] for pod in await _items(http, "/api/v1/namespaces/default/pods")]
            assert phases.count("Running") == DEPLOYMENTS * REPLICAS == len(phases)
            busy = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
            cpu = ", ".join(f"{seconds:.0f} s of CPU in the {name}" for name, seconds in busy.items())
            yield Figure("scale_running", running, "s", 120, note=f"{cpu}, nodes included")
            yield Figure("scale_registered", registered, "s", 60, note=f"{NODES} nodes Ready")
            await asyncio.sleep(REST)
            lost = NODES - await nodes()
            idle = ", ".join(
                f"{name} {100 * (sum(process.cpu_times()[:2]) - busy[name]) / REST:.0f} %"
                for name, process in watched.items()
            )
            yield Figure("scale_nodes_lost", lost, "nodes", 0, note=f"after {REST:.0f} s at rest; CPU {idle}")
        for name, process in watched.items():
            rss = process.memory_info().rss / 2**20
            yield Figure(f"scale_rss_{name.replace(' ', '_')}", rss, "MiB", 600 if name != "fleet" else 200)
    finally:
        fleet.stop()


async def _collect(figures: AsyncIterator[Figure]) -> list[Figure]:
    return [figure async for figure in figures]


def figures() -> Iterator[Figure]:
    """One run from an empty store."""
    with tempfile.TemporaryDirectory() as directory:
        plane = EmbeddedControlPlane(Path(directory), nodes=("fleet",))
        plane.start()
        try:
            yield from asyncio.run(_collect(_measure(plane)))
        finally:
            plane.stop()
