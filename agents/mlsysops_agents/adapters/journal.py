"""What has changed since somebody looked last: names in order, so that a thousand objects need not be looked at for one."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Protocol

from mlsysops_core.contracts import Objects

__all__ = ["Journal", "JournaledObjects", "WatchedObjects"]


class Journal:
    """Remembers the newest changes.

    Args:
        keep: How many; a reader that comes later than that has to look at everything.
    """

    def __init__(self, keep: int = 4096) -> None:
        self._names: deque[str] = deque(maxlen=keep)
        self._count = 0

    def note(self, name: str) -> None:
        """Take note of a change."""
        self._names.append(name)
        self._count += 1

    def since(self, mark: int) -> tuple[int, frozenset[str] | None]:
        """Return the mark for the next look, and what changed since this one; None where it is not known any more.

        Args:
            mark: What the last look returned; below zero at the first.
        """
        missed = self._count - mark
        if mark < 0 or missed > len(self._names):
            return self._count, None
        return self._count, frozenset(islice(reversed(self._names), missed))


class JournaledObjects(Objects, Protocol):
    """Caches that know what changed in them."""

    def changes(self, kind: str, mark: int) -> tuple[int, frozenset[str] | None]:
        """Return the mark for the next look, and the objects that came, went or changed since this one.

        Args:
            kind: Their kind.
            mark: What the last look returned; below zero at the first.

        Returns:
            The mark, and names; None in their place where everything is to be looked at.
        """
        ...


class WatchedObjects(Objects, Protocol):
    """The same, with what the agent itself has just written."""

    def changes(self, kind: str, mark: tuple[int, int]) -> tuple[tuple[int, int], frozenset[str] | None]:
        """Return the mark for the next look and names, as `JournaledObjects.changes`; both numbers below zero at the first."""
        ...
