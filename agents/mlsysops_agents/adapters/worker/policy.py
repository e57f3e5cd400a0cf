"""A module policy that runs in a worker process, in the shape of any other policy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import Declaration, LoadedPolicy, PluginError
from mlsysops_core.plugins.codec import decode

from .process import WorkerLimits, WorkerProcess

__all__ = ["WorkerPolicy", "load_in_worker"]

_log = logging.getLogger(__name__)


class WorkerPolicy:
    """Asks a process of its own, and starts another one where that was lost.

    Args:
        name: Name of the policy.
        path: Where it came from, for messages and tracebacks.
        source: Its text.
        limits: What its process may use.
        directory: Where its process runs.
    """

    def __init__(self, name: str, path: str, source: bytes, limits: WorkerLimits, directory: Path) -> None:
        self._name = name
        self._path = path
        self._source = source
        self._limits = limits
        self._directory = directory
        self._process: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._asking: dict[int, tuple[Any, Any]] = {}
        self._closed = False
        #: Metrics the policy declared: the columns of its data frame.
        self.metrics: tuple[str, ...] = ()
        #: The first context, encoded.
        self.context: dict[str, Any] = {}
        self.digest = ""

    @property
    def pid(self) -> int | None:
        """Process id of the worker while there is one."""
        return self._process.pid if self._process is not None else None

    def initialize(self) -> dict[str, Any]:
        """Return the first context, as the worker told it."""
        return dict(self.context)

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """Ask the module."""
        arguments = (application_description, system_description, mechanisms)
        result, context = await self._call("analyze", context, arguments, telemetry, ml_connector)
        return bool(result), context

    async def plan(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ask the module."""
        arguments = (application_description, system_description, mechanisms)
        result, context = await self._call("plan", context, arguments, telemetry, ml_connector)
        plan: dict[str, Any] = decode(result)
        return plan, context

    async def load(self) -> None:
        """Start a worker and have it load the policy: the proof that it can be used.

        Raises:
            PluginError: It cannot.
        """
        await self._worker()

    def forget(self, asset: str) -> None:
        """Drop the context of an asset that is gone."""
        if self._process is not None:
            self._process.send("forget", asset)

    async def close(self) -> None:
        """End the worker."""
        self._closed = True
        if self._process is not None:
            await self._process.kill("the policy was unloaded")
            self._process = None

    async def _call(
        self,
        stage: str,
        context: dict[str, Any],
        arguments: tuple[Any, Any, Any],
        telemetry: dict[str, Any],
        models: Any,
    ) -> tuple[Any, dict[str, Any]]:
        worker = await self._worker()
        asset, generation = "", 0
        if isinstance(context, PolicyContext):
            asset, generation = context.asset, context.generation
        number = worker.next_number()
        self._asking[number] = (telemetry, models)
        more = {
            "application_description": arguments[0],
            "system_description": arguments[1],
            "mechanisms": {name: dict(item) for name, item in arguments[2].items()},
            "metrics": self.metrics,
            "models": models is not None,
        }
        try:
            answer = await worker.request("call", stage, asset, generation, dict(context), more, number=number)
        finally:
            self._asking.pop(number, None)
        _must_be_ok(answer, self._name)
        if isinstance(context, PolicyContext):
            context.generation = int(answer["generation"])
        return answer["result"], dict(answer["context"])

    async def _worker(self) -> WorkerProcess:
        async with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            if self._closed:
                raise PluginError(f"policy {self._name} was unloaded")
            process = WorkerProcess(self._name, self._limits, self._directory, self._answer)
            try:
                async with asyncio.timeout(self._limits.load_timeout):
                    await process.start()
                    answer = await process.request("load", self._name, self._path, self._source)
                _must_be_ok(answer, self._name)
            except TimeoutError:
                await process.kill("it did not load in time")
                seconds = self._limits.load_timeout
                raise PluginError(f"policy {self._name} ({self._path}): not loaded within {seconds:g} s") from None
            except BaseException:
                await process.kill("it does not load")
                raise
            if self._process is not None:
                _log.info("policy %s runs in a new process, %s", self._name, process.pid)
            self._process = process
            self.context, self.digest = dict(answer["context"]), str(answer["digest"])
            return process

    async def _answer(self, call: int, operation: str, arguments: list[Any]) -> Any:
        try:
            telemetry, models = self._asking[call]
        except KeyError:
            raise LookupError("the call is over") from None
        if operation == "model":
            method, positional, named = arguments
            return await getattr(models, method)(*positional, **named)
        query = telemetry.get("query") if isinstance(telemetry, Mapping) else None
        if query is None:
            return [] if operation in {"list", "window"} else None
        if operation == "list":
            return list(query.list())
        if operation in {"latest", "window"}:
            return getattr(query, operation)(*arguments)
        raise LookupError(f"{operation!r} is no question")


async def load_in_worker(
    name: str, path: str, source: bytes, *, limits: WorkerLimits, directory: Path
) -> tuple[LoadedPolicy, WorkerPolicy]:
    """Load a module policy in a process of its own.

    Args:
        name: Name of the policy.
        path: Where it came from.
        source: Its text.
        limits: What its process may use.
        directory: Where its process runs.

    Raises:
        PluginError: It does not load, does not have the functions of a policy, or declares nonsense.
    """
    policy = WorkerPolicy(name, path, source, limits, directory)
    try:
        await policy.load()
        declaration = Declaration.from_context(policy.context, plugin=name)
    except BaseException:
        await policy.close()
        raise
    policy.metrics = declaration.metrics
    return LoadedPolicy(name, policy, declaration, policy.context, f"sha256:{policy.digest}", path), policy


def _must_be_ok(answer: Mapping[str, Any], name: str) -> None:
    if not answer.get("ok"):
        error = str(answer.get("error") or "no answer")
        raise PluginError(error if error.startswith("policy ") else f"policy {name}: {error}")
