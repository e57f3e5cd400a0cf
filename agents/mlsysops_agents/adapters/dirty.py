"""A set of things to look at again: many marks, one look, and no look at all while nothing is marked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mlsysops_core.contracts import Clock

__all__ = ["DirtySet"]

_log = logging.getLogger(__name__)


class DirtySet:
    """Calls back for each marked name, once for all marks within ``delay`` seconds.

    Args:
        clock: Time.
        look: Called with a name; what it raises is logged and the others go on.
        delay: Seconds from the first mark to the look.
    """

    def __init__(self, clock: Clock, look: Callable[[str], None], *, delay: float = 0.1) -> None:
        self._clock = clock
        self._look = look
        self._delay = delay
        self._names: set[str] = set()
        self._marked = asyncio.Event()

    def mark(self, name: str) -> None:
        """Have a name looked at soon."""
        self._names.add(name)
        self._marked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._marked.wait()
            await self._clock.sleep(self._delay)
            self._marked.clear()
            names, self._names = self._names, set()
            for name in sorted(names):
                try:
                    self._look(name)
                except Exception:  # noqa: BLE001 -- one object that cannot be read must not blind us to the others
                    _log.exception("looking at %s", name)
