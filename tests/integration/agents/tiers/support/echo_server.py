"""A server as one writes it for replacement without a gap: slow to start, and it goes on for a moment after it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal

#: It takes as long as this to load; until then nobody listens.
_LOADING_SECONDS = 1.5
#: Who has just been given its address still comes.
_FAREWELL_SECONDS = 1.0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    await asyncio.sleep(0.02)
    writer.write(line)
    await writer.drain()
    writer.close()


async def _main() -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    await asyncio.sleep(_LOADING_SECONDS)
    server = await asyncio.start_server(_answer, os.environ["EMBEDDED_POD_IP"], 10000)
    async with server:
        await told.wait()
        await asyncio.sleep(_FAREWELL_SECONDS)


asyncio.run(_main())
