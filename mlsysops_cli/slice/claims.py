"""Claims on loopback blocks, seen by every user of this machine while a deployment makes its processes listen there.

A claim is a Unix socket with a name in Linux' abstract namespace (unix(7)): anybody may bind a name, only one process can at
a time, the kernel lets go of it when the process ends however it ends, nothing lies on disk, and a network namespace has
names of its own, just as it has loopback addresses of its own.
"""

from __future__ import annotations

import errno
import socket
import time

from mlsysops_core.errors import Conflict

__all__ = ["claim_block", "wait_for_claim"]

_PAUSE = 0.05


def claim_block(block: int) -> socket.socket | None:
    """Claim a block until the socket is closed; None where somebody else is taking it just now.

    Args:
        block: Second octet of its addresses.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0mlsysops.loopback.{block}")
    except OSError as exc:
        claim.close()
        if exc.errno != errno.EADDRINUSE:
            raise
        return None
    return claim


def wait_for_claim(block: int, seconds: float) -> socket.socket:
    """Claim a block; who only looks whether it is free lets go of it within milliseconds.

    Args:
        block: Second octet of its addresses.
        seconds: Longest wait.

    Raises:
        Conflict: Another deployment has it.
    """
    deadline = time.monotonic() + seconds
    while (claim := claim_block(block)) is None:
        if time.monotonic() >= deadline:
            raise Conflict(
                f"another deployment on this machine is taking the addresses 127.{block}",
                hint="wait for it, or set another mls_loopback_block",
            )
        time.sleep(_PAUSE)
    return claim
