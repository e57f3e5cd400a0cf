"""Receiver for metrics: OTLP/HTTP (``POST /v1/metrics``) and OTLP/gRPC, on one port (OpenTelemetry protocol specification)."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar
from weakref import WeakSet

from aiohttp import web
from mlsysops_core.errors import Conflict, InvalidInput

from .grpc import GrpcConnection
from .intake import MAX_BODY, Intake
from .otlp import Encoding, encode_error
from .shared_port import SharedPort
from .store import TelemetryStore

__all__ = ["DEFAULT_PORT", "OtlpReceiver", "metrics_handler"]

_log = logging.getLogger(__name__)
_Connection = TypeVar("_Connection", SharedPort, GrpcConnection)

DEFAULT_PORT = 43170
_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_MEDIA: dict[Encoding, str] = {encoding: media for media, encoding in _ENCODINGS.items()}
_SHUTDOWN_SECONDS = 1.0
#: gRPC status codes for the body of a failure.
_INVALID_ARGUMENT = 3
_RESOURCE_EXHAUSTED = 8


def metrics_handler(intake: Intake) -> Callable[[web.Request], Any]:
    """The request handler; apart from the server so that other servers can mount it."""

    async def handle(request: web.Request) -> web.Response:
        encoding = _ENCODINGS.get(request.content_type)
        if encoding is None:
            message = f"content type {request.content_type} is not OTLP: send {' or '.join(_ENCODINGS)}"
            return _failure("json", 415, _INVALID_ARGUMENT, message)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _failure(encoding, 413, _RESOURCE_EXHAUSTED, f"the body has more than {MAX_BODY} bytes")
        except web.RequestPayloadError as exc:
            return _failure(encoding, 400, _INVALID_ARGUMENT, f"the body cannot be read: {exc}")
        try:
            answer = intake.take(body, encoding)
        except InvalidInput as exc:
            return _failure(encoding, 400, _INVALID_ARGUMENT, str(exc))
        return web.Response(body=answer, content_type=_MEDIA[encoding])

    return handle


def _failure(encoding: Encoding, status: int, code: int, message: str) -> web.Response:
    _log.debug("refused telemetry: %s", message)
    return web.Response(status=status, body=encode_error(encoding, code, message), content_type=_MEDIA[encoding])


class OtlpReceiver:
    """A server that feeds a store, over HTTP/1.1 and gRPC alike. Enter it with ``async with``.

    Args:
        store: Where points go.
        address: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        defaults: Resource attributes added where a source does not give them, e.g. ``k8s.node.name``.
        now: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        store: TelemetryStore,
        *,
        address: str,
        port: int = DEFAULT_PORT,
        defaults: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._address = address
        self._port = port
        # aiohttp counts what comes out of a compressed body.
        app = web.Application(client_max_size=MAX_BODY)
        self._intake = Intake(store, dict(defaults or {}), now)
        app.router.add_post("/v1/metrics", metrics_handler(self._intake))
        app.router.add_get("/healthz", _healthy)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._server: asyncio.Server | None = None
        #: What aiohttp does not know of, and has to be ended with us.
        self._connections: WeakSet[SharedPort | GrpcConnection] = WeakSet()

    async def __aenter__(self) -> Self:
        """Start listening.

        Raises:
            Conflict: The port is taken.
            InvalidInput: The address is not one of this machine's.
        """
        await self._runner.setup()
        http1 = self._runner.server
        assert http1 is not None  # noqa: S101 - it is set up
        where = f"{self._address}:{self._port}"
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: self._remember(SharedPort(http1, self._grpc)), self._address, self._port
            )
        except OSError as exc:
            await self._runner.cleanup()
            if exc.errno == errno.EADDRINUSE:
                raise Conflict(
                    f"telemetry cannot listen on {where}: the port is taken", hint="is the agent running already?"
                ) from exc
            raise InvalidInput(f"telemetry cannot listen on {where}: {exc.strerror or exc}") from exc
        _log.info("OTLP receiver listens on %s", self.url)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        await self._runner.cleanup()

    def _grpc(self) -> GrpcConnection:
        return self._remember(GrpcConnection(self._intake))

    def _remember(self, connection: _Connection) -> _Connection:
        self._connections.add(connection)
        return connection

    @property
    def port(self) -> int:
        """The port, once listening."""
        assert self._server is not None  # noqa: S101 - the caller has entered
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Base URL, once listening; exporters add ``/v1/metrics``."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self.port}"


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
