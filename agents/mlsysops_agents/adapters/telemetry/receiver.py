"""OTLP/HTTP receiver for metrics: ``POST /v1/metrics`` (OpenTelemetry protocol specification, "OTLP/HTTP")."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from aiohttp import web
from mlsysops_core.errors import Conflict, InvalidInput

from .otlp import Encoding, decode_request, encode_error, encode_response
from .store import TelemetryStore

__all__ = ["DEFAULT_PORT", "OtlpReceiver", "metrics_handler"]

_log = logging.getLogger(__name__)

DEFAULT_PORT = 43170
_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_MEDIA: dict[Encoding, str] = {encoding: media for media, encoding in _ENCODINGS.items()}
#: Also of the body once decompressed: aiohttp counts what comes out.
_MAX_BODY = 8 * 1024 * 1024
_SHUTDOWN_SECONDS = 1.0
#: gRPC status codes for the body of a failure.
_INVALID_ARGUMENT = 3
_RESOURCE_EXHAUSTED = 8


def metrics_handler(
    store: TelemetryStore, *, defaults: Mapping[str, str], now: Callable[[], float]
) -> Callable[[web.Request], Any]:
    """The request handler; apart from the server so that other servers can mount it."""

    async def handle(request: web.Request) -> web.Response:
        encoding = _ENCODINGS.get(request.content_type)
        if encoding is None:
            message = f"content type {request.content_type} is not OTLP: send {' or '.join(_ENCODINGS)}"
            return _failure("json", 415, _INVALID_ARGUMENT, message)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _failure(encoding, 413, _RESOURCE_EXHAUSTED, f"the body has more than {_MAX_BODY} bytes")
        except web.RequestPayloadError as exc:
            return _failure(encoding, 400, _INVALID_ARGUMENT, f"the body cannot be read: {exc}")
        try:
            decoded = decode_request(body, encoding, now=now(), defaults=defaults)
        except InvalidInput as exc:
            return _failure(encoding, 400, _INVALID_ARGUMENT, str(exc))
        result = store.ingest(decoded.points)
        rejected = decoded.rejected + result.too_old
        reason = decoded.reason or ("older than what is kept" if result.too_old else "")
        return web.Response(
            body=encode_response(encoding, rejected=rejected, message=reason), content_type=_MEDIA[encoding]
        )

    return handle


def _failure(encoding: Encoding, status: int, code: int, message: str) -> web.Response:
    _log.debug("refused telemetry: %s", message)
    return web.Response(status=status, body=encode_error(encoding, code, message), content_type=_MEDIA[encoding])


class OtlpReceiver:
    """An HTTP server that feeds a store. Enter it with ``async with``.

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
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_post("/v1/metrics", metrics_handler(store, defaults=dict(defaults or {}), now=now))
        app.router.add_get("/healthz", _healthy)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def __aenter__(self) -> Self:
        """Start listening.

        Raises:
            Conflict: The port is taken.
            InvalidInput: The address is not one of this machine's.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._port)
        where = f"{self._address}:{self._port}"
        try:
            await site.start()
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
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port, once listening."""
        return int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        """Base URL, once listening; exporters add ``/v1/metrics``."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self.port}"


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
