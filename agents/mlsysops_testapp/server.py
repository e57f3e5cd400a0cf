"""The server: acknowledges messages and counts them."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from .settings import Settings
from .telemetry import Exporter, Reading
from .wire import MAX_LINE, Received, Sequences, decode_message, encode_ack

__all__ = ["Server"]

_log = logging.getLogger(__name__)


class Server:
    """The server's state and its two activities: answering and reporting.

    Args:
        settings: Settings of the process.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exporter = Exporter(settings.telemetry, settings.resource)
        self._sequences = Sequences()
        self._window = 0
        self._total = 0
        self._duplicates = 0
        self._corrupt = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            OSError: The address cannot be bound.
        """
        server = await asyncio.start_server(
            self._serve, self._settings.server, self._settings.port, limit=MAX_LINE, reuse_address=True
        )
        for listener in server.sockets:
            address, port = listener.getsockname()[:2]
            _log.info("serving on %s port %s", address, port)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(server.close)
            stack.callback(lambda: [task.cancel() for task in self._connections])
            await self._report()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server runs this in a task
        self._connections.add(task)
        peer = writer.get_extra_info("peername")
        _log.info("client connected from %s", peer)
        try:
            while line := await reader.readline():
                answer = self._take(line)
                if answer:
                    writer.write(answer)
                    await writer.drain()
        except (OSError, ValueError) as exc:  # ValueError: a line beyond MAX_LINE
            _log.info("connection from %s broke: %s", peer, exc)
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would report the cancelled handler as a fault
        finally:
            self._connections.discard(task)
            _log.info("client from %s gone", peer)
            writer.close()

    def _take(self, line: bytes) -> bytes:
        message = decode_message(line)
        if message is None:
            self._corrupt += 1
            _log.warning("damaged line of %d bytes", len(line))
            return b""
        lost = self._sequences.lost
        if self._sequences.take(message) is Received.DUPLICATE:
            self._duplicates += 1
        else:
            self._window += 1
            self._total += 1
        if self._sequences.lost > lost:
            _log.warning("%d messages of client %s are missing", self._sequences.lost - lost, message.client)
        return encode_ack(message.sequence)

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._settings.received_window, loop.time())
            await asyncio.sleep(due - loop.time())
            window, self._window = self._window, 0
            await self._exporter.push(
                [
                    Reading("test_received_success_counter", window),
                    Reading("test_received_counter", self._total, counter=True),
                    Reading("test_received_lost_counter", self._sequences.lost, counter=True),
                    Reading("test_received_duplicate_counter", self._duplicates, counter=True),
                    Reading("test_received_corrupt_counter", self._corrupt, counter=True),
                ]
            )
            _log.info("received %d in %g s, %d in all", window, self._settings.received_window, self._total)
