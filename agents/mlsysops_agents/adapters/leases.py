"""Looks when a Lease changes, and when one runs out because none does. Shared by the upper tiers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsysops_core.contracts import Clock

from .health import next_expiry

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
        self._changed = asyncio.Event()

    def poke(self, _change: object = None) -> None:
        """A Lease changed."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._look()
            now = self._clock.time()
            expiry = next_expiry(self._leases(), now)
            try:
                async with asyncio.timeout(expiry - now + _MARGIN if expiry is not None else None):
                    await self._changed.wait()
            except TimeoutError:
                _log.warning("the Lease of an agent has run out")
            self._changed.clear()
