"""Wakes applications when patience with their clusters runs out: no change of an object tells of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from mlsysops_core.contracts import Clock

from .world import ContinuumWorld

__all__ = ["FailoverWatch"]

#: Seconds after the due time: conditions carry whole seconds.
_MARGIN = 1.0


class FailoverWatch:
    """Sleeps until something is due, or until told that clusters or their words changed.

    Args:
        world: What the agent knows.
        clock: Its time.
        applications: Names of all applications.
        wake: Called with an application that should be analysed and why.
    """

    def __init__(
        self,
        world: ContinuumWorld,
        clock: Clock,
        applications: Callable[[], Iterable[str]],
        wake: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._clock = clock
        self._applications = applications
        self._wake = wake
        self._changed = asyncio.Event()
        self._asked: set[str] = set()
        self._everything = True
        self._due: dict[str, float] = {}

    def poke(self, name: str | None = None) -> None:
        """Look again, at one application or at all: something changed."""
        if name is None:
            self._everything = True
        else:
            self._asked.add(name)
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.monotonic()
            known = set(self._applications())
            late = {name for name, due in self._due.items() if due <= now}
            names = known if self._everything else (self._asked | late) & known
            self._everything, self._asked = False, set()
            for name in sorted(names):
                leaving = self._world.leaving(name)
                if leaving.components:
                    self._wake(name, f"{', '.join(sorted(leaving.components))} should leave")
                elif name in late:
                    self._wake(name, "a cluster that refused may be asked again")
                self._due.pop(name, None)
                if leaving.due is not None:
                    self._due[name] = leaving.due
            self._due = {name: due for name, due in self._due.items() if name in known}
            least = min(self._due.values(), default=None)
            waiting = asyncio.ensure_future(self._changed.wait())
            sleeping = (
                asyncio.ensure_future(self._clock.sleep(max(least - now, 0.0) + _MARGIN)) if least is not None else None
            )
            try:
                await asyncio.wait(
                    {waiting, sleeping} if sleeping is not None else {waiting}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                waiting.cancel()
                if sleeping is not None:
                    sleeping.cancel()
