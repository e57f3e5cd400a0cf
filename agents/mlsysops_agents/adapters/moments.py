"""When what others say began, by the reader's own clock: theirs may be wrong, and may be set while they run.

Source: Kubernetes ``pkg/controller/nodelifecycle`` (``tryUpdateNodeHealth``), which measures silence by its own clock from when it
last saw a change.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from mlsysops_core.contracts import Clock

__all__ = ["Moments"]


@dataclass(slots=True)
class _Known:
    mark: Hashable
    began: float
    looked: float


class Moments:
    """Remembers for each key when it became what it is.

    A change happened between the last look and this one. How long ago in that time is the one thing that is taken from the writer's
    clock, so that a wrong one errs by no more than that. Only of what is seen for the first time the writer is believed all of it.

    Args:
        clock: The reader's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Hashable, _Known] = {}

    def began(self, key: Hashable, mark: Hashable, stated: float, *, unseen: float | None = None) -> float:
        """Look, and return since when a key is what it is (monotonic seconds).

        Args:
            key: What it is about.
            mark: What it is; another one is a change.
            stated: When it began by the clock of whoever wrote it, in seconds since the Unix epoch.
            unseen: For how many seconds a change may have been overlooked; since the last look at this key where None.
        """
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is not None and known.mark == mark:
            known.looked = now
            return known.began
        age = max(self._clock.time() - stated, 0.0)
        if known is not None:
            age = min(age, now - known.looked if unseen is None else unseen)
        self._known[key] = _Known(mark, now - age, now)
        return now - age

    def forget(self, key: Hashable) -> None:
        """Drop a key that is gone."""
        self._known.pop(key, None)
