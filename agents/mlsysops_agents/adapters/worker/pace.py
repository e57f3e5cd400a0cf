"""How fast a plug-in's process may tell of things: one that floods its agent waits, and nobody else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """A token bucket (Turner, "New directions in communications", IEEE Communications Magazine 24(10), 1986).

    Args:
        rate: Messages a second in the long run.
        burst: Messages at once.
        monotonic: Tells the time, in seconds.
    """

    def __init__(self, rate: float, burst: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._at = monotonic()

    def debt(self) -> float:
        """Count one message; return for how many seconds none should follow."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    async def take(self) -> None:
        """Count one message, and wait until another one may follow."""
        debt = self.debt()
        if debt > 0:
            await asyncio.sleep(debt)
