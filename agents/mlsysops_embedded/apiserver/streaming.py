"""Watches over HTTP: events as lines, and what to do once the client is away."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from mlsysops_embedded.apiserver.http import Request
from mlsysops_embedded.apiserver.reading import WatchEvent
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.tables import partial, table

__all__ = ["Disconnect", "event_line"]

Obj = dict[str, Any]


class Disconnect:
    """Ends the task that answers a request once its client is away."""

    def __init__(self, request: Request) -> None:
        self.happened = False
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        self._answering = task
        self._waiting = asyncio.ensure_future(self._wait(request))

    async def _wait(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.happened = True
        self._answering.cancel()

    def close(self) -> None:
        """Stops waiting."""
        self._waiting.cancel()


def event_line(info: ResourceInfo, event: WatchEvent, form: str, include: str, *, first: bool) -> bytes:
    """One event as a line; plain lines are made once and shared between watchers."""
    change = event.change
    shared = (event.type, info.api_version)
    if not form:
        if change is not None:
            if change.lines is None:
                change.lines = {}
            line = change.lines.get(shared)
            if line is not None:
                return line
        line = b'{"type":"' + event.type.encode() + b'","object":' + event.data + b"}\n"
        if change is not None and change.lines is not None:
            change.lines[shared] = line
        return line
    obj = orjson.loads(event.data)
    if form == "Table" and event.type != "BOOKMARK":
        obj = table(info, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]}, include, heads=first)
    elif form == "Table":
        obj = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
            "columnDefinitions": [],
            "rows": [],
        }
    else:
        obj = partial(obj)
    return orjson.dumps({"type": event.type, "object": obj}) + b"\n"
