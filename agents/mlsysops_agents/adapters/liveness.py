"""Who is alive: whose Lease goes on changing, measured by the reader's own clock.

What a Lease says of the time is its holder's clock, which may be wrong, and may be set while it runs. So nothing is made of it but that
it changed: an agent is alive for the duration of its Lease from when a change was seen. Source: ``client-go/tools/leaderelection``
(``observedTime``) and Kubernetes ``pkg/controller/nodelifecycle`` (``probeTimestamp``).

A Lease that is seen for the first time, by an agent that has just started, may be of somebody who went long ago. It counts for its full
duration if its holder's clock says that it was renewed within the last two durations (or will be within the next two: a clock that is a
little ahead). One whose clock is further off is thought silent until it renews its Lease the next time, seconds later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlsysops_core.contracts import Clock

from .health import VERSION, rfc3339

__all__ = ["Liveness"]

_DEFAULT_LEASE_SECONDS = 40.0
#: How far the time in a Lease that is seen for the first time may be off, in durations of that Lease.
_BELIEVED_DURATIONS = 2.0
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was seen of a Lease: a mark of its renewal, until when that counts (monotonic seconds), and when it was seen (RFC 3339)."""

    mark: tuple[str, str, str]
    until: float
    seen: str


class Liveness:
    """Remembers when each Lease changed.

    Args:
        clock: The reader's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    def see(self, lease: Mapping[str, Any]) -> float:
        """Take note of a Lease, as soon as it may have changed.

        Returns:
            Until when its holder counts as alive if it does not change any more (monotonic seconds).
        """
        metadata, spec = lease["metadata"], lease.get("spec") or {}
        name, renewed = str(metadata["name"]), str(spec.get("renewTime") or "")
        mark = (str(metadata.get("uid") or ""), str(spec.get("holderIdentity") or ""), renewed)
        before = self._heard.get(name)
        if before is not None and before.mark == mark:
            return before.until
        now = self._clock.monotonic()
        duration = float(spec.get("leaseDurationSeconds") or _DEFAULT_LEASE_SECONDS)
        if not renewed:
            heard = _Heard(mark, _NEVER, "")
        elif before is not None:
            heard = _Heard(mark, now + duration, rfc3339(self._clock.time()))
        else:
            heard = _Heard(mark, now + duration if self._recent(renewed, duration) else _NEVER, renewed)
        self._heard[name] = heard
        return heard.until

    def forget(self, lease: Mapping[str, Any]) -> None:
        """Drop a Lease that is gone."""
        self._heard.pop(str(lease["metadata"]["name"]), None)

    def next_silence(self) -> float:
        """Return when the next Lease runs out if nobody renews it (monotonic seconds); infinite where none is running."""
        now = self._clock.monotonic()
        return min((heard.until for heard in self._heard.values() if heard.until > now), default=float("inf"))

    def fell_silent(self, after: float) -> list[str]:
        """Return the Leases that ran out after a moment (monotonic seconds), sorted."""
        now = self._clock.monotonic()
        return sorted(name for name, heard in self._heard.items() if after < heard.until <= now)

    def agents(self, leases: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the agents that hold the Leases ``mlsysops-<tier>-<name>``, sorted: name, tier, ready, lastSeen, version.

        Args:
            leases: Leases of the framework's namespace.
        """
        found: list[dict[str, Any]] = []
        for lease in leases:
            name = str(lease["metadata"]["name"])
            parts = name.split("-", 2)
            if len(parts) != 3 or parts[0] != "mlsysops":
                continue
            found.append(
                {
                    "name": parts[2],
                    "tier": parts[1],
                    "ready": self.see(lease) > self._clock.monotonic(),
                    "lastSeen": self._heard[name].seen,
                    "version": str((lease["metadata"].get("annotations") or {}).get(VERSION) or ""),
                }
            )
        return sorted(found, key=lambda item: (item["tier"], item["name"]))

    def _recent(self, renewed: str, duration: float) -> bool:
        try:
            stated = datetime.fromisoformat(renewed).timestamp()
        except ValueError:
            return False
        return abs(self._clock.time() - stated) <= _BELIEVED_DURATIONS * duration
