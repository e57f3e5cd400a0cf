"""Reads Kubernetes' protobuf bodies: Go clients since 1.32 send built-in kinds so, and do not fall back to JSON.

Answers are always JSON, which every such client accepts. Envelope: apimachinery `pkg/runtime/serializer/protobuf`;
wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.protobuf_types import MESSAGES

__all__ = ["MEDIA_TYPE", "decode_protobuf", "message_fields", "message_name"]

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
Obj = dict[str, Any]
_MAGIC: Final = b"k8s\x00"
_MAX_DEPTH: Final = 60
_YEAR_ONE: Final = -62135596800
_TWINS: Final = {("events.k8s.io/v1", "Event"): "EventEvents"}
#: number -> (name, flags, type code)
_Fields = dict[int, tuple[str, str, str]]


@cache
def _messages() -> dict[str, _Fields]:
    found: dict[str, _Fields] = {}
    for line in MESSAGES.strip().splitlines():
        name, _, body = line.partition(":")
        fields: _Fields = {}
        for token in body.split():
            left, _, kind = token.partition("=")
            digits = len(left) - len(left.lstrip("0123456789"))
            code = kind.lstrip("*%?")
            fields[int(left[:digits])] = (left[digits:], kind[: len(kind) - len(code)], code)
        found[name] = fields
    return found


def message_name(api_version: str, kind: str) -> str:
    """The message of a kind; empty where it has none."""
    name = _TWINS.get((api_version, kind), kind)
    return name if name in _messages() else ""


@cache
def message_fields(name: str) -> dict[str, tuple[str, str]]:
    """Flags and type code of a message's fields by name, those of embedded messages among them."""
    found: dict[str, tuple[str, str]] = {}
    for key, flags, code in _messages()[name].values():
        found.update({key: (flags, code)} if key else message_fields(code[1:]))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if form == 2:
            size, at = _varint(data, at)
        elif form in (1, 5):
            size = 8 if form == 1 else 4
        else:
            raise ValueError(f"wire type {form} is not supported")
        if at + size > end:
            raise ValueError("a field is cut off")
        yield number, data[at : at + size]
        at += size


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes are expected")  # noqa: TRY004 - caught as malformed input
    return value


def _signed(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number is expected")  # noqa: TRY004 - caught as malformed input
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(data: bytes) -> str | None:
    parts = dict(_wire(data))
    seconds, nanos = _signed(parts.get(1, 0)), _signed(parts.get(2, 0))
    if not parts or seconds <= _YEAR_ONE:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{nanos // 1000:06d}Z" if nanos else "Z")


def _value(code: str, raw: int | bytes, depth: int) -> Any:
    kind = code[0]
    if kind == "i":
        return _signed(raw)
    if kind == "b":
        return bool(raw)
    data = _bytes(raw)
    if kind == "s":
        return data.decode("utf-8")
    if kind == "y":
        return base64.b64encode(data).decode()
    if kind == "m":
        return _message(code[1:], data, depth + 1)
    if kind == "T":
        return _time(data)
    if kind == "q":
        return _bytes(dict(_wire(data)).get(1, b"0")).decode("utf-8")
    if kind == "o":
        parts = dict(_wire(data))
        return _bytes(parts.get(3, b"")).decode("utf-8") if parts.get(1) else _signed(parts.get(2, 0))
    if kind == "L":
        return [_bytes(item).decode("utf-8") for number, item in _wire(data) if number == 1]
    content = _bytes(dict(_wire(data)).get(1, b"null"))
    return orjson.loads(content or b"null")


def _message(name: str, data: bytes, depth: int) -> Obj:
    if depth > _MAX_DEPTH:
        raise ValueError("messages are nested too deeply")
    fields = _messages()[name]
    result: Obj = {}
    for number, raw in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        key, flags, code = field
        if "%" in flags:
            entry = dict(_wire(_bytes(raw)))
            result.setdefault(key, {})[_bytes(entry.get(1, b"")).decode("utf-8")] = _value(
                code, entry.get(2, b""), depth
            )
            continue
        value = _value(code, raw, depth)
        if "*" in flags:
            result.setdefault(key, []).append(value)
        elif not key:
            result.update(value)
        elif value is not None and ("?" in flags or value not in ("", 0, {})):
            result[key] = value  # Go writes zero values of plain fields too; JSON leaves them out
    return result


def decode_protobuf(body: bytes) -> Obj:
    """A body as the JSON object it stands for.

    Raises:
        ApiError: 400 where it is malformed, 415 where its kind has no table.
    """
    if not body.startswith(_MAGIC):
        raise ApiError.bad_request("provided data does not appear to be a protobuf message, expected prefix k8s\\x00")
    try:
        unknown = dict(_wire(body[len(_MAGIC) :]))
        facts = dict(_wire(_bytes(unknown.get(1, b""))))
        api_version, kind = (_bytes(facts.get(n, b"")).decode("utf-8") for n in (1, 2))
        name = message_name(api_version, kind)
        if not name:
            raise ApiError.unsupported_media_type()
        obj = _message(name, _bytes(unknown.get(2, b"")), 0)
    except (ValueError, IndexError, OverflowError, OSError) as exc:
        raise ApiError.bad_request(f"the protobuf body is malformed: {exc}") from exc
    return {"apiVersion": api_version, "kind": kind, **obj}
