"""Whether a host's SSH server answers."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["answers"]


def answers(address: str) -> bool:
    """Whether an SSH server introduces itself (RFC 4253, section 4.2): that something accepts a connection says nothing.

    Takes at most four seconds.
    """
    with contextlib.suppress(OSError), socket.create_connection((address, 22), 2) as connection:
        connection.settimeout(2)
        return connection.recv(4) == b"SSH-"
    return False
