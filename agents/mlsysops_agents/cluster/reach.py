"""Whether components in other clusters can be reached from here: a connection is made, since no description says it.

It is made from the cluster agent's host. Nodes of a cluster usually share their way out, but need not; a component whose node has
another one may see it otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mlsysops_core.contracts import Clock

__all__ = ["Partner", "Reach", "reach_condition"]

#: Seconds between looks at the same address, and until an attempt is given up.
_AGAIN_SECONDS = 30.0
_CONNECT_SECONDS = 3.0
#: Changes come in numbers; one look serves all.
_GATHER_SECONDS = 0.2
#: Attempts at the same time.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Partner:
    """A component in another cluster.

    Attributes:
        component: Its name.
        cluster: Where it is; empty where it has no cluster yet.
        address: Its pod's address; empty while it is not ready.
        ports: Its TCP ports.
    """

    component: str
    cluster: str
    address: str
    ports: tuple[int, ...]


class Reach:
    """Looks at partners of applications: at once when they change, and again now and then.

    Args:
        clock: Time.
        partners: Names of applications to their components in other clusters.
        changed: Called with an application of which more is known.
    """

    def __init__(
        self, clock: Clock, partners: Callable[[], Mapping[str, Iterable[Partner]]], changed: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._partners = partners
        self._changed = changed
        self._poked = asyncio.Event()
        self._known: dict[Partner, str] = {}

    def poke(self) -> None:
        """Look soon: partners changed."""
        self._poked.set()

    def known(self, partners: Iterable[Partner]) -> dict[Partner, str | None]:
        """Return why each partner is not reached: empty where it is, None where that is not known."""
        return {partner: self._known.get(partner) for partner in partners}

    async def run(self) -> None:
        """Look until cancelled: at what is new soon, at everything now and then."""
        everything = self._clock.monotonic()
        while True:
            self._poked.clear()
            applications = {name: list(partners) for name, partners in self._partners().items()}
            present = {partner for partners in applications.values() for partner in partners}
            ready = sorted((item for item in present if item.address and item.ports), key=lambda item: item.component)
            now = self._clock.monotonic()
            again = now >= everything
            if again:
                everything = now + _AGAIN_SECONDS
            gate = asyncio.Semaphore(_AT_ONCE)
            due = [partner for partner in ready if again or self._known.get(partner, "new")]
            results = await asyncio.gather(*(_attempt(partner, gate) for partner in due))
            before = self._known
            self._known = {partner: before.get(partner, "") for partner in ready} | dict(zip(due, results, strict=True))
            for name, partners in applications.items():
                if any(before.get(partner) != self._known.get(partner) for partner in partners):
                    self._changed(name)
            await self._wait(forever=not ready)
            await self._clock.sleep(_GATHER_SECONDS)

    async def _wait(self, *, forever: bool) -> None:
        poked = asyncio.ensure_future(self._poked.wait())
        waiting = {poked} if forever else {poked, asyncio.ensure_future(self._clock.sleep(_AGAIN_SECONDS))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


async def _attempt(partner: Partner, gate: asyncio.Semaphore) -> str:
    """Return why a partner does not answer on its first port; empty where it does."""
    place = f"{partner.address}:{partner.ports[0]}"
    async with gate:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(partner.address, partner.ports[0])
        except TimeoutError:
            return f"{place} does not answer"
        except OSError as exc:
            return f"{place}: {exc.strerror or exc}"
        writer.close()
        return ""


def reach_condition(known: Mapping[Partner, str | None]) -> tuple[bool | None, str, str]:
    """Return status, reason and message of the condition ``Reachable`` of an application with partners."""
    failed = [f"{item.component} in {item.cluster} ({why})" for item, why in known.items() if why]
    if failed:
        return False, "NotReached", f"cannot be reached from here: {', '.join(failed)}"
    unknown = [f"{item.component} ({_why_unknown(item)})" for item, why in known.items() if why is None]
    if unknown:
        return None, "NotKnown", f"not known yet: {', '.join(unknown)}"
    return True, "Reached", f"reached: {', '.join(f'{item.component} in {item.cluster}' for item in known)}"


def _why_unknown(partner: Partner) -> str:
    if not partner.cluster:
        return "has no cluster yet"
    if not partner.ports:
        return "has UDP ports only"
    return "was not tried yet" if partner.address else f"not ready in {partner.cluster}"
