"""The messages between client and server: a line each, with a sequence number and a checksum.

``MSG <client> <sequence> <crc32> <text>`` is answered by ``ACK <sequence>``. A client has at most one message
outstanding and repeats it after a reconnect until it is acknowledged, so the server sees each at least once and in
order, and knows from the numbers which it saw before and which are missing.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "MAX_LINE",
    "Message",
    "Received",
    "Sequences",
    "decode_ack",
    "decode_message",
    "encode_ack",
    "encode_message",
]

MAX_LINE = 4096
_REMEMBERED_CLIENTS = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        client: Who sent it.
        sequence: 1, 2, 3 … of that client.
        text: What it says.
    """

    client: str
    sequence: int
    text: str


def encode_message(message: Message) -> bytes:
    """A message as a line."""
    text = message.text.encode()
    return b"MSG %s %d %08x %s\n" % (message.client.encode(), message.sequence, _checksum(message, text), text)


def decode_message(line: bytes) -> Message | None:
    """The message in a line, or None where the line is no message or was damaged."""
    parts = line.rstrip(b"\n").split(b" ", 4)
    if len(parts) != 5 or parts[0] != b"MSG":
        return None
    try:
        message = Message(parts[1].decode(), int(parts[2]), parts[4].decode())
        checksum = int(parts[3], 16)
    except ValueError:
        return None
    return message if checksum == _checksum(message, parts[4]) else None


def encode_ack(sequence: int) -> bytes:
    """An acknowledgement as a line."""
    return b"ACK %d\n" % sequence


def decode_ack(line: bytes) -> int | None:
    """The sequence number that a line acknowledges, or None where it is no acknowledgement."""
    kind, _, number = line.rstrip(b"\n").partition(b" ")
    return int(number) if kind == b"ACK" and number.isdigit() else None


def _checksum(message: Message, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(f"{message.client} {message.sequence} ".encode()))


class Received(Enum):
    """What a sequence number says about a message."""

    NEW = "new"
    DUPLICATE = "duplicate"


class Sequences:
    """The last sequence number of each client; remembers the 1024 clients heard last."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self.lost = 0

    def take(self, message: Message) -> Received:
        """Note a message; messages skipped before it are added to ``lost``.

        A client's first message may have any number: this server may have been started, or moved, meanwhile.
        """
        last = self._last.get(message.client)
        if last is not None and message.sequence <= last:
            return Received.DUPLICATE
        if last is not None:
            self.lost += message.sequence - last - 1
        self._last[message.client] = message.sequence
        self._last.move_to_end(message.client)
        if len(self._last) > _REMEMBERED_CLIENTS:
            self._last.popitem(last=False)
        return Received.NEW
