"""Values of policies as JSON, and back: what crosses from a worker process to its agent.

JSON with tags for the few types that Python code likes to keep (tuples, sets, times, bytes), because an agent never unpickles
what user code made. What has no such form stays where it is and is replaced by a note of its type.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

__all__ = ["OpaqueError", "decode", "encode", "is_opaque", "is_tagged", "opaque"]

_TAG = "__mls__"
_LARGEST_DEPTH = 64


class OpaqueError(ValueError):
    """A value has no JSON form, so it cannot be made again from what was kept."""


def encode(value: Any, *, depth: int = 0) -> Any:
    """Return a value that JSON can hold.

    Raises:
        ValueError: It is nested too deeply, or within itself.
    """
    if depth > _LARGEST_DEPTH:
        raise ValueError(f"a value is nested more than {_LARGEST_DEPTH} levels deep")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [encode(item, depth=depth + 1) for item in value]
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: encode(item, depth=depth + 1) for key, item in value.items()}
        pairs = [[encode(key, depth=depth + 1), encode(item, depth=depth + 1)] for key, item in value.items()]
        return {_TAG: "dict", "v": pairs}
    return _tagged(value, depth)


def decode(value: Any) -> Any:
    """Return what `encode` was given.

    Raises:
        OpaqueError: Part of it had no JSON form.
        ValueError: It was not made by `encode`.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if _TAG not in value:
        return {key: decode(item) for key, item in value.items()}
    kind, held = value[_TAG], value.get("v")
    if kind == "opaque":
        raise OpaqueError(f"a value of type {held} was not kept")
    if kind == "dict" and isinstance(held, list):
        return {decode(key): decode(item) for key, item in held}
    try:
        return _MAKERS[kind](held)
    except (KeyError, TypeError) as exc:
        raise ValueError(f"{kind!r} is no known kind of value") from exc


def is_opaque(value: Any) -> bool:
    """Say whether an encoded value lacks a part that had no JSON form."""
    if isinstance(value, list):
        return any(map(is_opaque, value))
    if isinstance(value, Mapping):
        return value.get(_TAG) == "opaque" or any(map(is_opaque, value.values()))
    return False


def is_tagged(value: Any) -> bool:
    """Say whether an encoded value is the stand-in of something else than a dict of names."""
    return isinstance(value, Mapping) and _TAG in value


def opaque(value: Any, why: str) -> dict[str, str]:
    """Return the note that stands for a value that stays where it is."""
    return {_TAG: "opaque", "v": f"{type(value).__name__} ({why})"}


def _tagged(value: Any, depth: int) -> Any:
    if isinstance(value, (bool, int, float, str)):  # subclasses: an IntEnum is its number
        return next(kind(value) for kind in (int, float, str) if isinstance(value, kind))
    if isinstance(value, (list, tuple)):
        return {_TAG: "tuple", "v": [encode(item, depth=depth + 1) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {_TAG: "set", "v": sorted((encode(item, depth=depth + 1) for item in value), key=repr)}
    if isinstance(value, (bytes, bytearray)):
        return {_TAG: "bytes", "v": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {_TAG: "datetime", "v": value.isoformat()}
    if isinstance(value, date):
        return {_TAG: "date", "v": value.isoformat()}
    if isinstance(value, timedelta):
        return {_TAG: "timedelta", "v": value.total_seconds()}
    if isinstance(value, Decimal):
        return {_TAG: "decimal", "v": str(value)}
    # Scalars of numpy and its like say themselves what they are in plain Python.
    plain = getattr(value, "item", None)
    if callable(plain) and getattr(value, "shape", None) == ():
        return encode(plain(), depth=depth + 1)
    return {_TAG: "opaque", "v": type(value).__name__}


_MAKERS: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda held: tuple(decode(item) for item in held),
    "set": lambda held: {decode(item) for item in held},
    "bytes": base64.b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "timedelta": lambda held: timedelta(seconds=held),
    "decimal": Decimal,
}
