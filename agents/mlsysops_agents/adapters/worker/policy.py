"""A module policy that runs in a worker process, in the shape of any other policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mlsysops_core.contracts import PolicyContext
from mlsysops_core.plugins import Declaration, LoadedPolicy
from mlsysops_core.plugins.codec import decode
from mlsysops_core.plugins.requirements import declared_packages

from .packages import PackageEnvironments
from .plugin import WorkerPlugin
from .process import WorkerLimits, WorkerProcess

__all__ = ["WorkerPolicy", "load_in_worker"]


@dataclass(frozen=True, slots=True)
class Asking:
    """What a call under way may ask for, and the context (of `contextvars`) in which it was made."""

    telemetry: Any
    models: Any
    context: Context


class WorkerPolicy(WorkerPlugin):
    """Asks a process of its own; arguments as of `WorkerPlugin`."""

    kind: ClassVar[str] = "policy"

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
        super().__init__(name, path, source, limits, directory, packages=packages)
        self._asking: dict[int, Asking] = {}
        #: Metrics the policy declared: the columns of its data frame.
        self.metrics: tuple[str, ...] = ()
        #: The first context, encoded.
        self.context: dict[str, Any] = {}

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

    def forget(self, asset: str) -> None:
        """Drop the context of an asset that is gone."""
        if self._process is not None:
            self._process.send("forget", asset)

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
        self._asking[number] = Asking(telemetry, models, copy_context())
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
        self._must_be_ok(answer)
        if isinstance(context, PolicyContext):
            context.generation = int(answer["generation"])
        return answer["result"], dict(answer["context"])

    async def _request_load(self, process: WorkerProcess) -> dict[str, Any]:
        return await process.request("load", self._name, self._path, self._source)

    def _loaded(self, answer: Mapping[str, Any]) -> None:
        self.context = dict(answer["context"])

    async def _answer(self, call: int, operation: str, arguments: list[Any]) -> Any:
        try:
            asking = self._asking[call]
        except KeyError:
            raise LookupError("the call is over") from None
        if operation == "model":
            method, positional, named = arguments
            return await getattr(asking.models, method)(*positional, **named)
        query = asking.telemetry.get("query") if isinstance(asking.telemetry, Mapping) else None
        if query is None:
            return [] if operation in {"list", "window"} else None
        if operation == "list":
            return list(query.list())
        if operation in {"latest", "window"}:
            return getattr(query, operation)(*arguments)
        raise LookupError(f"{operation!r} is no question")


async def load_in_worker(
    name: str,
    path: str,
    source: bytes,
    *,
    limits: WorkerLimits,
    directory: Path,
    packages: PackageEnvironments | None = None,
) -> tuple[LoadedPolicy, WorkerPolicy]:
    """Load a module policy in a process of its own.

    Args:
        name: Name of the policy.
        path: Where it came from.
        source: Its text.
        limits: What its process may use.
        directory: Where its process runs.
        packages: Gives it the packages that it asks for; None where it has to do with those of the agent.

    Raises:
        PluginError: It does not load, does not have the functions of a policy, declares nonsense, or may not have its packages.
    """
    wanted = declared_packages(source)
    while True:
        place = await _prepared(packages, name, wanted)
        policy = WorkerPolicy(name, path, source, limits, directory, packages=place)
        try:
            await policy.load()
            declaration = Declaration.from_context(policy.context, plugin=name)
            # A policy may work out at run time what it needs; its text did not say so.
            missed = tuple(item for item in declaration.packages if item not in wanted)
            if packages is None or not missed or await _prepared(packages, name, (*wanted, *missed)) == place:
                policy.metrics = declaration.metrics
                return LoadedPolicy(name, policy, declaration, policy.context, f"sha256:{policy.digest}", path), policy
        except BaseException:
            await policy.close()
            raise
        await policy.close()
        wanted = (*wanted, *missed)


async def _prepared(packages: PackageEnvironments | None, name: str, wanted: Sequence[str]) -> Path | None:
    return await packages.prepare("policy", name, wanted) if packages is not None else None
