"""What is told of an asset's decisions: its own, newest first, and what was tried in vain again and again only once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["repeats", "story"]

_WHOSE = ("policy", "component")
_WHAT = ("verdict", "plan", "outcome", "message", "scheduler", "rejected")
_SECONDS = len("2026-01-01T00:00:00")


def story(decisions: Iterable[Mapping[str, Any]], *, since: str = "", limit: int) -> deque[Mapping[str, Any]]:
    """Return the decisions that are worth telling, newest first.

    Args:
        decisions: Newest first.
        since: When the asset was made (RFC 3339, UTC); an older decision was about a namesake that is gone.
        limit: The most that are kept.
    """
    told: deque[Mapping[str, Any]] = deque(maxlen=limit)
    for item in reversed(list(decisions)):
        ours = str(item.get("time"))[:_SECONDS] >= since[:_SECONDS]
        if ours and item.get("verdict") != "no-change" and not repeats(item, told):
            told.appendleft(item)
    return told


def repeats(decision: Mapping[str, Any], told: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether a policy decided the same before, and nothing was done since.

    Args:
        decision: The new one.
        told: Earlier ones, newest first.
    """
    for before in told:
        if before.get("outcome") == "executed":
            return False
        if all(decision.get(key) == before.get(key) for key in _WHOSE):
            return all(decision.get(key) == before.get(key) for key in _WHAT)
    return False
