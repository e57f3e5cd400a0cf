"""One policy for one asset: what the engine keeps of it between runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import LoadedPolicy

from .breaker import Breaker
from .record import Trigger
from .shares import Share

__all__ = ["Analysis"]

#: Triggers named in one decision; the rest are only counted into the same run.
_MAX_TRIGGERS = 8


@dataclass(slots=True, eq=False)
class Analysis:
    """State of one analysis.

    Attributes:
        policy: Who analyses.
        asset: What.
        context: The policy's context for it.
        share: What the policy has of the agent.
        breaker: Opens when this analysis keeps failing.
        pending: Triggers that came since the last run began.
        task: The run under way.
        started: Monotonic time in seconds at which the last run began.
        runs: Runs so far.
    """

    policy: LoadedPolicy
    asset: str
    context: PolicyContext
    share: Share
    breaker: Breaker = field(default_factory=Breaker)
    pending: list[Trigger] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    started: float = float("-inf")
    runs: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Policy and asset."""
        return (self.policy.name, self.asset)

    @property
    def open_until(self) -> float:
        """Monotonic time in seconds before which it is not to run."""
        return max(self.breaker.open_until, self.share.open_until)

    def add(self, *triggers: Trigger) -> None:
        """Note why it is to run."""
        for trigger in triggers:
            if trigger not in self.pending and len(self.pending) < _MAX_TRIGGERS:
                self.pending.append(trigger)

    def succeeded(self) -> None:
        """Note that a run went well."""
        self.breaker.succeeded()
        self.share.answered()

    def failed(self, now: float, reason: str, *, late: bool) -> float:
        """Note that a run failed.

        Args:
            now: Monotonic time in seconds.
            reason: How.
            late: Whether the policy did not answer in time.

        Returns:
            Seconds until the next try.
        """
        if late:
            self.share.was_late(self.asset, now, reason)
        else:
            self.share.answered()
        return self.breaker.failed(now, reason)
