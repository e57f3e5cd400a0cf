"""The process that one user's policy runs in: ``python -m mlsysops_core.plugins.worker --calls FD --asks FD …``.

Its agent sends it the policy and then calls, as pickles (an agent trusts itself); answers go back as JSON (it does not trust
us). Memory and processor time are limited by the kernel. Contexts stay here as they are, whatever is in them; the agent gets a
copy of what JSON can hold, and sends it back to the next worker where this one ends.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import ctypes
import json
import logging
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from .asking import Asker, RemoteModels, RemoteTelemetry
from .codec import OpaqueError, decode, encode
from .declaration import PluginError
from .modules import load_policy_source

__all__ = ["main"]

_HEAD = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_OPEN_FILES = 256


class Worker:
    """One policy and its contexts.

    Args:
        asker: Where questions go.
        writer: Where answers go.
        cpu_seconds: Processor time that one call may take.
    """

    def __init__(self, asker: Asker, writer: asyncio.StreamWriter, *, cpu_seconds: float) -> None:
        self._asker = asker
        self._writer = writer
        self._cpu_seconds = cpu_seconds
        self._policy: Any = None
        self._initial: dict[str, Any] = {}
        self._contexts: dict[str, tuple[int, dict[str, Any]]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._generation = 0

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer until the agent closes the connection."""
        while True:
            try:
                (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                message = pickle.loads(await reader.readexactly(length))  # noqa: S301 -- from the agent that started us
            except asyncio.IncompleteReadError:
                return
            verb, number, *arguments = message
            if verb == "load":
                await self._answer(number, self._load(*arguments))
            elif verb == "call":
                self._running[number] = asyncio.create_task(self._call(number, *arguments))
            elif verb == "cancel":
                task = self._running.get(number)
                if task is not None:
                    task.cancel()
                await self._answer(number, {"ok": False, "error": "cancelled"})
            elif verb == "forget":
                self._contexts.pop(arguments[0], None)

    def _load(self, name: str, path: str, source: bytes) -> dict[str, Any]:
        self._limit_processor()
        try:
            _, policy, digest = load_policy_source(name, Path(path), source)
            context = policy.initialize()
            if not isinstance(context, dict):
                raise PluginError(  # noqa: TRY301 -- told as any other fault of the module
                    f"policy {name}: initialize() must return a dict, not {type(context).__name__}"
                )
            self._policy, self._initial = policy, context
            return {"ok": True, "context": encode(context), "digest": digest}
        except PluginError as exc:
            return {"ok": False, "error": str(exc)}
        except Exception as exc:  # noqa: BLE001 -- user code: whatever it raises is told to the agent
            return {
                "ok": False,
                "error": f"policy {name} ({path}): initialize() failed: {type(exc).__name__}: {exc}",
                "fatal": isinstance(exc, MemoryError),
            }

    async def _call(
        self, number: int, stage: str, asset: str, generation: int, context: dict[str, Any], more: dict[str, Any]
    ) -> None:
        self._limit_processor()
        try:
            live = self._context(asset, generation, context)
            models = RemoteModels(self._asker, number) if more["models"] else None
            answer = await getattr(self._policy, stage)(
                live,
                more["application_description"],
                more["system_description"],
                more["mechanisms"],
                RemoteTelemetry(self._asker, number, more["metrics"]),
                models,
            )
            if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
                raise PluginError(f"{stage}() must return (result, context)")  # noqa: TRY301 -- as above
            result, live = answer
            self._generation += 1
            self._contexts[asset] = (self._generation, live)
            reply = {
                "ok": True,
                "result": bool(result) if stage == "analyze" else encode(result),
                "context": encode(live),
                "generation": self._generation,
            }
        except asyncio.CancelledError:
            self._running.pop(number, None)
            raise
        except Exception as exc:  # noqa: BLE001 -- user code: whatever it raises is told to the agent
            text = str(exc) if isinstance(exc, PluginError) else f"{type(exc).__name__}: {exc}"
            reply = {"ok": False, "error": text, "fatal": isinstance(exc, MemoryError)}
        self._running.pop(number, None)
        await self._answer(number, reply)

    def _context(self, asset: str, generation: int, given: dict[str, Any]) -> dict[str, Any]:
        known = self._contexts.get(asset)
        if known is not None and known[0] == generation:
            return known[1]
        try:
            made = decode(given)
        except OpaqueError:
            made = None  # part of it lived in a worker that is gone: the policy starts anew
        return dict(made) if made is not None else copy.deepcopy(self._initial)

    def _limit_processor(self) -> None:
        """Let this call use so much processor time from here on; beyond it the kernel ends us (setrlimit(2), RLIMIT_CPU)."""
        soft = int(time.process_time() + self._cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    async def _answer(self, number: int, answer: dict[str, Any]) -> None:
        data = json.dumps({"id": number, **answer}, default=str).encode()
        self._writer.write(_HEAD.pack(len(data)) + data)
        await self._writer.drain()


def main(arguments: list[str] | None = None) -> int:
    """Serve one agent until it closes the connection."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_core.plugins.worker")
    parser.add_argument("--calls", type=int, required=True, help="descriptor of the socket for calls")
    parser.add_argument("--asks", type=int, required=True, help="descriptor of the socket for questions")
    parser.add_argument("--parent", type=int, required=True, help="process that started this one")
    parser.add_argument("--memory", type=int, required=True, help="most address space, bytes")
    parser.add_argument("--cpu", type=float, required=True, help="most processor time of a call, seconds")
    options = parser.parse_args(arguments)
    _end_with(options.parent)
    os.nice(5)  # the agent comes first
    resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the agent's to handle
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    calls = socket.socket(fileno=options.calls)
    reader, writer = await asyncio.open_unix_connection(sock=calls, limit=2**24)
    worker = Worker(Asker(socket.socket(fileno=options.asks)), writer, cpu_seconds=options.cpu)
    await worker.serve(reader)


def _end_with(parent: int) -> None:
    """Have the kernel end this process with its agent (prctl(2), ``PR_SET_PDEATHSIG``); Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
