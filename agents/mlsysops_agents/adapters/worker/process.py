"""One worker process: started, asked, limited, and killed when it does not give up a call that was given up.

The protocol is that of `mlsysops_core.plugins.worker`: calls go out as pickles and come back as JSON on one socket pair; the
policy's questions (telemetry, models) come and are answered as JSON on another.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import pickle
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsysops_core import errors
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import PluginError

from .offspring import VARIABLE, end_offspring, new_mark
from .pace import Pace

__all__ = ["Ask", "Tell", "WorkerLimits", "WorkerProcess"]

_log = logging.getLogger(__name__)

_HEAD = struct.Struct(">I")
#: A worker keeps its answers below that (`mlsysops_core.plugins.worker`); to read a larger one would hold up the agent.
_LARGEST_ANSWER = 4 * 2**20
#: How long a process that closed its connection may take to end: on a busy machine its last moments take a while.
_EXIT_SECONDS = 10.0
#: What a worker may tell without being asked: metrics, messages of a mechanism (a second; at once).
_TELLS = (1000.0, 1000.0)
#: Settings of the environment that a plug-in's process gets; everything else, secrets among it, stays with the agent.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
#: Libraries for numbers start a thread a core, each with address space of its own, unless told not to.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

#: Answers a question: call, operation, arguments.
Ask = Callable[[int, str, list[Any]], Awaitable[Any]]
#: Takes what a worker tells without being asked.
Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may use.

    Attributes:
        memory: Address space in bytes (setrlimit(2), ``RLIMIT_AS``).
        cpu_seconds: Processor time of one call in seconds (``RLIMIT_CPU``).
        load_timeout: Seconds for starting and loading a policy.
        grace: Seconds a worker has to give up a call that was given up; then it is killed.
    """

    memory: int = 2**30
    cpu_seconds: float = 30.0
    load_timeout: float = 30.0
    grace: float = 1.0


class WorkerProcess:
    """A process for one plug-in.

    Args:
        subject: What messages call the plug-in: ``policy calm``.
        limits: What it may use.
        directory: Where it runs.
        ask: Answers what the plug-in asks for.
        tell: Takes what it tells without being asked.
        packages: Directory with packages that the plug-in brings.
    """

    def __init__(
        self,
        subject: str,
        limits: WorkerLimits,
        directory: Path,
        ask: Ask,
        *,
        tell: Tell | None = None,
        packages: Path | None = None,
    ) -> None:
        self._subject = subject
        self._limits = limits
        self._directory = directory
        self._ask = ask
        self._tell = tell
        self._packages = packages
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._asks: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = ""
        self._mark = new_mark()
        self._ending: asyncio.Future[None] | None = None
        self._pace = Pace(*_TELLS)

    @property
    def alive(self) -> bool:
        """Whether it answers calls."""
        return not self._end and self._writer is not None and self._process is not None

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        return self._process.pid if self._process is not None and self.alive else None

    async def start(self) -> None:
        """Start it."""
        calls, calls_theirs = socket.socketpair()
        asks, asks_theirs = socket.socketpair()
        try:
            with calls_theirs, asks_theirs:
                await self._spawn(calls_theirs, asks_theirs)
        except BaseException:
            calls.close()
            asks.close()
            raise
        reader, self._writer = await asyncio.open_unix_connection(sock=calls)
        questions, self._asks = await asyncio.open_unix_connection(sock=asks)
        self._keep(self._read(reader))
        self._keep(self._answer(questions, self._asks))

    async def _spawn(self, calls: socket.socket, asks: socket.socket) -> None:
        limits = self._limits
        command = ["--calls", str(calls.fileno()), "--asks", str(asks.fileno())]
        command += ["--parent", str(os.getpid()), "--memory", str(limits.memory), "--cpu", str(limits.cpu_seconds)]
        command += ["--site", str(self._packages or "")]
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mlsysops_core.plugins.worker",
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else None,
            cwd=self._directory,
            env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
            | _ONE_THREAD
            | {VARIABLE: self._mark},
            pass_fds=(calls.fileno(), asks.fileno()),
            start_new_session=True,
        )

    async def request(self, verb: str, *arguments: Any, number: int | None = None) -> dict[str, Any]:
        """Send a request and return its answer; where the caller gives up, the worker must give up, too.

        Raises:
            PluginError: The worker is gone, or what it should be given cannot be sent.
        """
        number = self.next_number() if number is None else number
        try:
            data = pickle.dumps((verb, number, *arguments), protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as exc:
            raise PluginError(f"{self._subject}: its arguments cannot be sent to its process: {exc}") from exc
        if not self.alive or self._writer is None:
            raise PluginError(f"{self._subject}: {self._end or 'its process is gone'}")
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(_HEAD.pack(len(data)) + data)
            return await future
        except asyncio.CancelledError:
            self._keep(self._give_up(number))
            raise
        finally:
            self._waiting.pop(number, None)

    def next_number(self) -> int:
        """Return a number for a request."""
        return next(self._numbers)

    def send(self, verb: str, *arguments: Any) -> None:
        """Send what needs no answer."""
        if self.alive and self._writer is not None:
            data = pickle.dumps((verb, 0, *arguments))
            self._writer.write(_HEAD.pack(len(data)) + data)

    async def kill(self, why: str = "ended") -> None:
        """End it at once, and all that it started."""
        self._end = self._end or why
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process is not None:
            if self._ending is None:
                self._ending = asyncio.ensure_future(self._end_offspring())
            # Several may kill it at once, and one of them is cancelled below: what was begun must come to its end all the same.
            await asyncio.shield(self._ending)
        for writer in (self._writer, self._asks):
            if writer is not None:
                writer.close()
        self._writer = self._asks = None
        self._fail()
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    async def _end_offspring(self) -> None:
        if await asyncio.to_thread(end_offspring, self._mark):
            _log.warning("%s: processes that it had started are ended, too", self._subject)

    async def _give_up(self, number: int) -> None:
        """Have a call cancelled; a worker that does not even answer that hangs, and is killed."""
        if not self.alive or self._writer is None:
            return
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        data = pickle.dumps(("cancel", number))
        self._writer.write(_HEAD.pack(len(data)) + data)
        try:
            async with asyncio.timeout(self._limits.grace):
                await asyncio.wait({future})
        except TimeoutError:
            _log.warning("%s does not give up a call, its process %s is killed", self._subject, self.pid)
            await self.kill("its process hung and was killed")
        finally:
            self._waiting.pop(number, None)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                if length > _LARGEST_ANSWER:
                    await self.kill(f"an answer of {length} bytes is too large")
                    return
                answer = json.loads(await reader.readexactly(length))
                if answer.get("fatal"):  # before its caller hears of it: that one may call again at once
                    self._end = f"out of memory (it may use {self._limits.memory // 2**20} MiB)"
                if answer["id"] == 0 and self._tell is not None:
                    self._tell(answer)
                    await self._pace.take()
                waiting = self._waiting.get(answer["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
                if self._end:
                    await self.kill()
                    return
        except Exception as exc:  # noqa: BLE001 -- what comes from a plug-in's process may be anything
            if self._process is not None and not self._end:
                code = await self._code() if isinstance(exc, asyncio.IncompleteReadError) else None
                if code is not None:
                    self._end = _epitaph(code, self._limits)
                elif isinstance(exc, asyncio.IncompleteReadError):
                    self._end = "its process closed its connection"
                else:
                    self._end = f"its process answered nonsense: {exc}"
                _log.warning("%s: %s", self._subject, self._end)
            await self.kill(self._end)

    async def _code(self) -> int | None:
        """Return the exit code of a process that closed its connection; None where it goes on without one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                return await self._process.wait() if self._process is not None else None
        return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                if length > _LARGEST_ANSWER:
                    await self.kill(f"a question of {length} bytes is too large")
                    return
                question = json.loads(await reader.readexactly(length))
                try:
                    answer: Mapping[str, Any] = {
                        "value": await self._ask(question["call"], question["op"], question["args"])
                    }
                except Exception as exc:  # noqa: BLE001 -- a question that cannot be answered is the policy's to handle
                    answer = {"error": f"{type(exc).__name__}: {exc}", **_raised(exc)}
                data = json.dumps(answer, default=str).encode()
                writer.write(_HEAD.pack(len(data)) + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the other socket tells why the process is gone
        except Exception as exc:  # noqa: BLE001 -- as above
            await self.kill(f"its process asked nonsense: {exc}")

    def _fail(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_result({"ok": False, "error": self._end})

    def _keep(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _raised(exc: Exception) -> dict[str, Any]:
    """Return what a worker needs to raise the same error, where it is one that plug-ins know."""
    if not isinstance(exc, MlsError):
        return {}
    kind = next(cls.__name__ for cls in type(exc).__mro__ if cls.__name__ in errors.__all__)
    return {"raised": {"kind": kind, "message": exc.message, "hint": exc.hint}}


def _has_descriptor(stream: Any) -> bool:
    try:
        stream.fileno()
    except (OSError, AttributeError, ValueError):
        return False
    return True


def _epitaph(code: int, limits: WorkerLimits) -> str:
    """Say why a process ended."""
    if code == -signal.SIGXCPU:
        return f"its process used more than {limits.cpu_seconds:g} s of processor time in one call"
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended by itself with code {code}"
