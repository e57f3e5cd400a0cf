"""Many timers, one sleeper: what is due is called, and nothing wakes up in between."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable

from mlsysops_core.contracts import Clock

from .clock import within

__all__ = ["Timers"]

#: The longest sleep; only bounds what a clock that jumps can spoil.
_LONGEST_SECONDS = 3600.0
#: Entries of timers that were replaced or cancelled stay in the heap until there are more than of live ones, and so many more.
_STALE_ENTRIES = 64


class Timers:
    """At most one timer a key; setting it anew replaces the old one.

    Args:
        clock: Time.
        callback: Called with the key of each timer that is due.
    """

    def __init__(self, clock: Clock, callback: Callable[[Hashable], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._due: dict[Hashable, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._sequence = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Hashable, at: float) -> None:
        """Set the timer of a key to a monotonic time."""
        self._sequence += 1
        self._due[key] = (at, self._sequence)
        heapq.heappush(self._heap, (at, self._sequence, key))
        if self._heap[0][1] == self._sequence:
            self._changed.set()
        self._tidy()

    def set_earlier(self, key: Hashable, at: float) -> None:
        """Set the timer of a key, unless it is due before that anyway."""
        present = self._due.get(key)
        if present is None or at < present[0]:
            self.set(key, at)

    def cancel(self, key: Hashable) -> None:
        """Drop the timer of a key."""
        if self._due.pop(key, None) is not None:
            self._tidy()

    def _tidy(self) -> None:
        """Build the heap anew where most of it is stale: what that costs is shared by all the timers that made it so."""
        if len(self._heap) > 2 * len(self._due) + _STALE_ENTRIES:
            self._heap = [(at, sequence, key) for key, (at, sequence) in self._due.items()]
            heapq.heapify(self._heap)

    async def run(self) -> None:
        """Call back until cancelled."""
        while True:
            self._changed.clear()
            self._fire()
            wait = self._heap[0][0] - self._clock.monotonic() if self._heap else _LONGEST_SECONDS
            try:
                await within(self._clock, min(wait, _LONGEST_SECONDS), self._changed.wait())
            except TimeoutError:
                continue

    def _fire(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            _, sequence, key = heapq.heappop(self._heap)
            if self._due.get(key, (0.0, -1))[1] == sequence:
                del self._due[key]
                self._callback(key)
