"""What may go to a terminal, and what becomes of a stream that nobody takes from."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["printable", "silence"]

#: The control characters of ISO/IEC 6429 but tab and new line: what others wrote must not steer the reader's terminal.
_CONTROL = dict.fromkeys((*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """Return a text without characters that steer a terminal."""
    return text.translate(_CONTROL)


def silence(stream: Any) -> None:
    """Point a stream that nobody takes from at nothing, so that the interpreter's last flush is quiet."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return  # not a real file (a test's buffer): there is nothing to flush into
