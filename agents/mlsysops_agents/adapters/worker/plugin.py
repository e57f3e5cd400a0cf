"""A plug-in that runs in a worker process: started when it is needed, and again where that was lost."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mlsysops_core.plugins import PluginError

from .process import WorkerLimits, WorkerProcess

__all__ = ["NotStarted", "WorkerPlugin"]

_log = logging.getLogger(__name__)


class NotStarted(PluginError):
    """Its process could not be started, or not in time: that may go better later."""


class WorkerPlugin(ABC):
    """What policies and mechanisms in processes of their own have in common.

    Args:
        name: Name of the plug-in.
        path: Where it came from, for messages and tracebacks.
        source: Its text.
        limits: What its process may use.
        directory: Where its process runs.
        packages: Directory with the packages that it brings; None where it brings none.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        path: str,
        source: bytes,
        limits: WorkerLimits,
        directory: Path,
        *,
        packages: Path | None = None,
    ) -> None:
        self._name = name
        self._path = path
        self._source = source
        self._limits = limits
        self._directory = directory
        self._packages = packages
        self._process: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self.digest = ""
        #: Called with a metric that the plug-in pushes: its name, value and attributes.
        self.on_metric: Callable[[str, float, Mapping[str, str]], None] | None = None

    @property
    def subject(self) -> str:
        """How messages call it."""
        return f"{self.kind} {self._name}"

    @property
    def pid(self) -> int | None:
        """Process id of the worker while there is one."""
        return self._process.pid if self._process is not None else None

    async def load(self) -> None:
        """Start a worker and have it load the plug-in: the proof that it can be used.

        Raises:
            PluginError: It cannot.
            NotStarted: It may be later.
        """
        await self._worker()

    async def close(self) -> None:
        """End the worker."""
        self._closed = True
        if self._process is not None:
            await self._process.kill(f"the {self.kind} was unloaded")
            self._process = None

    @abstractmethod
    async def _request_load(self, process: WorkerProcess) -> dict[str, Any]:
        """Have a new process load the plug-in."""

    @abstractmethod
    def _loaded(self, answer: Mapping[str, Any]) -> None:
        """Take what the process said of the plug-in that it has loaded."""

    async def _answer(self, call: int, operation: str, arguments: list[Any]) -> Any:
        raise LookupError(f"a {self.kind} has nothing to ask for")

    def _heard(self, message: Mapping[str, Any]) -> None:
        """Take what the process tells without being asked."""
        if "metric" in message and self.on_metric is not None:
            name, value, attributes = message["metric"]
            number = float(value)
            if math.isfinite(number):  # as of any other source: what is no number is no measurement
                self.on_metric(str(name), number, {str(key): str(item) for key, item in dict(attributes or {}).items()})

    async def _worker(self) -> WorkerProcess:
        async with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            if self._closed:
                raise PluginError(f"{self.subject} was unloaded")
            process = WorkerProcess(
                self.subject, self._limits, self._directory, self._answer, tell=self._heard, packages=self._packages
            )
            try:
                async with asyncio.timeout(self._limits.load_timeout):
                    await process.start()
                    answer = await self._request_load(process)
                self._must_be_ok(answer)
            except TimeoutError:
                await process.kill("it did not load in time")
                seconds = self._limits.load_timeout
                raise NotStarted(f"{self.subject} ({self._path}): not loaded within {seconds:g} s") from None
            except OSError as exc:
                await process.kill("it does not start")
                raise NotStarted(f"{self.subject}: its process cannot be started: {exc}") from exc
            except BaseException:
                await process.kill("it does not load")
                raise
            if self._process is not None:
                _log.info("%s runs in a new process, %s", self.subject, process.pid)
            self._process = process
            self.digest = str(answer["digest"])
            self._loaded(answer)
            return process

    def _must_be_ok(self, answer: Mapping[str, Any]) -> None:
        if not answer.get("ok"):
            # What a plug-in raises may hold what no status can.
            error = str(answer.get("error") or "no answer").encode("utf-8", "replace").decode()
            raise PluginError(error if error.startswith(f"{self.kind} ") else f"{self.subject}: {error}")
