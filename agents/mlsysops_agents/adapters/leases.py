"""Looks when a Lease changes, and when one runs out because none does. Shared by the upper tiers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsysops_core.contracts import Clock

from .kubernetes import Change, ChangeKind
from .liveness import Liveness

__all__ = ["LeaseWatch"]

_log = logging.getLogger(__name__)
_MARGIN = 0.1


class LeaseWatch:
    """Turns the passing of time into a look.

    Args:
        clock: Time that Leases are measured by.
        leases: Returns the Leases.
        look: Called at the begin, after every change, and when a Lease has run out.
    """

    def __init__(
        self, clock: Clock, leases: Callable[[], Iterable[Mapping[str, Any]]], look: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._leases = leases
        self._look = look
        self._liveness = Liveness(clock)
        self._earlier = asyncio.Event()
        #: When the next Lease runs out as far as is known (monotonic seconds). Renewals only make that later.
        self._next = float("inf")

    def agents(self) -> list[dict[str, Any]]:
        """Return the agents that hold Leases and whether they are alive, as `Liveness.agents` does."""
        return self._liveness.agents(self._leases())

    def poke(self, change: Change) -> None:
        """A Lease changed: from now on its duration counts."""
        if change.kind is ChangeKind.DELETED:
            self._liveness.forget(change.new)
        elif self._liveness.see(change.new) < self._next:
            self._earlier.set()
        self._look()

    async def run(self) -> None:
        """Work until cancelled."""
        for lease in self._leases():
            self._liveness.see(lease)
        while True:
            self._look()
            looked = self._clock.monotonic()
            self._next = self._liveness.next_silence()
            self._earlier.clear()
            if await self._reached(self._next) and (silent := self._liveness.fell_silent(looked)):
                _log.warning("nobody renewed in time: %s", ", ".join(silent))

    async def _reached(self, moment: float) -> bool:
        """Wait until a moment (monotonic seconds) or until there is an earlier one; say whether it was the first."""
        if moment == float("inf"):
            await self._earlier.wait()
            return False
        earlier = asyncio.ensure_future(self._earlier.wait())
        reached = asyncio.ensure_future(self._clock.sleep(moment - self._clock.monotonic() + _MARGIN))
        try:
            await asyncio.wait({earlier, reached}, return_when=asyncio.FIRST_COMPLETED)
            return reached.done()
        finally:
            earlier.cancel()
            reached.cancel()
