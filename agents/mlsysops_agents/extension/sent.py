"""Policies that people send to a running agent: each is loaded in a process of its own before it replaces what ran before.

Whatever a text does while it is loaded, and whatever the machine has too little of then, is told as the state of that policy;
the agent goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mlsysops_core.errors import MlsError
from mlsysops_core.model.agents import SentToAgents, digest_of
from mlsysops_core.plugins import LoadedPolicy

from mlsysops_agents.adapters.worker import NotStarted, PackagesRefused, WorkerPolicy

from .trust import Trust

__all__ = ["Sent", "SentPolicies"]

_log = logging.getLogger(__name__)

#: How long a change waits for policies that are being loaded; they come into force when they are (seconds).
_PATIENCE_SECONDS = 10.0
#: When one whose process could not be started is tried again; twice as late each time (seconds).
_FIRST_RETRY_SECONDS = 10.0
_LONGEST_RETRY_SECONDS = 600.0

#: Loads a text in a worker: name, path for messages, source.
Load: TypeAlias = Callable[[str, str, bytes], Awaitable[tuple[LoadedPolicy, WorkerPolicy]]]


@dataclass(slots=True)
class Sent:
    """A policy that was sent: what is wanted, what runs, and what is wrong."""

    wanted: SentToAgents
    loaded: LoadedPolicy | None = None
    worker: WorkerPolicy | None = None
    revision: int = 0
    state: str = "Pending"
    message: str = ""
    tried: tuple[int, str] = (0, "")
    failures: int = 0


class SentPolicies:
    """Those that one agent was sent, by name.

    Args:
        load: Loads one.
        trust: Which may run, from the agent's own configuration.
        retire: Takes a worker that is used no longer once the engine asks it no more.
        changed: Called when something is to be worked out anew.
    """

    def __init__(
        self, load: Load, trust: Trust, retire: Callable[[WorkerPolicy], None], changed: Callable[[], None]
    ) -> None:
        self._load = load
        self._trust = trust
        self._retire_worker = retire
        self._changed = changed
        self._entries: dict[str, Sent] = {}
        self._late: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str) -> Sent | None:
        """Return one, or None."""
        return self._entries.get(name)

    def loaded(self) -> dict[str, LoadedPolicy]:
        """Return those that can run."""
        return {name: item.loaded for name, item in self._entries.items() if item.loaded is not None}

    @property
    def loading(self) -> bool:
        """Whether some take longer than anybody waits for."""
        return bool(self._late)

    async def close(self) -> None:
        """End all workers, and what is being loaded."""
        late = tuple(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        workers = [item.worker for item in self._entries.values() if item.worker is not None]
        await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)

    async def follow(self, wanted: Mapping[str, SentToAgents], slice_trust: Trust) -> None:
        """Have exactly these, as far as they are allowed and load.

        Args:
            wanted: What the agent is sent, by name.
            slice_trust: Which may run, from the slice's settings.
        """
        for name in [name for name in self._entries if name not in wanted]:
            self._retire(self._entries.pop(name))
        trying: set[asyncio.Task[None]] = set()
        for name, sent in wanted.items():
            entry = self._entries.setdefault(name, Sent(sent))
            entry.wanted = sent
            digest = digest_of(sent.text)
            refusal = self._refusal(sent, digest, slice_trust)
            if refusal:
                entry.state, entry.message, entry.tried = "Refused", refusal, (0, "")
                self._retire(entry)
            elif entry.tried != (sent.current.revision, digest):
                entry.tried = (sent.current.revision, digest)
                entry.state, entry.message = "Pending", "is being loaded"
                trying.add(asyncio.create_task(self._try(entry, entry.tried), name=f"load policy {name}"))
        if not trying:
            return
        # One that has packages to be installed may take minutes: nobody else waits for it.
        _, late = await asyncio.wait(trying, timeout=_PATIENCE_SECONDS)
        self._late |= late
        for task in late:
            task.add_done_callback(self._came_late)

    def _came_late(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        self._changed()

    async def _try(self, entry: Sent, tried: tuple[int, str]) -> None:
        sent = entry.wanted
        path = f"revision-{sent.current.revision}/policy-{sent.name}.py"
        try:
            loaded, worker = await self._load(sent.name, path, sent.text.encode())
        except Exception as exc:  # noqa: BLE001 -- user code: however its loading fails, it fails alone
            if self._is_wanted(entry, tried):
                self._failed(entry, tried, exc)
            return
        if not self._is_wanted(entry, tried):
            await worker.close()
            return
        self._retire(entry)
        entry.loaded, entry.worker, entry.revision = loaded, worker, sent.current.revision
        entry.state, entry.message, entry.failures = "Loaded", "", 0
        _log.info("policy %s: revision %d is loaded (%s)", sent.name, entry.revision, loaded.version[:19])

    def _failed(self, entry: Sent, tried: tuple[int, str], exc: Exception) -> None:
        entry.state = "Refused" if isinstance(exc, PackagesRefused) else "Failed"
        known = isinstance(exc, MlsError)
        entry.message = str(exc) if known else f"policy {entry.wanted.name}: {type(exc).__name__}: {exc}"
        goes_on = f"revision {entry.revision} goes on" if entry.loaded else "nothing replaces it"
        _log.warning("%s; %s", entry.message, goes_on, exc_info=None if known else exc)
        if isinstance(exc, NotStarted | OSError):  # the machine has too little of something now
            wait = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(entry.failures, 16))
            entry.failures += 1
            asyncio.get_running_loop().call_later(wait, self._try_again, entry, tried)

    def _try_again(self, entry: Sent, tried: tuple[int, str]) -> None:
        if self._is_wanted(entry, tried):
            entry.tried = (0, "")
            self._changed()

    def _is_wanted(self, entry: Sent, tried: tuple[int, str]) -> bool:
        """Say whether what was tried is still what is wanted: meanwhile another revision may have come, or it was taken back."""
        return self._entries.get(entry.wanted.name) is entry and entry.tried == tried

    def _refusal(self, sent: SentToAgents, digest: str, slice_trust: Trust) -> str:
        if digest != sent.current.digest:
            return "its text does not have the digest it was sent with"
        return slice_trust.refusal(sent, digest) or self._trust.refusal(sent, digest)

    def _retire(self, entry: Sent) -> None:
        """Have a worker end once the engine asks it no more."""
        if entry.worker is not None:
            self._retire_worker(entry.worker)
        entry.loaded, entry.worker, entry.revision = None, None, 0
