"""A policy that cannot place something says so once, not at every trigger."""

from __future__ import annotations

from typing import Any

from mlsysops_core.contracts import PlacementOutcome

__all__ = ["told_before"]

_KEY = "refused"


def told_before(context: dict[str, Any], outcome: PlacementOutcome | None) -> bool:
    """Note why components fit nowhere.

    Args:
        context: The policy's context for the application.
        outcome: The placement that failed; None clears the note.

    Returns:
        Whether the same was noted before.
    """
    if outcome is None:
        context.pop(_KEY, None)
        return False
    text = {component: outcome.explain[component] for component in outcome.unplaced}
    if context.get(_KEY) == text:
        return True
    context[_KEY] = text
    return False
