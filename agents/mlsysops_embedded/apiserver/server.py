"""A control plane as a process: API server, controllers, propagation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn

from mlsysops_embedded.apiserver.access import Access
from mlsysops_embedded.apiserver.app import ApiServer
from mlsysops_embedded.apiserver.kubelets import Kubelets
from mlsysops_embedded.apiserver.local import LocalClient
from mlsysops_embedded.apiserver.logs import LogProxy
from mlsysops_embedded.apiserver.metrics import Metrics
from mlsysops_embedded.apiserver.protocol import PeerProtocol
from mlsysops_embedded.apiserver.rooms import run_rooms
from mlsysops_embedded.apiserver.setup import open_registry
from mlsysops_embedded.auth.audit import AuditLog
from mlsysops_embedded.auth.authn import Authenticator
from mlsysops_embedded.auth.nodes import NodeAccess
from mlsysops_embedded.auth.rbac import Authorizer
from mlsysops_embedded.auth.tokens import TokenSigner
from mlsysops_embedded.config import ConfigError, ControlPlaneConfig

__all__ = ["run_control_plane"]

_LOG: Final = logging.getLogger("embedded.server")
_KEEP_ALIVE_SECONDS: Final = 180
_GRACE_SECONDS: Final = 3
_BACKLOG: Final = 1024


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's, not the library's: it would raise them again after the end."""
        yield


def _listen(config: ControlPlaneConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.listen.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.listen.address, config.listen.port))
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise ConfigError(f"cannot listen on {config.listen.address}:{config.listen.port}: {exc.strerror}") from exc
    return sock


async def run_control_plane(config: ControlPlaneConfig) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        ConfigError: The port is taken, or a file of the PKI is missing or unreadable.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sock = _listen(config)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        signer = TokenSigner(config.pki_dir / "sa.key")
        (config.pki_dir / "ca.crt").read_bytes()
    except (OSError, ValueError, TypeError) as exc:
        sock.close()
        raise ConfigError(f"pki_dir: {exc}") from exc
    async with open_registry(config.data_dir / "store.sqlite", service_cidr=config.service_cidr) as registry:
        nodes = NodeAccess(registry.store)
        access = Access(Authenticator(registry.store, signer), Authorizer(registry.store, nodes.allowed), nodes)
        audit = AuditLog(config.data_dir / "audit.log")
        kubelets = Kubelets(config.pki_dir)
        app = ApiServer(registry, access, audit, LogProxy(registry, kubelets), Metrics(registry, kubelets))
        server = _Server(_uvicorn_config(app, config))
        serving = asyncio.create_task(server.serve([sock]))
        rooms = asyncio.create_task(run_rooms(LocalClient(registry), config))
        app.ready = True
        address, port = sock.getsockname()[:2]
        _LOG.info("control plane %s serves https://%s:%s", config.name, address, port)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        app.ready = False
        rooms.cancel()
        registry.stop()
        server.should_exit = True
        await asyncio.gather(serving, rooms, return_exceptions=True)
        stopping.cancel()
        audit.close()
    _LOG.info("control plane %s has stopped", config.name)


def _uvicorn_config(app: ApiServer, config: ControlPlaneConfig) -> uvicorn.Config:
    pki = config.pki_dir
    try:
        result = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            loop="uvloop",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ssl_keyfile=str(pki / "server.key"),
            ssl_certfile=str(pki / "server.crt"),
            ssl_ca_certs=str(pki / "ca.crt"),
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            backlog=_BACKLOG,
        )
        result.load()
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"pki_dir: server certificate: {exc}") from exc
    if result.ssl is not None:
        result.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return result
