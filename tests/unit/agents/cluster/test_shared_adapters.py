"""What the upper tiers share: read-your-writes caches, statuses of many objects, marks."""

from __future__ import annotations

import asyncio
from typing import Any

from agent_fakes import FakeObjects
from mlsysops_agents.adapters.dirty import DirtySet
from mlsysops_agents.adapters.health import condition
from mlsysops_agents.adapters.journal import Journal
from mlsysops_agents.adapters.overlay import ReadYourWrites
from mlsysops_agents.adapters.statuses import Statuses
from mlsysops_agents.loop import VirtualClock


class LaggingObjects(FakeObjects):
    """Its caches show a write only after `catch_up`."""

    def __init__(self) -> None:
        super().__init__()
        self.cached: dict[tuple[str, str], dict[str, Any]] = {}

    def catch_up(self) -> None:
        self.cached = dict(self.stored)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.cached.get((kind, name))

    def items(self, kind: str) -> list[dict[str, Any]]:
        return [self.cached[key] for key in sorted(self.cached) if key[0] == kind]


def thing(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "spec": spec}


def labelled_thing(app: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"app": app}}}


async def test_what_was_written_is_seen_before_the_watch_brings_it() -> None:
    objects, now = LaggingObjects(), [0.0]
    seen = ReadYourWrites(objects, monotonic=lambda: now[0])
    await seen.apply(thing(n=1), field_manager="t")
    assert [item["spec"] for item in seen.items("ConfigMap")] == [{"n": 1}]
    objects.catch_up()
    await seen.apply(thing(n=2), field_manager="t")
    found = seen.get("ConfigMap", "a")
    assert found is not None
    assert found["spec"] == {"n": 2}
    objects.put(thing(n=3))  # somebody else, later
    objects.catch_up()
    assert [item["spec"] for item in seen.items("ConfigMap")] == [{"n": 3}]
    await seen.delete("ConfigMap", "a")
    assert seen.get("ConfigMap", "a") is None
    assert seen.items("ConfigMap") == []
    objects.catch_up()
    assert seen.get("ConfigMap", "a") is None


async def test_a_write_is_not_believed_for_ever() -> None:
    objects, now = LaggingObjects(), [0.0]
    seen = ReadYourWrites(objects, monotonic=lambda: now[0])
    await seen.apply(thing(n=1), field_manager="t")
    now[0] = 60.0
    assert seen.get("ConfigMap", "a") is None


async def test_changes_name_what_was_written_and_what_ceases_to_be_believed() -> None:
    objects, now = LaggingObjects(), [0.0]
    seen = ReadYourWrites(objects, monotonic=lambda: now[0])
    mark, names = seen.changes("ConfigMap", (-1, -1))
    assert names is None
    await seen.apply(labelled_thing("x"), field_manager="t")
    assert [item["metadata"]["name"] for item in seen.labelled("ConfigMap", "app", "x")] == ["a"]
    objects.catch_up()
    # It changes its label before the watch says so.
    await seen.apply(labelled_thing("y"), field_manager="t")
    assert seen.labelled("ConfigMap", "app", "x") == []
    assert [item["metadata"]["name"] for item in seen.labelled("ConfigMap", "app", "y")] == ["a"]
    mark, names = seen.changes("ConfigMap", mark)
    assert names == {"a"}
    now[0] = 60.0
    # Somebody else looks, and so notices first that it is believed no longer.
    assert [item["metadata"]["name"] for item in seen.labelled("ConfigMap", "app", "x")] == ["a"]
    mark, names = seen.changes("ConfigMap", mark)
    assert names == {"a"}
    mark, names = seen.changes("ConfigMap", mark)
    assert names == frozenset()


async def test_what_nobody_reads_is_not_kept_for_ever() -> None:
    objects, now = LaggingObjects(), [0.0]
    seen = ReadYourWrites(objects, monotonic=lambda: now[0])
    for number in range(100):
        now[0] = float(number)
        await seen.apply({**thing(), "metadata": {"name": f"m{number}"}}, field_manager="t")
    assert len(seen._kinds["ConfigMap"].written) <= 11


def test_a_reader_that_comes_late_looks_at_everything() -> None:
    journal = Journal(keep=3)
    mark, names = journal.since(-1)
    assert names is None
    for name in "aab":
        journal.note(name)
    mark, names = journal.since(mark)
    assert names == {"a", "b"}
    assert journal.since(mark) == (mark, frozenset())
    for name in "cdef":
        journal.note(name)
    assert journal.since(mark)[1] is None


class Api:
    def __init__(self) -> None:
        self.patches: list[Any] = []

    async def patch(
        self, resource: Any, name: str, patch: Any, namespace: Any = None, *, subresource: Any = None
    ) -> Any:
        self.patches.append((name, patch["status"]))
        return {}


async def test_statuses_are_written_on_change_only() -> None:
    api = Api()
    obj = {"metadata": {"name": "a", "uid": "1"}, "status": {"phase": "Running"}}
    async with Statuses(api, "MLSysOpsApp", "mlsysops", interval=60.0) as statuses:
        statuses.offer(obj, {"phase": "Running"}, urgent=True)
        await asyncio.sleep(0)
        assert api.patches == []  # a restarted agent has nothing new to say
        statuses.offer(obj, {"phase": "Degraded"}, urgent=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert api.patches == [("a", {"phase": "Degraded"})]
        assert statuses.before(obj) == {"phase": "Degraded"}
        statuses.offer(obj, {"phase": "Degraded"}, urgent=True)
        anew = {"metadata": {"name": "a", "uid": "2"}}
        assert statuses.before(anew) == {}
        statuses.offer(anew, {"phase": "Pending"}, urgent=True)
        await statuses.flush()
        assert api.patches[1:] == [("a", {"phase": "Pending"})]


async def test_many_marks_are_one_look_and_a_fault_hurts_only_itself() -> None:
    clock = VirtualClock()
    looked: list[str] = []

    def look(name: str) -> None:
        looked.append(name)
        if name == "bad":
            raise KeyError(name)

    dirty = DirtySet(clock, look)
    task = asyncio.create_task(dirty.run())
    for name in ("b", "bad", "a", "b", "b"):
        dirty.mark(name)
    await clock.advance(1)
    assert looked == ["a", "b", "bad"]
    dirty.mark("a")
    await clock.advance(1)
    assert looked[3:] == ["a"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_transition_time_moves_only_when_the_status_does() -> None:
    first = condition({}, "Ready", True, "A", "a", generation=1, now=0.0)
    before = {"conditions": [first]}
    same = condition(before, "Ready", True, "B", "b", generation=2, now=99.0)
    assert (same["lastTransitionTime"], same["reason"], same["observedGeneration"]) == ("1970-01-01T00:00:00Z", "B", 2)
    other = condition(before, "Ready", None, "C", "c", generation=None, now=99.0)
    assert (other["status"], other["lastTransitionTime"]) == ("Unknown", "1970-01-01T00:01:39Z")
