"""The informer against a scripted server: what it keeps, what it reports, what it survives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes import Backoff, Change, Expired, Informer, Resource, Throttled
from mlsysops_core.errors import Unreachable

THINGS = Resource("example.com", "v1", "things", "Thing")
Object = dict[str, Any]


def thing(name: str, version: int, *, uid: str = "", namespace: str = "ns", **labels: str) -> Object:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels,
            "managedFields": [{"manager": "x"}],
        },
    }


class Script:
    """Answers lists and watches in the order written; waits for ever at its end."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.watched_from: list[str] = []
        self.lists = 0
        self.exhausted = asyncio.Event()

    def _next(self) -> Any:
        return self.steps.pop(0) if self.steps else None

    async def list(self, resource: Resource, namespace: str | None = None, **options: Any) -> Object:
        self.lists += 1
        step = self._next()
        if isinstance(step, Exception):
            raise step
        if step is None:
            await self._end()
        items, version, *token = step
        # As real lists: items without apiVersion and kind.
        bare = [{"metadata": item["metadata"]} for item in items]
        return {"metadata": {"resourceVersion": str(version), "continue": token[0] if token else ""}, "items": bare}

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        on_open: Callable[[], None] | None = None,
        **options: Any,
    ) -> AsyncIterator[Object]:
        self.watched_from.append(resource_version)
        step = self._next()
        if isinstance(step, Exception):
            raise step
        if on_open is not None:
            on_open()
        if step is None:
            await self._end()
        for event in step:
            if isinstance(event, Exception):
                raise event
            yield {"type": event[0], "object": event[1]}

    async def _end(self) -> None:
        self.exhausted.set()
        await asyncio.Event().wait()


async def follow(script: Script, **options: Any) -> tuple[Informer, list[tuple[str, str, str]]]:
    informer = Informer(script, THINGS, namespace="ns", backoff=Backoff(0.001, 0.002), **options)  # type: ignore[arg-type]
    changes: list[tuple[str, str, str]] = []
    informer.subscribe(
        lambda change: changes.append((str(change.kind), change.key, change.new["metadata"]["resourceVersion"]))
    )
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(5):
        await script.exhausted.wait()
    task.cancel()
    return informer, changes


async def test_list_then_watch() -> None:
    script = Script(
        ([thing("a", 1), thing("b", 2)], 5),
        [("MODIFIED", thing("a", 6)), ("ADDED", thing("c", 7)), ("DELETED", thing("b", 8))],
    )

    informer, changes = await follow(script)

    assert changes == [
        ("ADDED", "ns/a", "1"),
        ("ADDED", "ns/b", "2"),
        ("MODIFIED", "ns/a", "6"),
        ("ADDED", "ns/c", "7"),
        ("DELETED", "ns/b", "8"),
    ]
    assert [item["metadata"]["name"] for item in informer.items()] == ["a", "c"]
    assert script.watched_from == ["5", "8"]
    assert informer.synced
    found = informer.get("a")
    assert found is not None
    assert found["kind"] == "Thing"
    assert "managedFields" not in found["metadata"]


async def test_a_busy_server_is_asked_again_when_it_says_and_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr("mlsysops_agents.adapters.kubernetes.informer.asyncio.sleep", note)
    script = Script(Throttled("busy", retry_after=7.0), Throttled("busy", retry_after=86400.0), ([thing("a", 1)], 5))
    informer = Informer(script, THINGS, namespace="ns", backoff=Backoff(0.001, 30.0))  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(60):
        await script.exhausted.wait()
    task.cancel()
    assert 7 <= waited[0] <= 10.5
    assert 30 <= waited[1] <= 45
    assert len(informer) == 1


async def test_pages_of_a_list_are_put_together() -> None:
    script = Script(([thing("a", 1)], 5, "more"), ([thing("b", 2)], 5))

    informer, _ = await follow(script)

    assert len(informer) == 2
    assert script.watched_from == ["5"]


async def test_disconnect_resumes_from_the_last_version_and_repeats_nothing() -> None:
    script = Script(
        ([thing("a", 1)], 5),
        [("MODIFIED", thing("a", 6)), Unreachable("connection reset")],
        Unreachable("connection refused"),
        [("MODIFIED", thing("a", 7))],
    )

    _, changes = await follow(script)

    assert script.watched_from == ["5", "6", "6", "7"]
    assert script.lists == 1
    assert changes == [("ADDED", "ns/a", "1"), ("MODIFIED", "ns/a", "6"), ("MODIFIED", "ns/a", "7")]


async def test_bookmarks_move_the_version_without_a_change() -> None:
    bookmark = {"kind": "Thing", "metadata": {"resourceVersion": "90"}}
    script = Script(([], 5), [("BOOKMARK", bookmark), Unreachable("gone")])

    _, changes = await follow(script)

    assert changes == []
    assert script.watched_from == ["5", "90"]


@pytest.mark.parametrize("where", ["request", "event"])
async def test_expired_version_lists_again_and_reports_the_difference(where: str) -> None:
    expired: Any = Expired("too old") if where == "request" else [Expired("too old")]
    script = Script(
        ([thing("same", 1), thing("changed", 2), thing("deleted", 3), thing("remade", 4, uid="old")], 5),
        expired,
        ([thing("same", 1), thing("changed", 20), thing("remade", 21, uid="new"), thing("added", 22)], 30),
    )

    _, changes = await follow(script)

    assert changes[4:] == [
        ("MODIFIED", "ns/changed", "20"),
        ("DELETED", "ns/remade", "4"),
        ("ADDED", "ns/remade", "21"),
        ("ADDED", "ns/added", "22"),
        ("DELETED", "ns/deleted", "3"),
    ]
    assert script.watched_from == ["5", "30"]


async def test_an_outage_at_the_start_and_later_empties_nothing() -> None:
    script = Script(
        Unreachable("refused"),
        Unreachable("refused"),
        ([thing("a", 1)], 5),
        Unreachable("refused"),
        Expired("too old"),
        Unreachable("refused"),
        ([thing("a", 1)], 9),
    )

    informer, changes = await follow(script)

    assert changes == [("ADDED", "ns/a", "1")]
    assert len(informer) == 1


async def test_malformed_answers_do_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(([thing("a", 1)], 5), [("MODIFIED", {"no": "metadata"})], ([thing("a", 1), thing("b", 7)], 9))

    informer, _ = await follow(script)

    assert len(informer) == 2
    assert "malformed answer" in caplog.text


async def test_a_broken_handler_hurts_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(([thing("a", 1)], 5))
    informer = Informer(script, THINGS, namespace="ns")  # type: ignore[arg-type]
    heard: list[Change] = []

    def broken(_: Change) -> None:
        raise RuntimeError("broken handler")

    informer.subscribe(broken)
    informer.subscribe(heard.append)
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(5):
        await script.exhausted.wait()
    task.cancel()

    assert len(heard) == 1
    assert "broken handler" in caplog.text


async def test_late_subscribers_hear_of_what_is_there() -> None:
    informer, _ = await follow(Script(([thing("a", 1), thing("b", 2)], 5)))
    heard: list[str] = []

    unsubscribe = informer.subscribe(lambda change: heard.append(f"{change.kind} {change.key}"))
    unsubscribe()
    unsubscribe()

    assert heard == ["ADDED ns/a", "ADDED ns/b"]


async def test_indices_follow_changes() -> None:
    script = Script(
        ([thing("a", 1, team="red"), thing("b", 2, team="red")], 5),
        [("MODIFIED", thing("a", 6, team="blue")), ("DELETED", thing("b", 7, team="red"))],
    )

    informer, _ = await follow(script, indexers={"team": lambda obj: [obj["metadata"]["labels"]["team"]]})

    assert informer.by_index("team", "red") == []
    assert [item["metadata"]["name"] for item in informer.by_index("team", "blue")] == ["a"]


async def test_labels_and_changes_are_found_without_looking_at_everything() -> None:
    script = Script(
        ([thing("a", 1, team="red"), thing("b", 2, team="red"), thing("c", 3)], 5),
        [("MODIFIED", thing("a", 6, team="blue"))],
    )
    informer, _ = await follow(script)
    assert [item["metadata"]["name"] for item in informer.labelled("team", "red")] == ["b"]
    assert [item["metadata"]["name"] for item in informer.labelled("team", "blue")] == ["a"]
    assert informer.labelled("team", "green") == informer.labelled("other", "") == []

    mark, names = informer.changes(-1)
    assert names is None
    informer._on_event({"type": "MODIFIED", "object": thing("b", 8, team="blue")})
    informer._on_event({"type": "DELETED", "object": thing("a", 9, team="blue")})
    assert [item["metadata"]["name"] for item in informer.labelled("team", "blue")] == ["b"]
    assert informer.changes(mark)[1] == {"a", "b"}


async def test_staleness() -> None:
    fresh = Informer(Script(), THINGS)  # type: ignore[arg-type]
    informer, _ = await follow(Script(([], 5)))

    assert fresh.staleness == float("inf")
    assert informer.staleness < 5


def test_backoff_doubles_to_its_limit_with_jitter() -> None:
    backoff = Backoff(1.0, 8.0, jitter=random.Random(1))
    delays = [backoff.delay() for _ in range(6)]

    for delay, ceiling in zip(delays, [1, 2, 4, 8, 8, 8], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    backoff.reset()
    assert backoff.delay() <= 1
