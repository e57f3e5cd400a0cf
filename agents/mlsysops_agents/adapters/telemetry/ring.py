"""The newest values of one series in 16 bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left

__all__ = ["Ring"]

_FIRST_CAPACITY = 16


class Ring:
    """The newest ``limit`` pairs (time, value), oldest first; times must not fall.

    Memory grows with use, by doubling, up to ``limit``.
    """

    __slots__ = ("_head", "_limit", "_size", "_times", "_values")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a ring holds at least one value")
        self._limit = limit
        self._times = array("d")
        self._values = array("d")
        self._head = 0  # where the oldest pair is
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, time: float, value: float) -> None:
        """Add the newest pair; the oldest goes where the ring is full."""
        if self._size == len(self._times) < self._limit:
            self._grow()
        capacity = len(self._times)
        if self._size == capacity:
            self._times[self._head] = time
            self._values[self._head] = value
            self._head = (self._head + 1) % capacity
            return
        slot = (self._head + self._size) % capacity
        self._times[slot] = time
        self._values[slot] = value
        self._size += 1

    def last(self) -> tuple[float, float]:
        """The newest pair.

        Raises:
            IndexError: The ring is empty.
        """
        if not self._size:
            raise IndexError("the ring is empty")
        slot = (self._head + self._size - 1) % len(self._times)
        return self._times[slot], self._values[slot]

    def since(self, time: float) -> list[tuple[float, float]]:
        """All pairs at or after ``time``, oldest first."""
        first = bisect_left(range(self._size), time, key=lambda index: self._times[self._slot(index)])
        return [self._pair(index) for index in range(first, self._size)]

    def drop_before(self, time: float) -> None:
        """Forget pairs older than ``time``."""
        while self._size and self._times[self._head] < time:
            self._head = (self._head + 1) % len(self._times)
            self._size -= 1

    def _slot(self, index: int) -> int:
        return (self._head + index) % len(self._times)

    def _pair(self, index: int) -> tuple[float, float]:
        slot = self._slot(index)
        return self._times[slot], self._values[slot]

    def _grow(self) -> None:
        pairs = [self._pair(index) for index in range(self._size)]
        capacity = min(self._limit, max(_FIRST_CAPACITY, 2 * len(self._times)))
        blank = [0.0] * (capacity - self._size)
        self._times = array("d", [time for time, _ in pairs] + blank)
        self._values = array("d", [value for _, value in pairs] + blank)
        self._head = 0
