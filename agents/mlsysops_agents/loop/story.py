"""What is told of an asset's decisions: its own, newest first, and one that repeats the last only once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, pairwise
from typing import Any

__all__ = ["repeats", "story"]

_TOLD = ("policy", "verdict", "component", "plan", "outcome", "message", "scheduler", "rejected")
_SECONDS = len("2026-01-01T00:00:00")


def story(decisions: Iterable[Mapping[str, Any]], *, since: str = "", limit: int) -> list[Mapping[str, Any]]:
    """Return the decisions that are worth telling.

    Args:
        decisions: Newest first.
        since: When the asset was made (RFC 3339, UTC); an older decision was about a namesake that is gone.
        limit: The most that are returned.
    """
    told = [
        item
        for item in decisions
        if item.get("verdict") != "no-change" and str(item.get("time"))[:_SECONDS] >= since[:_SECONDS]
    ]
    # What was tried again and again to no avail is told as it was the first time.
    fresh = [newer for newer, older in pairwise(told) if not repeats(newer, older)] + told[-1:]
    return list(islice(fresh, limit))


def repeats(decision: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Say whether a decision differs from the one before in its time and trigger at most.

    Plans that were executed never repeat: each is a change of its own.
    """
    return decision.get("outcome") != "executed" and all(decision.get(key) == before.get(key) for key in _TOLD)
