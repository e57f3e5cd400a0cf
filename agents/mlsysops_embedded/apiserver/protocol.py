"""Connections: whom their certificates name, and how long they may take to ask."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mlsysops_embedded.machinery.call import User

__all__ = ["PeerProtocol"]

#: kube-apiserver's ReadHeaderTimeout (apiserver `pkg/server/secure_serving.go`).
_HEAD_SECONDS: Final = 32.0


class PeerProtocol(HttpToolsProtocol):
    """Tells the application who the verified client certificate names, and drops connections that never ask.

    A request's head must be complete so many seconds after its first byte, the first one after the connection is
    made: the library's own timer ends with any byte that comes.
    """

    _peer: User | None = None
    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._peer = _peer_user(tls.getpeercert()) if tls is not None else None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        # Empty lines before a request begin none, and yet they end the library's timer of idle connections.
        if self._head is None and self.timeout_keep_alive_task is None and not self._answering():
            self._await_head()

    def on_message_begin(self) -> None:
        """The first byte of a head came."""
        super().on_message_begin()
        self.scope["extensions"] = {"embedded.peer": self._peer}  # type: ignore[dict-item]
        if self._head is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._forget_head()
        super().on_headers_complete()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._head = self.loop.call_later(_HEAD_SECONDS, self._give_up)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        if self._answering():  # what was asked before goes on, which may be a watch
            self._await_head()
        else:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Clients that ask for SPDY or WebSocket get an ordinary answer."""


def _peer_user(certificate: Any) -> User | None:
    if not certificate:
        return None
    name, groups = "", []
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, "system:authenticated")) if name else None
