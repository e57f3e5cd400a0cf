"""``python -m mlsysops_testapp [python] TcpServer.py|TcpClient.py``: the container's command is our argument list."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import PurePath

from .client import Client
from .server import Server
from .settings import Settings, SettingsError

__all__ = ["main", "role_of"]

_USAGE = "usage: python -m mlsysops_testapp [python] TcpServer.py|TcpClient.py"
_ROLES = {"tcpserver": "server", "server": "server", "tcpclient": "client", "client": "client"}


def role_of(arguments: list[str]) -> str | None:
    """``server`` or ``client`` from a container's command such as ``["python", "TcpServer.py"]``; None if neither."""
    rest = [argument for argument in arguments if not argument.startswith("-")]
    if rest and PurePath(rest[0]).name.startswith("python"):
        rest = rest[1:]
    return _ROLES.get(PurePath(rest[0]).stem.lower()) if len(rest) == 1 else None


async def _run(activity: Server | Client) -> None:
    work = asyncio.create_task(activity.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # a signal: that is how a container is told to end
        await work


def main(arguments: list[str] | None = None) -> int:
    """Run the server or the client until a signal; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    role = role_of(sys.argv[1:] if arguments is None else arguments)
    if role is None:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        settings = Settings.read(os.environ, role=role)
        asyncio.run(_run(Server(settings) if role == "server" else Client(settings)))
    except (SettingsError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
