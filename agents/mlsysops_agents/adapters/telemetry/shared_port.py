"""One port for HTTP/1.1 and HTTP/2: the first bytes of a connection tell which it is (RFC 9113, section 3.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .grpc import PREFACE

__all__ = ["SharedPort"]

#: Seconds within which a client must say something.
_PATIENCE = 30.0


class SharedPort(asyncio.Protocol):
    """A connection of which nothing is known yet; it is handed on as soon as it is.

    Args:
        http1: Makes the protocol for HTTP/1.1.
        http2: Makes the protocol for HTTP/2.
    """

    def __init__(self, http1: Callable[[], asyncio.Protocol], http2: Callable[[], asyncio.Protocol]) -> None:
        self._http1 = http1
        self._http2 = http2
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, but not for ever."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's TCP servers make no other
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._settle()

    def data_received(self, data: bytes) -> None:
        """Hand the connection on once its first bytes tell what it is."""
        self._seen += data
        head = self._seen[: len(PREFACE)]
        if head != PREFACE and PREFACE.startswith(head):
            return
        transport = self._transport
        self._settle()
        if transport is None:
            return
        chosen = self._http2() if head == PREFACE else self._http1()
        transport.set_protocol(chosen)
        chosen.connection_made(transport)
        chosen.data_received(self._seen)

    def close(self) -> None:
        """End the connection, unless it has been handed on."""
        if self._transport is not None:
            self._transport.close()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._transport = None
