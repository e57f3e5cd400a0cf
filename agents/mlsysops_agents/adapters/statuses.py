"""Statuses of many objects of one kind: a writer each, made when first needed and dropped with its object."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .kubernetes import StatusWriter
from .kubernetes.resources import WELL_KNOWN
from .kubernetes.status import StatusClient

__all__ = ["Statuses"]


class Statuses:
    """Keeps statuses as they were offered last. Enter it with ``async with``.

    Args:
        client: Where the objects live.
        kind: Their kind.
        namespace: Their namespace.
        interval: Least seconds between two writes of one object that are not urgent.
    """

    def __init__(self, client: StatusClient, kind: str, namespace: str, *, interval: float) -> None:
        self._client = client
        self._resource = WELL_KNOWN[kind]
        self._namespace = namespace
        self._interval = interval
        self._writers: dict[str, tuple[StatusWriter, asyncio.Task[None], object]] = {}

    def before(self, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status an object has or is about to have."""
        name, uid = str(obj["metadata"]["name"]), obj["metadata"].get("uid")
        if name in self._writers and self._writers[name][2] == uid:
            return self._writers[name][0].wanted
        status: Mapping[str, Any] = obj.get("status") or {}
        return status

    def offer(self, obj: Mapping[str, Any], status: Mapping[str, Any], *, urgent: bool) -> None:
        """Say what the status of an object should be; what it is already is not written."""
        name, uid = str(obj["metadata"]["name"]), obj["metadata"].get("uid")
        known = self._writers.get(name)
        if known is not None and known[2] != uid:
            self.drop(name)
            known = None
        if known is None:
            present = obj.get("status") or {}
            if all(present.get(key) == value for key, value in status.items()):
                return
            writer = StatusWriter(self._client, self._resource, name, self._namespace, interval=self._interval)
            task = asyncio.get_running_loop().create_task(writer.run(), name=f"status-{self._resource.plural}-{name}")
            known = self._writers[name] = (writer, task, uid)
        known[0].offer(status, urgent=urgent)

    async def flush(self) -> None:
        """Write what was offered and is not written yet.

        Raises:
            MlsError: The API did not take it.
        """
        for writer, _, _ in list(self._writers.values()):
            await writer.flush()

    def drop(self, name: str) -> None:
        """Forget an object that is gone."""
        known = self._writers.pop(name, None)
        if known is not None:
            known[1].cancel()

    async def __aenter__(self) -> Statuses:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for _, task, _ in self._writers.values()]
        for name in list(self._writers):
            self.drop(name)
        await asyncio.gather(*tasks, return_exceptions=True)
