"""Cells of tables: ages, and values that may be absent.

Source: apimachinery `pkg/util/duration/duration.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlsysops_embedded.machinery.meta import parse_time

__all__ = ["age", "created", "dig"]

Obj = Mapping[str, Any]


def age(time: str | None) -> str:
    """How long ago, as `duration.HumanDuration` puts it."""
    if not time:
        return "<unknown>"
    try:
        seconds = int((datetime.now(UTC) - parse_time(time)).total_seconds())
    except ValueError:
        return "<invalid>"
    if seconds < -1:
        return "<invalid>"
    return _duration(max(seconds, 0))


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, rest = divmod(hours, 24)
    if hours < 192:
        return f"{days}d{rest}h" if rest else f"{days}d"
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y{rest}d" if years < 8 and rest else f"{years}y"


def dig(obj: Any, *path: str, default: Any = None) -> Any:
    """What lies at a path of keys, or the default where that is nothing."""
    for part in path:
        obj = obj.get(part) if isinstance(obj, Mapping) else None
    return default if obj is None else obj


def created(obj: Obj) -> str:
    """The age of an object."""
    return age(dig(obj, "metadata", "creationTimestamp"))
