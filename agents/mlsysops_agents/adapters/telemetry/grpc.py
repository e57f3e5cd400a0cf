"""OTLP over gRPC: the one call that metrics need, as an asyncio protocol on the HTTP/2 of `h2`.

Wire format: "gRPC over HTTP2" (grpc/grpc, ``doc/PROTOCOL-HTTP2.md``) and "OTLP/gRPC" of the OpenTelemetry protocol
specification. A gRPC library would bring a server of its own, which could not share the port with OTLP/HTTP; grpcio would
also cost every agent its C core, and grpclib knows no compression, which collectors use unasked.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import quote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from mlsysops_core.errors import InvalidInput

from .intake import MAX_BODY, Intake

__all__ = ["METRICS_EXPORT", "PREFACE", "GrpcConnection", "Status"]

_log = logging.getLogger(__name__)

#: What every HTTP/2 connection of a client that knows the server begins with (RFC 9113, section 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METRICS_EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_MEDIA = "application/grpc"
#: Every message begins with a flag, whether it is compressed, and its length (4 bytes, big-endian).
_PREFIX = 5
_MAX_STREAMS = 100
_GZIP = 16 + zlib.MAX_WBITS


class Status(IntEnum):
    """gRPC status codes (grpc/grpc, ``doc/statuscodes.md``) that we answer with."""

    OK = 0
    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12


@dataclass(slots=True)
class _Call:
    """A call whose message is on its way."""

    path: str
    encoding: str
    body: bytearray = field(default_factory=bytearray)


class _Refused(Exception):
    """A call gets a status other than OK."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class GrpcConnection(asyncio.Protocol):
    """One client's connection.

    Args:
        intake: Takes metrics.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, _Call] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what we allow."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's TCP servers make no other
        self._transport = transport
        self._http.local_settings.update({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS})
        self._http.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the calls."""
        self._calls.clear()
        self._transport = None

    def close(self) -> None:
        """End the connection: the client learns that it is no failure of its call."""
        if self._transport is not None:
            self._http.close_connection()
            self._flush()
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and answer the calls that are complete."""
        try:
            for event in self._http.receive_data(data):
                self._event(event)
        except h2.exceptions.ProtocolError as exc:
            _log.debug("not HTTP/2: %s", exc)
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        self._flush()

    def _event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._begin(event.stream_id, dict(event.headers))  # type: ignore[arg-type] # text, by header_encoding
            if event.stream_ended is not None:
                self._finish(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self._more(event.stream_id, event.data)
            # Room for the client to send on, whatever becomes of the call.
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_ended is not None:
                self._finish(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._finish(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._calls.pop(event.stream_id, None)
        elif isinstance(event, h2.events.ConnectionTerminated) and self._transport is not None:
            self._transport.close()

    def _begin(self, stream: int, headers: Mapping[str, str]) -> None:
        if headers.get(":method") != "POST" or not headers.get("content-type", "").startswith(_MEDIA):
            # Not gRPC: "Responses" has servers answer with an HTTP status then.
            self._http.send_headers(stream, [(":status", "415"), ("content-length", "0")], end_stream=True)
            return
        self._calls[stream] = _Call(headers.get(":path", ""), headers.get("grpc-encoding", "identity"))

    def _more(self, stream: int, data: bytes) -> None:
        call = self._calls.get(stream)
        if call is None:
            return
        call.body += data
        if len(call.body) > MAX_BODY + _PREFIX:
            del self._calls[stream]
            self._refuse(stream, _Refused(Status.RESOURCE_EXHAUSTED, f"the message has more than {MAX_BODY} bytes"))
            self._http.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)  # nothing more of it is wanted

    def _finish(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        if call is None:
            return
        try:
            answer = self._answer(call)
        except _Refused as refused:
            self._refuse(stream, refused)
            return
        self._http.send_headers(stream, [(":status", "200"), ("content-type", _MEDIA)])
        # Far below the window that every client begins with.
        self._http.send_data(stream, bytes([0]) + len(answer).to_bytes(4, "big") + answer)
        self._http.send_headers(stream, [("grpc-status", str(int(Status.OK)))], end_stream=True)

    def _answer(self, call: _Call) -> bytes:
        if call.path != METRICS_EXPORT:
            raise _Refused(Status.UNIMPLEMENTED, f"{call.path} is not served here, only metrics are taken")
        try:
            return self._intake.take(_message(call), "protobuf")
        except InvalidInput as exc:
            raise _Refused(Status.INVALID_ARGUMENT, str(exc)) from exc

    def _refuse(self, stream: int, refused: _Refused) -> None:
        _log.debug("refused telemetry: %s", refused)
        headers = [
            (":status", "200"),
            ("content-type", _MEDIA),
            ("grpc-status", str(int(refused.status))),
            ("grpc-message", quote(str(refused)[:500], safe=" ")),
        ]
        self._http.send_headers(stream, headers, end_stream=True)

    def _flush(self) -> None:
        if self._transport is not None and (data := self._http.data_to_send()):
            self._transport.write(data)


def _message(call: _Call) -> bytes:
    """Return the one message of a call, decompressed."""
    flag, size = call.body[:1], int.from_bytes(call.body[1:_PREFIX], "big")
    message = bytes(call.body[_PREFIX:])
    if len(call.body) < _PREFIX or len(message) != size:
        raise _Refused(Status.INVALID_ARGUMENT, "not one whole message")
    if flag == b"\0":
        return message
    if call.encoding not in ("gzip", "deflate"):
        raise _Refused(Status.UNIMPLEMENTED, f"compression {call.encoding} is not known: send gzip")
    unpack = zlib.decompressobj(_GZIP if call.encoding == "gzip" else zlib.MAX_WBITS)
    try:
        message = unpack.decompress(message, MAX_BODY + 1)
    except zlib.error as exc:
        raise _Refused(Status.INVALID_ARGUMENT, f"the message cannot be decompressed: {exc}") from exc
    if len(message) > MAX_BODY:
        raise _Refused(Status.RESOURCE_EXHAUSTED, f"the message has more than {MAX_BODY} bytes")
    return message
