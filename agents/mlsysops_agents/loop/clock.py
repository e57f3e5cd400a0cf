"""Time for the loop: the machine's own, or one that a test or a replay turns by hand."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from mlsysops_core.clock import SystemClock
from mlsysops_core.contracts import Clock

__all__ = ["SystemClock", "VirtualClock", "within"]

T = TypeVar("T")
#: Turns of the event loop after which everything that can run without time passing has run.
_SETTLE_TURNS = 25


class VirtualClock:
    """A clock that stands still until `advance` is called, then wakes its sleepers in order of their time."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = 0

    def time(self) -> float:
        """Return the virtual seconds since the Unix epoch."""
        return self._start + self._now

    def monotonic(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._sequence, future))
        await future

    async def settle(self) -> None:
        """Let everything run that needs no time to pass."""
        for _ in range(_SETTLE_TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self._now = end
        await self.settle()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """Await ``work`` for at most that many seconds of a clock.

    A coroutine that goes on in spite of being cancelled is left behind: it must not hold up its caller.

    Raises:
        TimeoutError: It was not done in time.
    """
    task: asyncio.Future[T] = asyncio.ensure_future(work)
    timer: asyncio.Future[None] = asyncio.ensure_future(clock.sleep(seconds))
    both: set[asyncio.Future[Any]] = {task, timer}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {seconds:g} s")
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()
            task.add_done_callback(_consume)


def _consume(task: asyncio.Future[Any]) -> None:
    """Take note of how an abandoned task ended, so that asyncio does not report it as forgotten."""
    if not task.cancelled():
        task.exception()
