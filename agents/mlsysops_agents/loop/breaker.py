"""Circuit breaker: a policy that keeps failing is left alone for a while, longer each time (Nygard, "Release It!", ch. 5)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Breaker"]


@dataclass(slots=True)
class Breaker:
    """State of one analysis.

    Attributes:
        threshold: Failures in a row that open it.
        first_pause: Seconds it stays open the first time; doubles each time up to ``longest_pause``.
        longest_pause: Longest time in seconds.
        failures: Failures in a row so far.
        open_until: Monotonic time until which nothing is tried.
        reason: What failed last.
    """

    threshold: int = 3
    first_pause: float = 30.0
    longest_pause: float = 600.0
    failures: int = 0
    open_until: float = 0.0
    reason: str = ""

    @property
    def tripped(self) -> bool:
        """Whether it has opened and no success has closed it since."""
        return self.failures >= self.threshold

    def succeeded(self) -> None:
        """Close it."""
        self.failures = 0
        self.open_until = 0.0
        self.reason = ""

    def failed(self, now: float, reason: str) -> float:
        """Note a failure.

        Args:
            now: Monotonic time.
            reason: What failed.

        Returns:
            Seconds until the next try.
        """
        self.failures += 1
        self.reason = reason
        if not self.tripped:
            return float(2 ** (self.failures - 1))
        pause = min(self.longest_pause, self.first_pause * 2.0 ** min(self.failures - self.threshold, 16))
        self.open_until = now + pause
        return pause
