"""A module mechanism that runs in a worker process, in the shape of any other mechanism."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mlsysops_core.contracts import Outcome
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import LoadedMechanism
from mlsysops_core.plugins.codec import OpaqueError, decode
from mlsysops_core.plugins.requirements import declared_packages

from .packages import PackageEnvironments
from .plugin import WorkerPlugin
from .process import WorkerLimits, WorkerProcess

__all__ = ["WorkerMechanism", "load_mechanism_in_worker"]

_log = logging.getLogger(__name__)

#: Policies look at state and options in the middle of a turn, which cannot wait for another process. They see what it told
#: last: at its start, after each command and message, and by a look that is asked for when the last one is older than that (s).
_LOOK_SECONDS = 1.0
#: Messages kept for the listener; of a mechanism that tells more than can be taken, the newest count.
_LARGEST_BACKLOG = 100


class WorkerMechanism(WorkerPlugin):
    """Commands a process of its own.

    Args:
        name: As of `WorkerPlugin`, with those that follow up to packages.
        path: As above.
        source: As above.
        limits: As above.
        directory: As above.
        packages: As above.
        facts: What the module's `initialize` is told of the agent (`mlsysops_core.plugins.framework_modules.agent_state_of`).
        listener: Takes each message that the module puts on a queue.
    """

    kind: ClassVar[str] = "mechanism"

    def __init__(
        self,
        name: str,
        path: str,
        source: bytes,
        limits: WorkerLimits,
        directory: Path,
        *,
        packages: Path | None = None,
        facts: Mapping[str, Any] | None = None,
        listener: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(name, path, source, limits, directory, packages=packages)
        self._facts = dict(facts or {})
        self._listener = listener
        self._seen: dict[str, Any] = {}
        self._fault = ""
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._told: deque[Any] = deque(maxlen=_LARGEST_BACKLOG)

    # -- acting ------------------------------------------------------------------------------------------------

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command.

        Raises:
            PluginError: The module raised, or its process ended; the message says which.
        """
        process = await self._worker()
        answer = await process.request("apply", dict(command))
        self._must_be_ok(answer)
        self._note(answer)
        return Outcome(ok=True, message=str(answer.get("message") or ""))

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the mechanism itself: what its commands mean is not known here."""
        return frozenset({f"mechanism/{self._name}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Nothing is known of the command, so nothing speaks against it."""
        return ""

    async def give(self, message: Any) -> None:
        """Hand a message over to the module's queues."""
        (await self._worker()).send("give", message)

    # -- showing -----------------------------------------------------------------------------------------------

    def get_state(self) -> Any:
        """Return what the module showed last, of whatever type it is."""
        return self._show("state")

    def get_status(self) -> Any:
        """Return the module's own health; with ``fault`` where it cannot be asked."""
        status = self._show("status")
        return (
            {**(status if isinstance(status, dict) else {"status": status}), "fault": self._fault}
            if self._fault
            else status
        )

    def get_options(self) -> Any:
        """Return what commands are possible."""
        return self._show("options")

    async def close(self) -> None:
        """End the worker."""
        if self._looking is not None:
            self._looking.cancel()
        await super().close()

    def _show(self, what: str) -> Any:
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._look_later()
        return copy.deepcopy(self._seen.get(what, {}))

    def _look_later(self) -> None:
        if self._closed or (self._looking is not None and not self._looking.done()):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # asked outside of the agent's loop: what was seen last has to do
            return
        self._looking = loop.create_task(self._look(), name=f"look at {self.subject}")

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(self._limits.load_timeout):
                answer = await (await self._worker()).request("look")
            self._must_be_ok(answer)
            self._note(answer)
        except (MlsError, TimeoutError) as exc:
            self._fault = str(exc) or "it does not answer"
            self._looked = time.monotonic()
            _log.warning("%s cannot be looked at: %s", self.subject, self._fault)
        while self._told:
            message = self._told.popleft()
            if self._listener is not None:
                self._listener(message)

    async def _request_load(self, process: WorkerProcess) -> dict[str, Any]:
        return await process.request("load-mechanism", self._name, self._path, self._source, self._facts)

    def _loaded(self, answer: Mapping[str, Any]) -> None:
        self._note(answer)

    def _note(self, answer: Mapping[str, Any]) -> None:
        for what in ("state", "status", "options"):
            if what in answer:
                try:
                    self._seen[what] = decode(answer[what])
                except OpaqueError as exc:
                    self._seen[what] = {}
                    _log.warning("%s: its %s cannot be shown to policies: %s", self.subject, what, exc)
        fault = str(answer.get("fault") or "")
        if fault and fault != self._fault:
            _log.warning("%s: %s", self.subject, fault)
        self._fault = fault
        self._looked = time.monotonic()

    def _heard(self, message: Mapping[str, Any]) -> None:
        super()._heard(message)
        if "message" in message:
            # Whom it wakes should see what it is about: the listener hears of it after the next look.
            try:
                self._told.append(decode(message["message"]))
            except OpaqueError:
                self._told.append({})
            if self._looking is not None and not self._looking.done():
                self._looking.add_done_callback(lambda _task: self._look_later() if self._told else None)
            else:
                self._look_later()


async def load_mechanism_in_worker(
    name: str,
    path: Path,
    source: bytes,
    *,
    limits: WorkerLimits,
    directory: Path,
    packages: PackageEnvironments | None = None,
    facts: Mapping[str, Any] | None = None,
    listener: Callable[[Any], None] | None = None,
) -> tuple[LoadedMechanism, WorkerMechanism]:
    """Load a module mechanism in a process of its own; arguments as of `load_in_worker` and `WorkerMechanism`.

    Raises:
        PluginError: It does not load, does not have the functions of a mechanism, or may not have its packages.
    """
    place = await packages.prepare("mechanism", name, declared_packages(source)) if packages is not None else None
    made = WorkerMechanism(name, str(path), source, limits, directory, packages=place, facts=facts, listener=listener)
    try:
        await made.load()
    except BaseException:
        await made.close()
        raise
    return LoadedMechanism(name, made, f"sha256:{made.digest}", str(path)), made
