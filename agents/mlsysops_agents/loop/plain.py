"""Values as JSON that every reader takes: what policies hand in goes into files, statuses and other people's parsers.

Python's own JSON has more than RFC 8259 allows: numbers that are none (NaN, infinity), and halves of surrogate pairs (section
8.2). SQLite, API servers and browsers refuse a whole document for one of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["plain"]

#: How the half of a surrogate pair looks in JSON; whole pairs look so, too.
_SURROGATE = "\\ud"
_LARGEST_DEPTH = 64


def plain(value: Any) -> Any:
    """Return a value that is JSON to everybody; the same object where it is already.

    Numbers that are none become text, keys become text, and what has no JSON form becomes what `str` says of it.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _plain(value, 0)
    return _plain(value, 0) if _SURROGATE in text else value


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= _LARGEST_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
