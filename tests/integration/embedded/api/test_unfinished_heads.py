"""Connections that begin to ask and do not end: they are closed in time, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from mlsysops_embedded.apiserver import protocol

_LIMIT = 0.3
_WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, or where it is asked for after several times the limit."""
    if scope["path"] == "/slow":
        await asyncio.sleep(4 * _LIMIT)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", _LIMIT)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of this process."""
    config = uvicorn.Config(
        _application, "127.0.0.1", 0, http=protocol.PeerProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.shutdown()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection, which it has to."""
    async with asyncio.timeout(10):
        return await reader.read()


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 999]
)
async def test_an_unfinished_head_is_not_waited_for(sent: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(sent)
        assert await ended(reader) == b""


async def test_a_head_that_trickles_is_not_waited_for() -> None:
    async with connected() as (reader, writer):

        async def trickle() -> None:
            writer.write(b"GET / HTTP/1.1\r\n")
            while not reader.at_eof():
                writer.write(b"X: y\r\n")
                await asyncio.sleep(_LIMIT / 10)

        sending = asyncio.create_task(trickle())
        assert await ended(reader) == b""
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("sent", [b"G", b"\r\n"])
async def test_the_second_request_has_its_time_too(sent: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(_WHOLE)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(sent)
        assert await ended(reader) == b""


async def test_what_is_answered_goes_on() -> None:
    """However slow the answer is, and whatever is begun behind it."""
    async with connected() as (reader, writer):
        writer.write(_WHOLE.replace(b"/ ", b"/slow "))
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(_WHOLE.replace(b"/ ", b"/slow ") + b"GET / HT")
        assert (await ended(reader)).endswith(b"ok")
