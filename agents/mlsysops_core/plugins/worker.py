"""The process that one user's plug-in runs in: ``python -m mlsysops_core.plugins.worker --calls FD --asks FD …``.

Its agent sends it the plug-in and then calls, as pickles (an agent trusts itself); answers go back as JSON (it does not trust
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
import site
import socket
import struct
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import AgentIdentity

from .asking import Asker, RemoteModels, RemoteTelemetry
from .codec import OpaqueError, decode, encode, is_tagged, opaque
from .declaration import PluginError
from .framework_modules import metric_sink
from .hosted import HostedMechanism
from .loader import POLICY_GROUP, load_policy_entry
from .modules import load_policy_source
from .remote import RemoteHandle, current_call

__all__ = ["end_with", "main"]

_HEAD = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_OPEN_FILES = 256
#: Characters of a plan, and of a context, that an agent is sent: it holds up everybody while it reads them.
_LARGEST_PART = 2**20
_LONGEST_ERROR = 2000


class Worker:
    """One policy and its contexts, or one mechanism.

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
        self._mechanism = HostedMechanism(lambda message: self._tell({"message": encode(message)}))
        self._loop = asyncio.get_running_loop()
        metric_sink.append(lambda name, value, attributes: self._tell({"metric": [name, value, attributes]}))

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
            elif verb == "load-class":
                await self._answer(number, self._load_class(*arguments))
            elif verb == "load-mechanism":
                await self._answer(number, self._load_mechanism(*arguments))
            elif verb == "call":
                self._running[number] = asyncio.create_task(self._call(number, *arguments))
            elif verb == "apply":
                self._running[number] = asyncio.create_task(self._apply(number, *arguments))
            elif verb == "look":
                await self._answer(number, {"ok": True, **self._mechanism.look()})
            elif verb == "give":
                self._mechanism.give(arguments[0])
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
            return _failure(exc, f"policy {name} ({path}): initialize() failed: ")

    def _load_class(self, name: str, value: str, agent: dict[str, Any]) -> dict[str, Any]:
        """Make a typed policy; the answer has no context where it is meant for other tiers."""
        self._limit_processor()
        handle = RemoteHandle(self._asker, AgentIdentity(**agent))
        try:
            loaded = load_policy_entry(EntryPoint(name, value, POLICY_GROUP), handle)
            if loaded is None:
                return {"ok": True, "context": None, "digest": ""}
            self._policy, self._initial = loaded.policy, dict(loaded.context)
            return {"ok": True, "context": encode(self._initial), "digest": ""}
        except PluginError as exc:
            return {"ok": False, "error": str(exc)}
        except Exception as exc:  # noqa: BLE001 -- user code, as above
            return _failure(exc, f"policy {name} ({value}): ")

    def _load_mechanism(self, name: str, path: str, source: bytes, facts: dict[str, Any]) -> dict[str, Any]:
        self._limit_processor()
        try:
            return {"ok": True, **self._mechanism.load(name, path, source, facts)}
        except PluginError as exc:
            return {"ok": False, "error": str(exc)}
        except Exception as exc:  # noqa: BLE001 -- user code, as above
            return _failure(exc, f"mechanism {name} ({path}): initialize() failed: ")
        finally:
            self._lift_limit()

    async def _apply(self, number: int, command: dict[str, Any]) -> None:
        self._limit_processor()
        try:
            reply = {"ok": True, **await self._mechanism.apply(command)}
        except asyncio.CancelledError:
            if _is_told_to_end():
                raise
            reply = _failure(PluginError("apply() cancelled itself"))
        except Exception as exc:  # noqa: BLE001 -- user code, as above
            reply = _failure(exc)
        finally:
            self._running.pop(number, None)
            if not self._running:
                self._lift_limit()
        await self._answer(number, reply)

    async def _call(
        self, number: int, stage: str, asset: str, generation: int, context: dict[str, Any], more: dict[str, Any]
    ) -> None:
        self._limit_processor()
        current_call.set(number)
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
                "result": bool(result) if stage == "analyze" else _fitting(encode(result)),
                "context": _kept(encode(live)),
                "generation": self._generation,
            }
        except asyncio.CancelledError:
            self._running.pop(number, None)
            if _is_told_to_end():
                raise
            reply = _failure(PluginError(f"{stage}() cancelled itself"))
        except Exception as exc:  # noqa: BLE001 -- user code: whatever it raises is told to the agent
            reply = _failure(exc)
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

    def _lift_limit(self) -> None:
        """Let a mechanism's own tasks go on between calls: over the days of an agent they add up."""
        resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _tell(self, message: dict[str, Any]) -> None:
        """Send what nobody asked for; from any thread."""
        data = json.dumps({"id": 0, **message}, default=str).encode()
        if len(data) > _LARGEST_PART:
            logging.getLogger(__name__).error("a message of %d bytes is not sent", len(data))
            return
        self._loop.call_soon_threadsafe(self._writer.write, _HEAD.pack(len(data)) + data)

    async def _answer(self, number: int, answer: dict[str, Any]) -> None:
        data = json.dumps({"id": number, **answer}, default=str).encode()
        self._writer.write(_HEAD.pack(len(data)) + data)
        await self._writer.drain()


def _failure(exc: Exception, prefix: str = "") -> dict[str, Any]:
    text = str(exc) if isinstance(exc, PluginError) else f"{prefix}{type(exc).__name__}: {exc}"
    return {"ok": False, "error": text[:_LONGEST_ERROR], "fatal": isinstance(exc, MemoryError)}


def _is_told_to_end() -> bool:
    """Say whether it is the agent that has the running call cancelled, and not the plug-in itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fitting(plan: Any) -> Any:
    size = len(json.dumps(plan))
    if size > _LARGEST_PART:
        raise PluginError(f"plan() returned {size} characters; a plan has {_LARGEST_PART} at most")
    return plan


def _kept(context: Any) -> Any:
    """Return what the agent is to keep of a context; what is too large stays here, and is lost with this process."""
    sizes = {key: len(json.dumps(value)) for key, value in context.items()}
    excess = sum(sizes.values()) - _LARGEST_PART
    if excess > 0 and is_tagged(context):
        return {"context": opaque(context, f"{sum(sizes.values())} characters")}
    kept = dict(context)
    for key in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if excess <= 0:
            break
        kept[key] = opaque(context[key], f"{sizes[key]} characters")
        excess -= sizes[key]
    return kept


def main(arguments: list[str] | None = None) -> int:
    """Serve one agent until it closes the connection."""
    parser = argparse.ArgumentParser(prog="python -m mlsysops_core.plugins.worker")
    parser.add_argument("--calls", type=int, required=True, help="descriptor of the socket for calls")
    parser.add_argument("--asks", type=int, required=True, help="descriptor of the socket for questions")
    parser.add_argument("--parent", type=int, required=True, help="process that started this one")
    parser.add_argument("--memory", type=int, required=True, help="most address space, bytes")
    parser.add_argument("--cpu", type=float, required=True, help="most processor time of a call, seconds")
    parser.add_argument("--site", default="", help="directory with packages that the plug-in brings")
    options = parser.parse_args(arguments)
    end_with(options.parent)
    os.nice(5)  # the agent comes first
    resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the agent's to handle
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _use_packages(options.site)
    asyncio.run(_serve(options))
    return 0


def _use_packages(directory: str) -> None:
    """Put the plug-in's own packages before the agent's: it gets the versions that it asked for."""
    if directory:
        before = list(sys.path)
        site.addsitedir(directory)
        sys.path[:] = [*(path for path in sys.path if path not in before), *before]


async def _serve(options: argparse.Namespace) -> None:
    calls = socket.socket(fileno=options.calls)
    reader, writer = await asyncio.open_unix_connection(sock=calls, limit=2**24)
    worker = Worker(Asker(socket.socket(fileno=options.asks)), writer, cpu_seconds=options.cpu)
    await worker.serve(reader)


def end_with(parent: int) -> None:
    """Have the kernel end this process with its agent (prctl(2), ``PR_SET_PDEATHSIG``); Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
