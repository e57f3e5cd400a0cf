"""A control plane that holds much ends in time nevertheless."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mlsysops_embedded.apiserver.local import LocalClient
from mlsysops_embedded.apiserver.setup import open_registry
from mlsysops_embedded.client.resources import PODS

COUNT = 10_000
#: What a supervisor waits before it kills (supervisord's stopwaitsecs is set to it).
SECONDS = 5.0


async def _fill(store: Path) -> None:
    async with open_registry(store) as registry:
        client = LocalClient(registry)

        async def make(number: int) -> None:
            spec = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "example.com/x:1"}]}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{number}"}, "spec": spec}
            await client.create(PODS, pod, "default")

        for start in range(0, COUNT, 500):
            await asyncio.gather(*(make(number) for number in range(start, start + 500)))


async def test_ten_thousand_pods_and_readers_at_work(fresh_plane: Any) -> None:
    (fresh_plane.directory / "data").mkdir()
    await _fill(fresh_plane.directory / "data" / "store.sqlite")
    fresh_plane.start()
    url = "/api/v1/pods"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(fresh_plane.async_client())
        first = (await client.get(url, params={"limit": 1})).json()
        assert first["metadata"]["remainingItemCount"] == COUNT - 1
        # Watches that have begun, and whole lists that nobody reads to the end.
        for _ in range(3):
            watch = await stack.enter_async_context(client.stream("GET", url, params={"watch": "1"}))
            assert json.loads(await anext(watch.aiter_lines()))["type"] == "ADDED"
            await stack.enter_async_context(client.stream("GET", url))
        begin = time.monotonic()
        code = await asyncio.to_thread(fresh_plane.stop)
        took = time.monotonic() - begin
    assert code == 0
    assert took < SECONDS, f"{took:.1f} s"
    assert "Traceback" not in (fresh_plane.directory / "log").read_text()
