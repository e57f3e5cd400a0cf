"""Lists and watches: consistency, pages, bookmarks, history."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx

Obj = dict[str, Any]


async def watch(client: httpx.AsyncClient, path: str, **params: Any) -> AsyncIterator[Obj]:
    async with client.stream("GET", path, params={"watch": "1", **params}) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            yield json.loads(line)


async def take(events: AsyncIterator[Obj], count: int) -> list[Obj]:
    async with asyncio.timeout(10):
        found = [await anext(events) for _ in range(count)]
    await events.aclose()  # type: ignore[attr-defined]
    return found


async def write(client: httpx.AsyncClient, path: str, name: str, **data: str) -> Obj:
    answer = await client.post(path, json={"metadata": {"name": name, "labels": data}, "data": data})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_watch_continues_a_list_without_loss(async_api: httpx.AsyncClient, namespace: str) -> None:
    """Writers at work while list and watch follow: the replayed state is the server's at every point."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    rng = random.Random(7)
    done = asyncio.Event()

    async def writer(number: int) -> None:
        for step in range(40):
            name = f"w{number}-{rng.randrange(4)}"
            answer = await async_api.post(path, json={"metadata": {"name": name}, "data": {"step": str(step)}})
            if answer.status_code == 409:
                if rng.random() < 0.4:
                    await async_api.delete(f"{path}/{name}")
                else:
                    body = {"metadata": {"name": name}, "data": {"step": f"{number}/{step}"}}
                    assert (await async_api.put(f"{path}/{name}", json=body)).status_code in (200, 404)

    async def follower() -> tuple[dict[str, Obj], list[int]]:
        listed = (await async_api.get(path)).json()
        state = {item["metadata"]["name"]: item for item in listed["items"]}
        rv, revisions = listed["metadata"]["resourceVersion"], []
        while not done.is_set() or rv != final["rv"]:
            async for event in watch(async_api, path, resourceVersion=rv, timeoutSeconds=1):
                name = event["object"]["metadata"]["name"]
                rv = event["object"]["metadata"]["resourceVersion"]
                revisions.append(int(rv))
                if event["type"] == "DELETED":
                    del state[name]
                else:
                    assert (event["type"] == "ADDED") == (name not in state)
                    state[name] = event["object"]
                if done.is_set() and rv == final["rv"]:
                    break
        return state, revisions

    final: dict[str, str] = {}
    followers = [asyncio.create_task(follower()) for _ in range(3)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(writer(number) for number in range(4)))
        last = await write(async_api, path, "last")
        final["rv"] = last["metadata"]["resourceVersion"]
        done.set()
        results = await asyncio.gather(*followers)
    expected = {item["metadata"]["name"]: item for item in (await async_api.get(path)).json()["items"]}
    for state, revisions in results:
        assert state == expected
        assert revisions == sorted(set(revisions))


async def test_pages_show_one_snapshot(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for index in range(10):
        await write(async_api, path, f"c{index}", group="g")
    names: list[str] = []
    token, rvs = "", set()
    while True:
        page = (await async_api.get(path, params={"limit": 3, "continue": token, "labelSelector": "group=g"})).json()
        names += [item["metadata"]["name"] for item in page["items"]]
        rvs.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
        await async_api.delete(f"{path}/c{len(names)}")
        await write(async_api, path, f"d{len(names)}", group="g")
    assert names == [f"c{index}" for index in range(10)]
    assert len(rvs) == 1
    assert (await async_api.get(path, params={"limit": 3, "continue": "bogus"})).status_code == 400
    exact = await async_api.get(
        path, params={"resourceVersion": rvs.pop(), "resourceVersionMatch": "Exact", "labelSelector": "group=g"}
    )
    assert [item["metadata"]["name"] for item in exact.json()["items"]] == names


async def test_a_selector_sees_objects_come_and_go(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    start = (await async_api.get(path)).json()["metadata"]["resourceVersion"]
    await write(async_api, path, "a", color="red")
    headers = {"content-type": "application/merge-patch+json"}
    for color in ("blue", "red"):
        await async_api.patch(
            f"{path}/a", content=json.dumps({"metadata": {"labels": {"color": color}}}), headers=headers
        )
    await async_api.delete(f"{path}/a")
    events = await take(watch(async_api, path, resourceVersion=start, labelSelector="color=red"), 4)
    assert [event["type"] for event in events] == ["ADDED", "DELETED", "ADDED", "DELETED"]
    assert events[1]["object"]["metadata"]["labels"] == {"color": "red"}


async def test_initial_events_end_with_a_bookmark(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name in ("a", "b"):
        await async_api.post(path, json={"metadata": {"name": name}})
    stream = watch(
        async_api, path, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    events = await take(stream, 3)
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    wrong = await async_api.get(path, params={"watch": "1", "sendInitialEvents": "true"})
    assert wrong.status_code in (400, 422)


async def test_resource_versions(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert (await async_api.get(path, params={"resourceVersion": "0"})).status_code == 200
    assert (await async_api.get(path, params={"resourceVersion": "abc"})).status_code == 400
    future = await async_api.get(path, params={"resourceVersion": "999999999"})
    assert future.status_code == 504
    assert future.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    events = await take(watch(async_api, path, resourceVersion="0", fieldSelector="metadata.name=kube-root-ca.crt"), 1)
    assert events[0]["type"] == "ADDED"


async def test_watches_as_tables(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name in ("a", "b"):
        await async_api.post(path, json={"metadata": {"name": name}})
    headers = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    async with async_api.stream("GET", path, params={"watch": "1"}, headers=headers) as answer:
        lines = answer.aiter_lines()
        first, second = json.loads(await anext(lines)), json.loads(await anext(lines))
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] == []
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_many_watchers_get_everything_soon(async_api: httpx.AsyncClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    start = (await async_api.get(path)).json()["metadata"]["resourceVersion"]
    watchers = [asyncio.create_task(take(watch(async_api, path, resourceVersion=start), 20)) for _ in range(50)]
    for index in range(20):
        assert (await async_api.post(path, json={"metadata": {"name": f"c{index}"}})).status_code == 201
    for events in await asyncio.gather(*watchers):
        assert [event["object"]["metadata"]["name"] for event in events] == [f"c{index}" for index in range(20)]
