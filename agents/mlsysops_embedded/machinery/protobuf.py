"""Reads request bodies in Kubernetes' protobuf encoding: kubectl and Go clients send some of theirs no other way.

Answers are always JSON, which every such client accepts. The envelope is the four bytes ``k8s\\0`` and a
``runtime.Unknown`` message (k8s.io/apimachinery, pkg/runtime/generated.proto) that holds apiVersion, kind and the
object; the wire format is protobuf's (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.protobuf_table import INLINE, KINDS, MESSAGES, POINTERS

__all__ = ["MEDIA_TYPE", "decode_protobuf"]

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\0"
_MAX_DEPTH: Final = 60

_Value = int | bytes


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    """Number and raw value of every field of a message, in order."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + size > len(data):
            raise ValueError("the message is cut short")
        yield number, data[at : at + size]
        at += size


def _bytes(value: _Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a string or message belongs")
    return value


def _integer(value: _Value) -> int:
    if isinstance(value, bytes):
        raise ValueError("a string or message stands where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def _time(value: _Value) -> str | None:
    parts = dict(_fields(_bytes(value)))
    if not parts:
        return None  # the zero time, which encoders write for "not set"
    seconds = _integer(parts.get(1, 0))
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scalar(kind: str, value: _Value) -> Any:
    match kind:
        case "s":
            return _bytes(value).decode()
        case "b":
            return bool(_integer(value))
        case "i":
            return _integer(value)
        case "y":
            return base64.b64encode(_bytes(value)).decode()
        case "T":
            return _time(value)
        case "Q":
            return _bytes(dict(_fields(_bytes(value))).get(1, b"")).decode()
        case "I":
            parts = dict(_fields(_bytes(value)))
            return _bytes(parts.get(3, b"")).decode() if parts.get(1) else _integer(parts.get(2, 0))
        case _:
            raise AssertionError(f"the table has no type {kind!r}")


def _value(kind: str, value: _Value, depth: int) -> Any:
    return _message(kind, _bytes(value), depth + 1) if "." in kind else _scalar(kind, value)


def _message(name: str, data: bytes, depth: int = 0) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    known = MESSAGES[name]
    found: dict[str, Any] = {}
    for number, raw in _fields(data):
        if number not in known:
            raise LookupError(f"field {number} of {name}")
        field, kind = known[number]
        if kind == "-":
            continue
        if kind[0] == "*":
            found.setdefault(field, []).append(_value(kind[1:], raw, depth))
        elif kind[0] == "%":
            entry = dict(_fields(_bytes(raw)))
            found.setdefault(field, {})[_bytes(entry.get(1, b"")).decode()] = _value(kind[1:], entry.get(2, b""), depth)
        else:
            value = _value(kind, raw, depth)
            if field in INLINE:
                found.update(value)
            elif value or isinstance(value, dict) or kind == "I" or (field in POINTERS and value is not None):
                found[field] = value
    return found


def decode_protobuf(data: bytes) -> dict[str, Any]:
    """The object of a request body.

    Args:
        data: The body, envelope included.

    Returns:
        The object as its JSON form has it, with apiVersion and kind.

    Raises:
        ApiError: 400 for a broken body, 415 for a kind or field that is not in the table: a client that can
            falls back to JSON, and none gets a half-understood object accepted.
    """
    if not data.startswith(_MAGIC):
        raise ApiError.bad_request(
            "the body is not in the Kubernetes protobuf encoding: it does not start with its four bytes"
        )
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        about = dict(_fields(_bytes(envelope.get(1, b""))))
        version, kind = _bytes(about.get(1, b"")).decode(), _bytes(about.get(2, b"")).decode()
        # Delete options travel under the version of whatever is deleted.
        message = "meta.DeleteOptions" if kind == "DeleteOptions" else KINDS[version, kind]
        value = _message(message, _bytes(envelope.get(2, b"")))
    except LookupError as exc:
        if isinstance(exc, IndexError):
            raise ApiError.bad_request("the body is cut short") from exc
        raise ApiError.unsupported_media_type() from exc
    except (ValueError, OverflowError, OSError) as exc:
        raise ApiError.bad_request(f"the body is not valid protobuf: {exc}") from exc
    return {"apiVersion": version, "kind": kind, **value}
