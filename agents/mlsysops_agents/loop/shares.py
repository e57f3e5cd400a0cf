"""How much of the agent one policy may have: a few analyses side by side, and none for a while when it keeps hanging.

Analyses share a bounded number of slots, and one whose policy hangs keeps its slot until its time is up. Two things keep a
policy that hangs from starving the rest: it has only a few of the slots at a time (a bulkhead), and once it was late on several
assets in a row with no answer between, all its analyses pause (a circuit breaker). Core policies have slots of their own: however
many of the others hang, applications are looked after. Both patterns: Nygard, "Release It!", ch. 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .breaker import Breaker

__all__ = ["Share", "Shares"]


class Share:
    """What one policy has of the slots.

    Args:
        slots: Those of all policies.
        limit: The most that it has at a time.
        late_assets: Assets in a row on which it must be late before all its analyses pause.
    """

    def __init__(self, slots: asyncio.Semaphore, limit: int, late_assets: int) -> None:
        self._slots = slots
        self._own = asyncio.Semaphore(limit)
        self._late_assets = late_assets
        self._late: set[str] = set()
        self._breaker = Breaker(threshold=1)

    @property
    def open_until(self) -> float:
        """Monotonic time in seconds until which the policy is not asked about anything."""
        return self._breaker.open_until

    @property
    def objection(self) -> str:
        """Why the policy is left alone; empty where it is not, or has answered since."""
        return self._breaker.reason

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the policy's slots; waits for its own first, so that it never waits in the others' way."""
        async with self._own, self._slots:
            yield

    def answered(self) -> None:
        """Note that the policy answered, or raised, in time."""
        self._late.clear()
        if self._breaker.reason:
            self._breaker.succeeded()

    def was_late(self, asset: str, now: float, reason: str) -> None:
        """Note that the policy was late.

        Args:
            asset: The asset it was asked about.
            now: Monotonic time in seconds.
            reason: How late.
        """
        self._late.add(asset)
        # Those that were under way when it opened are late for the same reason: they make it no worse.
        if now >= self._breaker.open_until and (self._breaker.tripped or len(self._late) >= self._late_assets):
            self._breaker.failed(now, f"was late on {len(self._late)} assets in a row: {reason}")


class Shares:
    """The shares of all policies, by name.

    Args:
        slots: Analyses side by side, of core policies, and of all the others.
        limit: Of one policy.
        late_assets: As for `Share`.
    """

    def __init__(self, slots: int, limit: int, late_assets: int) -> None:
        self._slots = {core: asyncio.Semaphore(slots) for core in (False, True)}
        self._limit = limit
        self._late_assets = late_assets
        self._by_policy: dict[str, Share] = {}

    def of(self, policy: str, *, core: bool = False) -> Share:
        """Return the share of a policy."""
        share = self._by_policy.get(policy)
        if share is None:
            share = self._by_policy[policy] = Share(self._slots[core], self._limit, self._late_assets)
        return share

    def drop(self, policy: str) -> None:
        """Forget how a policy fared: it is gone, or another one takes its name."""
        self._by_policy.pop(policy, None)

    def conditions(self) -> list[dict[str, str]]:
        """Return one condition for each policy that is left alone as a whole."""
        return [
            {"policy": name, "asset": "all", "reason": "CircuitOpen", "message": share.objection}
            for name, share in self._by_policy.items()
            if share.objection
        ]
