"""``python -m mlsysops_northbound --config F``: serve the API until SIGTERM.

With ``--own-state UID`` it only gives its state directory to that user: a directory of a node is root's when a pod first has it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn
from mlsysops_core.errors import Conflict, MlsError, Refused

from mlsysops_northbound.app import create_app
from mlsysops_northbound.config import Config, TokenFile, load_config
from mlsysops_northbound.kubernetes_store import KubernetesStore

__all__ = ["main"]

_log = logging.getLogger("mlsysops_northbound")
#: Seconds that requests under way get to finish after SIGTERM.
_GRACE = 4


def main() -> int:
    """Run the server; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_northbound", description="The REST API of a slice.")
    parser.add_argument("--config", required=True, type=Path, help="YAML configuration file")
    parser.add_argument("--own-state", type=int, metavar="UID", help="give the state directory to that user, and end")
    arguments = parser.parse_args()
    _logging()
    _die_with_parent()
    try:
        config = load_config(arguments.config)
        if arguments.own_state is not None:
            return _own_state(config.state_dir, arguments.own_state)
        TokenFile(config.token_file).read()
        listener = _bind(config)
    except MlsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - before there is a server there is only stderr
        return error.exit_code
    return asyncio.run(_serve(config, listener))


def _own_state(directory: Path, uid: int) -> int:
    """Give a directory, and no one else in it, to a user; return the exit code.

    Raises:
        Refused: The directory is somebody else's.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if directory.stat().st_uid != uid:
            # In this order: without further powers root may change what is root's, and nothing after it was given away.
            directory.chmod(0o700)
            os.chown(directory, uid, uid)
    except OSError as exc:
        raise Refused(
            f"cannot give {directory} to user {uid}: {(exc.strerror or str(exc)).lower()}", hint="run this as root"
        ) from exc
    return 0


def _bind(config: Config) -> socket.socket:
    address, port = config.listen.address, config.listen.port
    try:
        family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(place[0]), int(place[1])), family=family, backlog=2048)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
        raise Conflict(
            f"cannot listen on {address}:{port}: {reason.lower()}", hint="stop what uses it, or change listen"
        ) from exc


async def _serve(config: Config, listener: socket.socket) -> int:
    app = create_app(config, KubernetesStore(config.kubeconfig, config.state_dir / "tls"))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_certfile=str(config.tls.cert) if config.tls else None,
            ssl_keyfile=str(config.tls.key) if config.tls else None,
            log_config=None,
            access_log=_log.isEnabledFor(logging.DEBUG),
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises what it caught once more when it is done: a clean end
    host, port = listener.getsockname()[:2]
    _log.info("slice %s: serving http%s://%s:%d", config.slice, "s" if config.tls else "", host, port)
    await server.serve(sockets=[listener])
    return 0 if server.started else 4


def _logging() -> None:
    logging.Formatter.converter = time.gmtime
    level = os.environ.get("MLS_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(
        stream=sys.stderr,
        level=level if level in logging.getLevelNamesMapping() else "INFO",
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )


def _die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies (prctl(2), PR_SET_PDEATHSIG)."""
    if os.environ.get("MLS_SUPERVISED") != "1" or not sys.platform.startswith("linux"):
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() == 1:  # it died before the request
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
