"""The client: sends a message when one is due, makes sure that it arrives, and counts."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections import Counter
from collections.abc import Mapping

from .settings import Settings
from .telemetry import Exporter, Reading
from .wire import MAX_LINE, Message, decode_ack, encode_message

__all__ = ["Client", "service_address"]

_log = logging.getLogger(__name__)

_ACK_SECONDS = 2.0
_CONNECT_SECONDS = 3.0
_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0
#: How long after its window's end an acknowledgement still counts.
_GRACE_SECONDS = 0.5


def service_address(name: str, environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Address of a Kubernetes service from the variables that the kubelet sets (``SERVER_APP_SERVICE_HOST/_PORT``)."""
    prefix = name.split(".", maxsplit=1)[0].upper().replace("-", "_")
    host = environment.get(f"{prefix}_SERVICE_HOST")
    port = environment.get(f"{prefix}_SERVICE_PORT", "")
    return (host, int(port)) if host and port.isdigit() else None


class Client:
    """The client's state and its two activities: sending and reporting.

    Time is cut into slots, one message each; a window is a fixed number of slots. A slot that passes without a
    connection stays without success, so an outage shows as missing successes, while the message itself is not lost:
    its sequence number is used again until it is acknowledged.

    Args:
        settings: Settings of the process.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exporter = Exporter(settings.telemetry, settings.resource)
        self._slots_per_window = max(1, round(settings.rate * settings.sent_window))
        self._successes: Counter[int] = Counter()
        self._total = 0
        self._sequence = 1
        self._slot = 0
        self._start = 0.0
        self._attempts = 0

    async def run(self) -> None:
        """Send until cancelled, or until the number of messages asked for is acknowledged."""
        self._start = asyncio.get_running_loop().time()
        reporting = asyncio.create_task(self._report(), name="report")
        try:
            await self._send()
            _log.info("all %d messages acknowledged", self._total)
            await self._exporter.push(self._readings(self._window_of(max(0, self._slot - 1))))
        finally:
            reporting.cancel()

    # -- sending -------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        complained = False
        while not self._done():
            try:
                reader, writer = await self._connect()
            except OSError as exc:
                if not complained:
                    _log.warning("no connection, trying again: %s", str(exc) or type(exc).__name__)
                    complained = True
                await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing
                backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)
                continue
            _log.info("connected to %s", writer.get_extra_info("peername"))
            complained = False
            self._attempts -= 1  # what led here is tried first the next time, too
            try:
                while not self._done():
                    slot = await self._next_slot()
                    await self._exchange(reader, writer)
                    backoff = _FIRST_BACKOFF_SECONDS
                    self._successes[self._window_of(slot)] += 1
            except (OSError, ValueError) as exc:  # TimeoutError is an OSError
                _log.warning("connection lost: %s", str(exc) or type(exc).__name__)
            finally:
                writer.close()

    def _done(self) -> bool:
        return 0 < self._settings.messages <= self._total

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = await self._address()
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(host, port, limit=MAX_LINE)

    async def _address(self) -> tuple[str, int]:
        """Where the server is: asked anew at each attempt, because it moves.

        Where the kubelet gave a service's variables they and the name take turns, they first: a machine without
        cluster DNS may take seconds to say that it does not know the name, or know another host by it.
        """
        name, port = self._settings.server, self._settings.port
        service = service_address(name, self._settings.environment)
        self._attempts += 1
        if service is not None and self._attempts % 2:
            return service
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_SECONDS):
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return str(found[0][4][0]), port

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = Message(self._settings.client_id, self._sequence, f"message {self._sequence}")
        async with asyncio.timeout(_ACK_SECONDS):
            writer.write(encode_message(message))
            await writer.drain()
            line = await reader.readline()
        if not line:
            raise ConnectionResetError("the server closed the connection")
        if decode_ack(line) != self._sequence:
            raise ValueError(f"message {self._sequence} is not acknowledged by {line[:40]!r}")
        self._sequence += 1
        self._total += 1

    # -- time ----------------------------------------------------------------------------------------------------

    async def _next_slot(self) -> int:
        """Wait for the next slot; slots more than a second in the past are gone."""
        rate = self._settings.rate
        elapsed = asyncio.get_running_loop().time() - self._start
        slot = max(self._slot, int((elapsed - 1.0) * rate) + 1 if elapsed > 1.0 else 0)
        self._slot = slot + 1
        await asyncio.sleep(max(0.0, slot / rate - elapsed))
        return slot

    def _window_of(self, slot: int) -> int:
        return slot // self._slots_per_window

    async def _report(self) -> None:
        seconds = self._slots_per_window / self._settings.rate
        loop = asyncio.get_running_loop()
        window = 0
        while True:
            await asyncio.sleep(max(0.0, self._start + (window + 1) * seconds + _GRACE_SECONDS - loop.time()))
            readings = self._readings(window)
            _log.info("sent %d of %d, %d in all", readings[0].value, self._slots_per_window, self._total)
            await self._exporter.push(readings)
            for old in [key for key in self._successes if key <= window]:
                del self._successes[old]
            window += 1

    def _readings(self, window: int) -> list[Reading]:
        return [
            Reading("test_sent_success_counter", self._successes[window]),
            Reading("test_sent_counter", self._total, counter=True),
        ]
