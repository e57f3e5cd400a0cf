"""Decisions as they are kept: JSON of bounded size, where what was too long says that it was cut, and by how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["bounded", "shortened"]

#: The beginning of a text that is kept.
_TEXT = 500


def bounded(decision: Mapping[str, Any], limit: int) -> str:
    """Return a decision as JSON of at most about ``limit`` characters.

    The longest of its parts are replaced first, by one of the same type that tells how much was left out; the key ``cut``
    names them.

    Args:
        decision: The decision.
        limit: Characters.
    """
    body = json.dumps(decision, default=str)
    if len(body) <= limit:
        return body
    lengths = {key: len(json.dumps(value, default=str)) for key, value in decision.items()}
    cut: dict[str, Any] = dict(decision)
    left_out: list[str] = []
    excess = len(body) - limit
    for key in sorted(lengths, key=lambda name: lengths[name], reverse=True):
        if excess <= 0 or lengths[key] <= _TEXT:
            break
        cut[key] = _short(decision[key], lengths[key])
        left_out.append(key)
        excess -= lengths[key]
    return json.dumps({**cut, "cut": left_out}, default=str)


def shortened(value: Any, limit: int) -> Any:
    """Return a value as it is, or where it has more than ``limit`` characters as JSON, what tells how much was left out."""
    length = len(json.dumps(value, default=str))
    return value if length <= limit else _short(value, length)


def _short(value: Any, length: int) -> Any:
    told = f"{length} characters left out"
    if isinstance(value, str):
        return f"{value[:_TEXT]}… ({told})"
    if isinstance(value, Mapping):
        return {"cut": told}
    return []
