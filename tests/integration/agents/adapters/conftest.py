"""A tiny imitation of a Kubernetes API on a real socket, which misbehaves on demand.

Real servers do not lose connections in the middle of an event, or forget their history, when a test would like it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from mlsysops_agents.adapters.kubernetes import KubernetesClient

Object = dict[str, Any]


def status(code: int, reason: str, message: str = "") -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return web.json_response(body, status=code)


class ImitationApi:
    """ConfigMaps of all namespaces, with resourceVersions and watches.

    Attributes:
        requests: Method and path with query of each request.
        bodies: Content type and body of each write.
        headers: Headers of the last request.
        oldest: Watches from before this resourceVersion are answered with 410.
        answer: Answers instead of everything else where set.
        expire_in_stream: Whether 410 comes as an event of the watch instead of as an HTTP status.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, Object]] = []
        self.version = 100
        self.oldest = 0
        self.requests: list[str] = []
        self.bodies: list[tuple[str, bytes]] = []
        self.headers: dict[str, str] = {}
        self.answer: web.Response | None = None
        self.expire_in_stream = False
        self.page = 0
        self._changed = asyncio.Condition()
        self._watches: set[web.StreamResponse] = set()
        self._runner: web.AppRunner | None = None
        self.port = 0

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            self.cut()
            await self._runner.cleanup()
            self._runner = None

    def cut(self, last_words: bytes = b"") -> None:
        """Break the connections of all watches, perhaps in the middle of an event."""
        for response in tuple(self._watches):
            transport = response._req.transport if response._req is not None else None  # type: ignore[attr-defined]
            if transport is not None:
                if last_words:
                    transport.write(b"%x\r\n%s\r\n" % (len(last_words), last_words))
                transport.abort() if not last_words else transport.close()

    @property
    def watches(self) -> int:
        return len(self._watches)

    # -- objects ---------------------------------------------------------------------------------------------------

    async def put(self, name: str, *, deleted: bool = False, namespace: str = "ns", **data: str) -> None:
        self.version += 1
        kind = "DELETED" if deleted else "MODIFIED" if name in self.objects else "ADDED"
        obj = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "resourceVersion": str(self.version),
            },
            "data": data,
        }
        if deleted:
            del self.objects[name]
        else:
            self.objects[name] = obj
        await self.emit({"type": kind, "object": obj})

    async def emit(self, event: Object) -> None:
        async with self._changed:
            self.history.append((self.version, event))
            self._changed.notify_all()

    async def bookmark(self) -> None:
        self.version += 50
        await self.emit(
            {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": str(self.version)}}}
        )

    # -- requests --------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        self.headers = dict(request.headers)
        body = await request.read()
        if body:
            self.bodies.append((request.content_type, body))
        if self.answer is not None:
            answer = self.answer
            return web.Response(status=answer.status, body=answer.body, headers={"Retry-After": "3"})
        if request.query.get("watch"):
            return await self._watch(request)
        if request.method == "GET" and request.path.endswith("/configmaps"):
            return self._list(request)
        if request.method == "GET":
            found = self.objects.get(request.path.rsplit("/", 1)[1])
            return web.json_response(found) if found else status(404, "NotFound", "no such ConfigMap")
        return web.json_response(json.loads(body) if body.startswith(b"{") else {"kind": "Status"})

    def _list(self, request: web.Request) -> web.Response:
        names = sorted(self.objects)
        start = int(request.query.get("continue", 0))
        end = start + self.page if self.page else len(names)
        metadata = {"resourceVersion": str(self.version)}
        if end < len(names):
            metadata["continue"] = str(end)
        items = [self.objects[name] for name in names[start:end]]
        return web.json_response({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion") or 0)
        if since < self.oldest and not self.expire_in_stream:
            return status(410, "Expired", "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if since < self.oldest:
            error = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": error}).encode() + b"\n")
            return response
        self._watches.add(response)
        try:
            sent = since
            while True:
                async with self._changed:
                    while not (due := [event for version, event in self.history if version > sent]):
                        await self._changed.wait()
                    sent = self.version
                for event in due:
                    line = json.dumps(event).encode() + b"\n"
                    # In pieces, as a network would: a reader must not rely on events coming whole.
                    await response.write(line[: len(line) // 2])
                    await asyncio.sleep(0)
                    await response.write(line[len(line) // 2 :])
        except ConnectionError:
            return response
        finally:
            self._watches.discard(response)


@pytest.fixture
async def api() -> AsyncIterator[ImitationApi]:
    imitation = ImitationApi()
    await imitation.start()
    yield imitation
    await imitation.stop()


def kubeconfig(path: Path, server: str, user: Object | None = None) -> Path:
    """Write a kubeconfig."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
async def client(api: ImitationApi, tmp_path: Path) -> AsyncIterator[KubernetesClient]:
    path = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{api.port}", {"token": "secret"})
    async with contextlib.AsyncExitStack() as stack:
        yield await stack.enter_async_context(await KubernetesClient.connect(path))
