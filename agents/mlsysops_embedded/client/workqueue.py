"""A queue of keys that holds each key once, never hands one out twice at a time, and backs off per key."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from logging import Logger

__all__ = ["WorkQueue", "backoff", "process"]

Key = TypeVar("Key", bound="Hashable")


def backoff(failures: int, *, base: float = 0.05, ceiling: float = 60.0) -> float:
    """Seconds to wait after that many failures in a row: exponential, jittered by a quarter either way."""
    return min(ceiling, base * float(2 ** min(max(failures - 1, 0), 30))) * random.uniform(0.75, 1.25)  # noqa: S311


class WorkQueue(Generic[Key]):
    """What client-go's rate-limiting queue does, for one event loop.

    A key added while it is being processed is handed out again after `done`; added any number of times before, once.
    """

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, tuple[float, asyncio.TimerHandle]] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._dirty)

    def add(self, key: Key) -> None:
        """Queue a key now."""
        if timer := self._timers.pop(key, None):
            timer[1].cancel()
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: Key, delay: float) -> None:
        """Queue a key in ``delay`` seconds, or earlier where an earlier timer runs already."""
        if delay <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if timer := self._timers.get(key):
            if timer[0] <= when:
                return
            timer[1].cancel()
        # The time is kept here: uvloop's handle of a timer below a millisecond does not know its own.
        self._timers[key] = when, loop.call_later(delay, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_rate_limited(self, key: Key) -> None:
        """Queue a key that failed, later each time."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, backoff(self._failures[key]))

    def forget(self, key: Key) -> None:
        """The key succeeded: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Take the oldest key; the caller owes a `done`."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        """The key is no longer being processed."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake.set()


async def process(
    queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[None]], log: Logger, *, workers: int = 1
) -> None:
    """Reconcile keys for ever; a key whose reconciliation raises comes back later.

    Conflicts and objects that are gone are part of the game and logged at debug level; anything else is logged in full.
    """

    async def work() -> None:
        while True:
            key = await queue.get()
            try:
                await reconcile(key)
            except ApiError as exc:
                level = log.debug if exc.code in (404, 409) else log.warning
                level("%s: %s", key, exc)
                queue.add_rate_limited(key)
            except Exception:
                log.exception("%s: reconciliation failed", key)
                queue.add_rate_limited(key)
            else:
                queue.forget(key)
            finally:
                queue.done(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
