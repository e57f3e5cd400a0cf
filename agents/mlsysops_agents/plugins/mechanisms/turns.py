"""One after the other at each place, at all places at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

__all__ = ["Turns"]


class Turns:
    """Gives whoever comes to a place a turn there; a place where nobody is takes no room."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._here: dict[str, int] = {}

    @asynccontextmanager
    async def at(self, places: Iterable[str]) -> AsyncIterator[None]:
        """Have the places to oneself.

        Args:
            places: Names of places. All take them in one order, so that nobody waits for somebody who waits for them.
        """
        wanted = sorted(places)
        for place in wanted:
            self._here[place] = self._here.get(place, 0) + 1
        try:
            async with AsyncExitStack() as stack:
                for place in wanted:
                    await stack.enter_async_context(self._locks.setdefault(place, asyncio.Lock()))
                yield
        finally:
            for place in wanted:
                self._here[place] -= 1
                if not self._here[place]:
                    del self._here[place]
                    self._locks.pop(place, None)
