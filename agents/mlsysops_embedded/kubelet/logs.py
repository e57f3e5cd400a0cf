"""Reads CRI logs back: tail, since, limits, and following across rotation and restarts of the container's file."""

from __future__ import annotations

import asyncio
import collections
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["LogOptions", "read_log"]

#: Seconds between looks at a followed file: inotify has no place in asyncio, and a person reads the output.
_LOOK = 0.25
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions.

    Attributes:
        follow: Go on until the container ends.
        tail: Only that many last lines; None for all.
        since: Only lines from this RFC 3339 time on; empty for all.
        limit: Bytes after which to stop; None for no limit.
        timestamps: Put its time before each line.
    """

    follow: bool = False
    tail: int | None = None
    since: str = ""
    limit: int | None = None
    timestamps: bool = False


def _files(path: Path) -> list[Path]:
    """The rotated files of a log, oldest first, then the log."""
    rotated = []
    number = 1
    while (older := Path(f"{path}.{number}")).exists():
        rotated.append(older)
        number += 1
    return [*reversed(rotated), *([path] if path.exists() else [])]


def _records(path: Path) -> Iterator[bytes]:
    for file in _files(path):
        with file.open("rb") as opened:
            yield from opened


def _render(record: bytes, options: LogOptions) -> bytes:
    """One CRI record as text; empty where it is older than asked for."""
    stamp, _, rest = record.partition(b" ")
    if options.since and stamp.decode("ascii", "replace") < options.since:
        return b""
    _, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if tag == b"P":
        text = text.removesuffix(b"\n")
    return stamp + b" " + text if options.timestamps else text


def _past(path: Path, options: LogOptions) -> bytes:
    lines: Iterator[bytes] = (text for record in _records(path) if (text := _render(record, options)))
    if options.tail is not None:
        lines = iter(collections.deque(lines, maxlen=options.tail))
    data = bytearray()
    for line in lines:
        data += line
        if options.limit is not None and len(data) >= options.limit:
            return bytes(data[: options.limit])
    return bytes(data)


async def read_log(path: Path, options: LogOptions, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Stream a log.

    Args:
        path: Present file of the container's attempt.
        options: What is wanted.
        alive: Whether more may come.
    """
    opened = _open_at_end(path) if options.follow else None
    left = options.limit
    try:
        data = await asyncio.to_thread(_past, path, options)
        if left is not None:
            left -= len(data)
        for start in range(0, len(data), _CHUNK):
            yield data[start : start + _CHUNK]
        rest = b""
        while opened is not None and (left is None or left > 0):
            ending = not alive()
            new = opened.read(_CHUNK)
            if not new:
                if _rotated(opened, path):
                    opened.close()
                    opened = await asyncio.to_thread(path.open, "rb")
                    continue
                if ending:
                    return
                await asyncio.sleep(_LOOK)
                continue
            *records, rest = (rest + new).split(b"\n")
            text = b"".join(_render(record + b"\n", options) for record in records)
            if left is not None:
                text = text[:left]
                left -= len(text)
            if text:
                yield text
    finally:
        if opened is not None:
            opened.close()


def _open_at_end(path: Path) -> BinaryIO | None:
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return None
    opened.seek(0, 2)
    return opened


def _rotated(opened: BinaryIO, path: Path) -> bool:
    try:
        return os.fstat(opened.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False
