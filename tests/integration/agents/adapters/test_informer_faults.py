"""An informer on a real connection to a server that fails in every way a watch can fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import Backoff, Informer, KubernetesClient
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of the part under test
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def following(client: KubernetesClient) -> AsyncIterator[tuple[Informer, list[str]]]:
    informer = Informer(client, CONFIG_MAPS, namespace="ns", backoff=Backoff(0.01, 0.05))
    heard: list[str] = []
    informer.subscribe(lambda change: heard.append(f"{change.kind} {change.new['metadata']['name']}"))
    task = asyncio.create_task(informer.run())
    try:
        yield informer, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_changes_arrive(client: KubernetesClient, api: Any) -> None:
    await api.put("a")
    async with following(client) as (informer, heard):
        await until(lambda: api.watches == 1)
        await api.put("a", k="v")
        await api.put("b")
        await api.put("a", deleted=True)
        await until(lambda: len(heard) == 4)

    assert heard == ["ADDED a", "MODIFIED a", "ADDED b", "DELETED a"]
    assert [item["metadata"]["name"] for item in informer.items()] == ["b"]


async def test_long_lists_come_in_pages(client: KubernetesClient, api: Any) -> None:
    api.page = 3
    for number in range(10):
        await api.put(f"m{number}")
    async with following(client) as (informer, _):
        await informer.wait_synced()
        assert len(informer) == 10
    assert len([request for request in api.requests if "watch" not in request]) == 4


@pytest.mark.parametrize("last_words", [b"", b'{"type": "ADDED", "obj'])
async def test_cut_connection_resumes_without_repetition(client: KubernetesClient, api: Any, last_words: bytes) -> None:
    await api.put("a")
    async with following(client) as (_, heard):
        await until(lambda: api.watches == 1)
        await api.put("b")
        await until(lambda: "ADDED b" in heard)
        api.cut(last_words)
        await api.put("c")
        await until(lambda: "ADDED c" in heard)

    assert heard == ["ADDED a", "ADDED b", "ADDED c"]
    assert len([request for request in api.requests if "watch" not in request]) == 1


async def test_restarted_server_is_found_again(client: KubernetesClient, api: Any) -> None:
    await api.put("a")
    async with following(client) as (informer, heard):
        await until(lambda: api.watches == 1)
        await api.stop()
        await asyncio.sleep(0.1)
        assert len(informer) == 1
        await api.put("b")
        await api.start()
        await until(lambda: "ADDED b" in heard)

    assert heard == ["ADDED a", "ADDED b"]


@pytest.mark.parametrize("in_stream", [False, True])
async def test_lost_history_is_made_up_for_by_a_list(client: KubernetesClient, api: Any, in_stream: bool) -> None:
    await api.put("a")
    await api.put("gone")
    async with following(client) as (_, heard):
        await until(lambda: api.watches == 1)
        await api.stop()
        await api.put("gone", deleted=True)
        await api.put("new")
        api.oldest, api.expire_in_stream = api.version, in_stream
        await api.start()
        await until(lambda: "DELETED gone" in heard)

    assert heard == ["ADDED a", "ADDED gone", "ADDED new", "DELETED gone"]


async def test_bookmarks_spare_a_list(client: KubernetesClient, api: Any) -> None:
    await api.put("a")
    async with following(client) as (_, heard):
        await until(lambda: api.watches == 1)
        await api.bookmark()
        before = api.version
        await api.put("b")
        await until(lambda: "ADDED b" in heard)
        await api.stop()
        api.oldest = before
        await api.start()
        await until(lambda: api.watches == 1)

    assert len([request for request in api.requests if "watch" not in request]) == 1
    assert heard == ["ADDED a", "ADDED b"]


async def test_large_objects(client: KubernetesClient, api: Any) -> None:
    """Beyond any line buffer: etcd takes objects of 1.5 MB."""
    async with following(client) as (informer, heard):
        await until(lambda: api.watches == 1)
        await api.put("big", data="x" * 5_000_000)
        await until(lambda: heard == ["ADDED big"])
        found = informer.get("big")
    assert found is not None
    assert len(found["data"]["data"]) == 5_000_000
