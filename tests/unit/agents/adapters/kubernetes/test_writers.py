"""Events, heartbeats and statuses: what is written, how often, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import (
    AlreadyExists,
    EventRecorder,
    Heartbeat,
    Resource,
    StatusWriter,
    lease_name,
)
from mlsysops_core.errors import Conflict, MlsError, NotFound, Unreachable

NODES = Resource("mlsysops.eu", "v1", "mlsysopsnodes", "MLSysOpsNode")
Object = dict[str, Any]


class Api:
    """One resource's objects in memory, with versions; fails as told."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.failures: list[MlsError] = []
        self.calls: list[str] = []
        self._version = 0

    def _before(self, call: str) -> None:
        self.calls.append(call)
        if self.failures:
            raise self.failures.pop(0)

    def _put(self, obj: Mapping[str, Any]) -> Object:
        self._version += 1
        stored = copy.deepcopy(dict(obj))
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[stored["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        self._before("get")
        if name not in self.objects:
            raise NotFound(name)
        return copy.deepcopy(self.objects[name])

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, field_manager: str = ""
    ) -> Object:
        self._before("create")
        if obj["metadata"]["name"] in self.objects:
            raise AlreadyExists("exists")
        return self._put(obj)

    async def update(self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None) -> Object:
        self._before("update")
        there = self.objects.get(obj["metadata"]["name"])
        if there is None:
            raise NotFound("gone")
        if there["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        return self._put(obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> Object:
        self._before("patch")
        if name not in self.objects:
            raise NotFound(name)
        return self._put(_merged(self.objects[name], patch))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


class Clock:
    """A clock that a test turns, and sets."""

    now = 1_700_000_000.25
    set_by = 0.0

    def __call__(self) -> float:
        return self.now + self.set_by

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- events ------------------------------------------------------------------------------------------------------

APP = {
    "apiVersion": "mlsysops.eu/v1",
    "kind": "MLSysOpsApp",
    "metadata": {"name": "shop", "namespace": "mlsysops", "uid": "u1"},
    "spec": {},
}


def recorder(api: Api, clock: Clock) -> EventRecorder:
    return EventRecorder(api, component="mlsysops-cluster-agent", instance="c1", now=clock)


async def test_event_names_its_object_and_reporter(api: Api, clock: Clock) -> None:
    await recorder(api, clock).record(APP, kind="Normal", reason="Placed", message="on worker1")

    (event,) = api.objects.values()
    assert event["involvedObject"] == {
        "apiVersion": "mlsysops.eu/v1",
        "kind": "MLSysOpsApp",
        "namespace": "mlsysops",
        "name": "shop",
        "uid": "u1",
    }
    assert event["metadata"]["namespace"] == "mlsysops"
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Placed", 1)
    assert event["firstTimestamp"] == "2023-11-14T22:13:20Z"


async def test_equal_events_are_counted_up(api: Api, clock: Clock) -> None:
    events = recorder(api, clock)
    for _ in range(3):
        await events.record(APP, kind="Warning", reason="NoFit", message="0/2 nodes")
        clock.now += 60
    await events.record(APP, kind="Warning", reason="NoFit", message="0/3 nodes")

    assert sorted(event["count"] for event in api.objects.values()) == [1, 3]


async def test_equal_events_far_apart_are_two(api: Api, clock: Clock) -> None:
    events = recorder(api, clock)
    await events.record(APP, kind="Normal", reason="Placed", message="x")
    clock.now += 601
    await events.record(APP, kind="Normal", reason="Placed", message="x")

    assert len(api.objects) == 2


async def test_an_event_that_expired_on_the_server_is_written_anew(api: Api, clock: Clock) -> None:
    events = recorder(api, clock)
    await events.record(APP, kind="Normal", reason="Placed", message="x")
    api.objects.clear()
    clock.now += 1
    await events.record(APP, kind="Normal", reason="Placed", message="x")

    assert [event["count"] for event in api.objects.values()] == [1]


async def test_floods_are_cut_off_and_let_through_again(api: Api, clock: Clock) -> None:
    events = recorder(api, clock)
    for index in range(100):
        await events.record(APP, kind="Normal", reason="Placed", message=f"message {index}")
    assert len(api.objects) == 25
    clock.now += 301
    await events.record(APP, kind="Normal", reason="Placed", message="later")

    assert len(api.objects) == 26


async def test_a_clock_that_is_put_back_suppresses_nothing(api: Api, clock: Clock) -> None:
    events = recorder(api, clock)
    await events.record(APP, kind="Normal", reason="Placed", message="before")
    clock.now -= 86_400
    await events.record(APP, kind="Normal", reason="Placed", message="after")

    assert len(api.objects) == 2


async def test_failure_is_logged_not_raised(api: Api, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    api.failures = [Unreachable("refused")]
    await recorder(api, clock).record(APP, kind="Normal", reason="Placed", message="x" * 5000)

    assert "not recorded" in caplog.text
    assert api.objects == {}


# -- heartbeat ---------------------------------------------------------------------------------------------------


def heartbeat(api: Api, clock: Clock) -> Heartbeat:
    name, labels = lease_name("node", "w1"), {"mlsysops.eu/tier": "node"}
    return Heartbeat(api, name, "mlsysops-framework", labels=labels, now=clock, monotonic=clock.monotonic)


async def test_lease_is_made_and_renewed(api: Api, clock: Clock) -> None:
    beat = heartbeat(api, clock)
    assert beat.staleness == float("inf")
    assert not beat.healthy
    await beat.beat()
    clock.now += 10
    await beat.beat()

    lease = api.objects["mlsysops-node-w1"]
    assert lease["spec"]["renewTime"] == "2023-11-14T22:13:30.250000Z"
    assert lease["spec"]["acquireTime"] == "2023-11-14T22:13:20.250000Z"
    assert lease["spec"]["leaseDurationSeconds"] == 40
    assert "@" in lease["spec"]["holderIdentity"]
    assert lease["metadata"]["labels"] == {"mlsysops.eu/tier": "node"}
    assert beat.staleness == 0
    assert beat.healthy
    clock.set_by = -3600
    clock.now += 41
    assert not beat.healthy
    await beat.beat()
    clock.set_by = 3600
    assert beat.healthy


async def test_a_new_process_takes_over(api: Api, clock: Clock) -> None:
    await heartbeat(api, clock).beat()
    api.objects["mlsysops-node-w1"]["spec"]["holderIdentity"] = "1@other"
    clock.now += 5
    await heartbeat(api, clock).beat()

    spec = api.objects["mlsysops-node-w1"]["spec"]
    assert spec["holderIdentity"] != "1@other"
    assert spec["leaseTransitions"] == 1


async def test_a_lease_tells_the_version_that_renews_it(api: Api, clock: Clock) -> None:
    for number in ("1.0", "2.0"):
        annotations = {"mlsysops.eu/version": number}
        await Heartbeat(api, "mlsysops-node-w1", "mlsysops-framework", annotations=annotations, now=clock).beat()
        assert api.objects["mlsysops-node-w1"]["metadata"]["annotations"] == annotations


@pytest.mark.parametrize("accident", ["deleted", "changed"])
async def test_lease_changed_by_others_is_taken_up_again(api: Api, clock: Clock, accident: str) -> None:
    beat = heartbeat(api, clock)
    await beat.beat()
    if accident == "deleted":
        api.objects.clear()
    else:
        api._put(api.objects["mlsysops-node-w1"])
    clock.now += 10
    await beat.beat()

    assert api.objects["mlsysops-node-w1"]["spec"]["renewTime"].endswith("30.250000Z")


async def test_outage_is_survived(api: Api) -> None:
    beat = Heartbeat(api, "l", "ns", duration=0.04, renew=0.001)
    api.failures = [Unreachable("refused")] * 5
    task = asyncio.create_task(beat.run())
    async with asyncio.timeout(5):
        while not beat.healthy:  # noqa: ASYNC110 - a condition of the part under test
            await asyncio.sleep(0.001)
    task.cancel()

    assert "l" in api.objects


# -- status ------------------------------------------------------------------------------------------------------


class Turned:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def writer(api: Api, monotonic: Turned | None = None, interval: float = 30.0) -> StatusWriter:
    return StatusWriter(api, NODES, "w1", "mlsysops", interval=interval, monotonic=monotonic or Turned())


async def test_only_what_changed_is_written(api: Api) -> None:
    api._put({"metadata": {"name": "w1"}, "status": {"foreign": 1}})
    status = writer(api)
    status.offer({"a": 1, "b": {"c": [1, 2]}})
    await status.flush()
    status.offer({"a": 1, "b": {"c": [1, 2]}})
    await status.flush()
    status.offer({"b": {"c": [1]}})
    await status.flush()

    assert api.calls == ["patch", "patch"]
    assert api.objects["w1"]["status"] == {"foreign": 1, "b": {"c": [1]}}


async def test_failed_write_is_still_owed(api: Api) -> None:
    api._put({"metadata": {"name": "w1"}})
    api.failures = [Conflict("changed")]
    status = writer(api)
    status.offer({"a": 1})
    with pytest.raises(Conflict):
        await status.flush()
    await status.flush()

    assert api.objects["w1"]["status"] == {"a": 1}


async def test_run_retries_and_keeps_the_pace(api: Api) -> None:
    api._put({"metadata": {"name": "w1"}})
    api.failures = [Unreachable("refused")]
    monotonic = Turned()
    status = writer(api, monotonic, interval=1000)
    task = asyncio.create_task(status.run())
    status.offer({"a": 1})
    await _until(lambda: "status" in api.objects["w1"])
    status.offer({"a": 2})
    for _ in range(20):
        await asyncio.sleep(0)
    assert api.objects["w1"]["status"] == {"a": 1}
    status.offer({"a": 3}, urgent=True)
    await _until(lambda: api.objects["w1"]["status"] == {"a": 3})
    task.cancel()

    assert api.calls.count("patch") == 3


async def test_a_burst_of_urgent_changes_is_written_at_once_and_then_together(api: Api) -> None:
    api._put({"metadata": {"name": "w1"}})
    monotonic = Turned()
    status = writer(api, monotonic)
    task = asyncio.create_task(status.run())
    status.offer({"a": 1}, urgent=True)
    await _until(lambda: api.objects["w1"].get("status") == {"a": 1})
    for value in range(2, 9):
        status.offer({"a": value}, urgent=True)
        for _ in range(5):
            await asyncio.sleep(0)
    assert api.calls == ["patch"]
    await _until(lambda: api.objects["w1"]["status"] == {"a": 8})
    assert api.calls == ["patch", "patch"]
    task.cancel()


async def test_a_new_object_gets_everything_again(api: Api) -> None:
    api._put({"metadata": {"name": "w1"}})
    status = writer(api)
    task = asyncio.create_task(status.run())
    status.offer({"a": 1})
    await _until(lambda: "status" in api.objects["w1"])
    api._put({"metadata": {"name": "w1"}})
    status.invalidate()
    await _until(lambda: "status" in api.objects["w1"])
    task.cancel()


async def test_an_object_that_is_gone_is_waited_for(api: Api) -> None:
    status = writer(api)
    task = asyncio.create_task(status.run())
    status.offer({"a": 1})
    await _until(lambda: api.calls == ["patch"])
    for _ in range(20):
        await asyncio.sleep(0)
    assert api.calls == ["patch"]
    api._put({"metadata": {"name": "w1"}})
    status.invalidate()
    await _until(lambda: "status" in api.objects["w1"])
    task.cancel()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition of the part under test
            await asyncio.sleep(0.001)
