"""The kubelet's own API over mutual TLS: container logs, health and the stats behind ``kubectl top``."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl
from typing import TYPE_CHECKING, Any

import psutil
from aiohttp import web

from mlsysops_embedded.client.objects import format_time, now
from mlsysops_embedded.kubelet.container import Simulated
from mlsysops_embedded.kubelet.logs import LogOptions, read_log

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.manager import PodManager
    from mlsysops_embedded.kubelet.worker import PodWorker

__all__ = ["KubeletServer", "server_context"]

_log = logging.getLogger(__name__)
#: The common name that the API server's client certificate has.
_API_SERVER = "kube-apiserver-kubelet-client"
_ADMINISTRATORS = "system:masters"


def server_context(pki_dir: Path) -> ssl.SSLContext:
    """TLS with ``kubelet.crt`` and ``kubelet.key``, asking clients for a certificate of ``ca.crt``; raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki_dir / "kubelet.crt", pki_dir / "kubelet.key")
    context.load_verify_locations(pki_dir / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@web.middleware
async def _only_api_server(request: web.Request, handler: Any) -> web.StreamResponse:
    """Every agent has a certificate of the same authority; logs are for the API server, which asks RBAC first."""
    certificate = request.get_extra_info("peercert") or {}
    names = {key: value for part in certificate.get("subject", ()) for key, value in part}
    groups = {value for part in certificate.get("subject", ()) for key, value in part if key == "organizationName"}
    if names.get("commonName") != _API_SERVER and _ADMINISTRATORS not in groups and request.path != "/healthz":
        raise web.HTTPForbidden(text="only the API server may ask\n")
    response: web.StreamResponse = await handler(request)
    return response


class KubeletServer:
    """Serves what the API server proxies.

    Args:
        manager: The pods.
        node: Name of the node.
        address: Address to listen on.
        port: Port; 0 picks one.
        context: From `server_context`.
    """

    def __init__(self, manager: PodManager, node: str, address: str, port: int, context: ssl.SSLContext) -> None:
        self._manager = manager
        self._node = node
        self._address, self.port, self._context = address, port, context
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        app = web.Application(middlewares=[_only_api_server])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_get("/stats/summary", self._summary)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self.port, ssl_context=self._context, reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and end open streams."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    def _find(self, request: web.Request) -> tuple[PodWorker, Container]:
        info = request.match_info
        worker = self._manager.worker(info["namespace"], info["pod"])
        if worker is None:
            raise web.HTTPNotFound(text=f'pod "{info["pod"]}" not found\n')
        container = next((c for c in worker.containers if c.name == info["container"]), None)
        if container is None:
            text = f'container "{info["container"]}" in pod "{info["pod"]}" is not available\n'
            raise web.HTTPNotFound(text=text)
        return worker, container

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        _, container = self._find(request)
        query = request.query
        previous = query.get("previous") in ("true", "1")
        attempt = container.attempt - 1 if previous else container.attempt
        if attempt < 0:
            which = "previous terminated container" if previous else "container"
            text = f'{which} "{container.name}" in pod "{request.match_info["pod"]}" not found\n'
            raise web.HTTPBadRequest(text=text)
        try:
            options = _options(query)
        except ValueError as exc:
            raise web.HTTPBadRequest(text=f"{exc}\n") from exc
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)

        def alive() -> bool:
            return not previous and container.running and container.attempt == attempt

        try:
            async for chunk in read_log(container.log_path(attempt), options, alive):
                await response.write(chunk)
        except ConnectionError:
            return response  # the reader went away
        await response.write_eof()
        return response

    async def _summary(self, _: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._stats))

    def _stats(self) -> dict[str, Any]:
        time = now()
        memory = psutil.virtual_memory()
        times = psutil.cpu_times()
        busy = int((times.user + times.nice + times.system + times.irq + times.softirq) * 1e9)
        node = {
            "nodeName": self._node,
            "cpu": {"time": time, "usageCoreNanoSeconds": busy},
            "memory": {
                "time": time,
                "workingSetBytes": memory.total - memory.available,
                "availableBytes": memory.available,
            },
        }
        pods = []
        for worker in list(self._manager.workers.values()):
            metadata = worker.pod["metadata"]
            containers = []
            for container in worker.containers:
                usage = _usage(worker, container)
                if usage is not None:
                    cpu = {"time": time, "usageCoreNanoSeconds": usage[0]}
                    used = {"time": time, "workingSetBytes": usage[1]}
                    containers.append({"name": container.name, "cpu": cpu, "memory": used})
            reference = {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
            pods.append({"podRef": reference, "containers": containers})
        return {"node": node, "pods": pods}


def _usage(worker: PodWorker, container: Container) -> tuple[int, int] | None:
    """(CPU nanoseconds, bytes) from the control group, else from the process tree; nothing where there is no process."""
    if isinstance(container.handle, Simulated):
        return 0, 0
    if container.handle is None or not container.handle.pid:
        return None
    if (usage := worker.shared.cgroups.usage(worker.uid, container.name)) is not None:
        return usage
    try:
        root = psutil.Process(container.handle.pid)
        processes = [root, *root.children(recursive=True)]
        cpu = sum(sum(p.cpu_times()[:2]) for p in processes)
        return int(cpu * 1e9), sum(p.memory_info().rss for p in processes)
    except psutil.Error:
        return None


def _options(query: Any) -> LogOptions:
    def number(name: str) -> int | None:
        value = query.get(name)
        if value in (None, ""):
            return None
        result = int(value)
        if result < 0:
            raise ValueError(f"{name} must not be negative")
        return result

    since = query.get("sinceTime") or ""
    if (seconds := number("sinceSeconds")) is not None:
        since = format_time(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds), micro=True)
    flags = {name: query.get(name) in ("true", "1") for name in ("follow", "timestamps")}
    return LogOptions(
        tail=number("tailLines"),
        since=since,
        limit=number("limitBytes"),
        follow=flags["follow"],
        timestamps=flags["timestamps"],
    )
