"""Work queue, informer and small readings of objects, without a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mlsysops_embedded.client import Informer, Object, WorkQueue, process
from mlsysops_embedded.client.objects import quantity, selector_matches, set_condition
from mlsysops_embedded.client.resources import PODS
from mlsysops_embedded.controllers.context import pod_available
from mlsysops_embedded.controllers.nodes import eviction_delay, wanted_taints
from mlsysops_embedded.controllers.replicaset import deletion_order
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.network.proxy import Balancer, backends


def pod(name: str, version: int, **extra: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version)},
        "spec": {},
        **extra,
    }


class FakeApi:
    """Lists what it has, and plays the given turns of a watch; an exception in a turn is raised."""

    def __init__(self, listings: list[list[Object]], turns: list[list[Object | Exception]]) -> None:
        self.listings, self.turns = listings, turns
        self.versions: list[str] = []

    async def list(self, *_: Any, **__: Any) -> Object:
        items = self.listings.pop(0)
        version = max((int(i["metadata"]["resourceVersion"]) for i in items), default=1)
        return {"metadata": {"resourceVersion": str(version)}, "items": items}

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncIterator[Object]:
        self.versions.append(resource_version)
        if not self.turns:
            await asyncio.Event().wait()
        for event in self.turns.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


async def follow(api: FakeApi, until: Any) -> tuple[Informer, list[tuple[str, str]]]:
    informer = Informer(api, PODS)  # type: ignore[arg-type]
    seen: list[tuple[str, str]] = []
    done = asyncio.Event()

    def handler(new: Object | None, old: Object | None) -> None:
        kind = "add" if old is None else "delete" if new is None else "update"
        seen.append((kind, (new or old or {})["metadata"]["name"]))
        if until(seen):
            done.set()

    informer.add_handler(handler)
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(5):
        await done.wait()
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return informer, seen


async def test_a_broken_watch_resumes_where_it_ended() -> None:
    away = ApiError.unavailable("away")
    first: list[Object | Exception] = [{"type": "ADDED", "object": pod("b", 7)}, away]
    second: list[Object | Exception] = [{"type": "DELETED", "object": pod("a", 9)}]
    api = FakeApi([[pod("a", 5)]], [first, second])
    informer, seen = await follow(api, lambda s: len(s) == 3)
    assert seen == [("add", "a"), ("add", "b"), ("delete", "a")]
    assert api.versions[:2] == ["5", "7"]
    assert [p["metadata"]["name"] for p in informer.items()] == ["b"]


async def test_a_compacted_history_is_listed_again_and_tells_what_went() -> None:
    api = FakeApi([[pod("a", 5), pod("b", 5)], [pod("b", 5), pod("c", 8)]], [[ApiError.gone()]])
    _, seen = await follow(api, lambda s: len(s) == 4)
    assert sorted(seen[2:]) == [("add", "c"), ("delete", "a")]


async def test_caught_up_waits_for_the_written_version() -> None:
    release = asyncio.Event()

    class Slow(FakeApi):
        async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Object]:
            await release.wait()
            yield {"type": "ADDED", "object": pod("late", 12)}
            await asyncio.Event().wait()

    informer = Informer(Slow([[]], []), PODS)  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    waiting = asyncio.create_task(informer.caught_up(pod("late", 12)))
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    await asyncio.wait_for(waiting, 5)
    assert informer.get("late", "n") is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_is_never_processed_twice_at_a_time_and_failures_come_back() -> None:
    queue: WorkQueue[str] = WorkQueue()
    active: set[str] = set()
    attempts: dict[str, int] = {}
    finished = asyncio.Event()

    async def reconcile(key: str) -> None:
        assert key not in active
        active.add(key)
        queue.add(key) if attempts.get(key, 0) == 0 else None
        await asyncio.sleep(0)
        active.discard(key)
        attempts[key] = attempts.get(key, 0) + 1
        if key == "bad" and attempts[key] < 4:
            raise ApiError.conflict("pods", key)
        if attempts.get("bad", 0) >= 4 and all(attempts.get(k, 0) >= 2 for k in "abc"):
            finished.set()

    for key in ("a", "b", "a", "c", "bad", "b"):
        queue.add(key)
    task = asyncio.create_task(process(queue, reconcile, logging.getLogger("test"), workers=3))
    await asyncio.wait_for(finished.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert attempts["a"] == attempts["b"] == attempts["c"] == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("64Mi", 64 * 2**20), ("1e3", 1000), ("2", 2), ("1.5Gi", 1.5 * 2**30), ("100k", 1e5), (3, 3)],
)
def test_quantities(text: object, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_selectors() -> None:
    expression = {
        "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}, {"key": "b", "operator": "Exists"}]
    }
    assert selector_matches(expression, {"b": ""})
    assert not selector_matches(expression, {"a": "x", "b": ""})
    assert selector_matches({}, {})
    assert not selector_matches(None, {})


def test_a_condition_changes_its_time_only_with_its_status() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]
    assert set_condition(old, "Ready", "True", "Why")[0]["lastTransitionTime"] == "then"
    assert set_condition(old, "Ready", "False")[0]["lastTransitionTime"] != "then"


def test_unready_and_pending_pods_are_given_up_first() -> None:
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        pod("old", 1, status=ready, spec={"nodeName": "a"}),
        pod("crowded", 1, status=ready, spec={"nodeName": "b"}),
        pod("crowded2", 1, status=ready, spec={"nodeName": "b"}),
        pod("waiting", 1, status={"phase": "Pending"}, spec={"nodeName": "a"}),
        pod("homeless", 1, status={"phase": "Pending"}),
    ]
    order = [p["metadata"]["name"] for p in deletion_order(pods)]
    assert order[:2] == ["homeless", "waiting"]
    assert order[-1] != "crowded"


def test_availability_waits_for_min_ready_seconds() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]}
    assert pod_available(pod("p", 1, status=ready), 10, 103) == 7
    assert pod_available(pod("p", 1, status=ready), 10, 111) == 0
    assert pod_available(pod("p", 1), 10, 111) == float("inf")


def test_taints_follow_conditions_and_keep_foreign_ones() -> None:
    foreign = {"key": "mine", "effect": "NoSchedule"}
    node: Object = {"spec": {"taints": [foreign]}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    node["spec"]["taints"] = wanted_taints(node)
    keys = [(t["key"], t["effect"]) for t in node["spec"]["taints"]]
    unreachable = "node.kubernetes.io/unreachable"
    assert keys == [("mine", "NoSchedule"), (unreachable, "NoSchedule"), (unreachable, "NoExecute")]
    assert wanted_taints(node) == node["spec"]["taints"]
    node["status"]["conditions"][0]["status"] = "True"
    assert wanted_taints(node) == [foreign]


def test_eviction_waits_as_long_as_the_shortest_toleration() -> None:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}

    def delay(*tolerations: Object) -> float | None:
        return eviction_delay({"spec": {"tolerations": list(tolerations)}}, [taint], 300)

    everything = {"operator": "Exists"}
    assert delay() == 300
    assert delay(everything) is None
    assert delay({**everything, "tolerationSeconds": 20}, {**everything, "tolerationSeconds": 60}) == 20
    assert eviction_delay({"spec": {}}, [{"key": "other", "effect": "NoExecute"}], 300) == 0


def test_backends_are_ready_endpoints_and_take_turns() -> None:
    def endpoint(address: str, *, ready: bool) -> Object:
        return {"addresses": [address], "conditions": {"ready": ready}}

    slices = [
        {"ports": [{"name": "web", "port": 80}], "endpoints": [endpoint("b", ready=True), endpoint("c", ready=False)]},
        {"ports": [{"name": "web", "port": 81}, {"name": "x", "port": 9}], "endpoints": [endpoint("a", ready=True)]},
    ]
    found = backends(slices, "web", "TCP")
    assert found == [("a", 81), ("b", 80)]
    balancer = Balancer(found)
    assert [balancer.candidates()[0] for _ in range(3)] == [("a", 81), ("b", 80), ("a", 81)]
    assert Balancer().candidates() == []
