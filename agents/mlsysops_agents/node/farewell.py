"""Being told, over the Kubernetes API, that the agent is uninstalled: settings are put back, it is said so, and nothing is set again.

A pod cannot tell why it is ended: a rollout, a reboot and an uninstallation look the same. So the uninstaller says so first, by
a ConfigMap (`mlsysops_core.model.agents.UNINSTALL`), to all or to one, and node agents answer in the annotations of their Leases. As long
as the ConfigMap is there, no policy runs, also in a pod that starts anew; when it is withdrawn for a while, the agent ends itself, and its
successor goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from mlsysops_core.errors import MlsError
from mlsysops_core.model.agents import UNINSTALL, UNINSTALLED

from mlsysops_agents.adapters.kubernetes import Backoff, Change, ChangeKind, Heartbeat

__all__ = ["Farewell"]

_log = logging.getLogger(__name__)

#: The ConfigMap is withdrawn last of all: an agent that still sees that is mostly about to be ended.
_WITHDRAWN_SECONDS = 30.0


class Farewell:
    """Knows whether the agent is uninstalled.

    Args:
        heartbeat: The agent's Lease.
        node: Its node.
        patience: Seconds for which a request must be withdrawn before that is believed.
    """

    def __init__(self, heartbeat: Heartbeat, node: str, *, patience: float = _WITHDRAWN_SECONDS) -> None:
        self._heartbeat = heartbeat
        self._names = (UNINSTALL, f"{UNINSTALL}-{node}")
        self._patience = patience
        self._requests: dict[str, str] = {}  # name of the ConfigMap to its uid
        self._changed = asyncio.Event()

    @property
    def said(self) -> bool:
        """Whether the agent is uninstalled."""
        return bool(self._requests)

    def on_config_map(self, change: Change) -> None:
        """Take note of a ConfigMap of the framework's namespace."""
        metadata = change.new["metadata"]
        if metadata["name"] in self._names:
            self._requests.pop(metadata["name"], None)
            if change.kind is not ChangeKind.DELETED:
                self._requests[metadata["name"]] = str(metadata["uid"])
            self._changed.set()

    async def wait(self) -> None:
        """Return when the agent is told."""
        while not self._requests:
            self._changed.clear()
            await self._changed.wait()

    async def serve(self, put_back: Callable[[], Awaitable[Sequence[str]]]) -> None:
        """Put settings back and say so; returns when the request is withdrawn, at once where there is none.

        Args:
            put_back: Puts everything back; called once for each request.
        """
        answered: set[str] = set()
        while self._requests or answered:
            self._changed.clear()
            if asked := [request for request in self._requests.values() if request not in answered]:
                answered.add(asked[0])
                await self._answer(asked[0], put_back)
                continue
            try:
                async with asyncio.timeout(None if self._requests else self._patience):
                    await self._changed.wait()
            except TimeoutError:
                await self._tell({UNINSTALLED: None})
                return

    async def _answer(self, request: str, put_back: Callable[[], Awaitable[Sequence[str]]]) -> None:
        fault = ""
        try:
            for line in await put_back():
                _log.info("uninstalled: %s", line)
        except MlsError as exc:
            fault = str(exc)
            _log.error("uninstalled: %s", fault)
        await self._tell({UNINSTALLED: json.dumps({"request": request, "fault": fault[:1024]})})

    async def _tell(self, annotations: dict[str, str | None]) -> None:
        backoff = Backoff(0.5, 5.0)
        while True:
            try:
                await self._heartbeat.tell(annotations)
            except MlsError as exc:
                _log.warning("cannot say that settings are put back, trying again: %s", exc)
                await asyncio.sleep(backoff.delay())
            else:
                return
