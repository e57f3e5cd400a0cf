"""A service proxy in user space: binds each service's address and forwards to its ready endpoints in turn.

Cluster addresses are loopback addresses here, so binding one needs no set-up; ``SO_REUSEPORT`` lets every kubelet of a
machine bind the same one, and the kernel spreads connections over them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from mlsysops_embedded.client import WorkQueue, process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_embedded.client import Informer, Object

__all__ = ["Balancer", "ServiceProxy", "backends"]

_log = logging.getLogger(__name__)
_SERVICE = "kubernetes.io/service-name"
_CONNECT = 2.0
_CHUNK = 64 * 1024
_UDP_IDLE = 30.0

_Port = tuple[str, int, str]  # address, port, protocol


def backends(slices: Iterable[Object], port_name: str, protocol: str) -> list[tuple[str, int]]:
    """Ready endpoints behind a service port, in a stable order."""
    found = set()
    for obj in slices:
        numbers = [
            int(p["port"])
            for p in obj.get("ports") or ()
            if (p.get("name") or "") == port_name and (p.get("protocol") or "TCP") == protocol and p.get("port")
        ]
        for endpoint in obj.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                found |= {(address, number) for address in endpoint["addresses"] for number in numbers}
    return sorted(found)


@dataclass(slots=True)
class Balancer:
    """Round robin over endpoints."""

    endpoints: list[tuple[str, int]] = field(default_factory=list)
    _next: int = 0

    def candidates(self) -> list[tuple[str, int]]:
        """All endpoints, the one whose turn it is first; each call moves on."""
        count = len(self.endpoints)
        if not count:
            return []
        start = self._next % count
        self._next = start + 1
        return self.endpoints[start:] + self.endpoints[:start]


class _TcpForward:
    def __init__(self, port: _Port, balancer: Balancer) -> None:
        self._port = port
        self._balancer = balancer
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._port[0], self._port[1], reuse_port=True)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            for host, port in self._balancer.candidates():
                try:
                    async with asyncio.timeout(_CONNECT):
                        upstream = await asyncio.open_connection(host, port)
                except (OSError, TimeoutError):
                    continue  # dead, and its slice does not say so yet: the next one
                await self._join((reader, writer), upstream)
                return
            # Nobody is there: a reset, as connecting to a closed port would give.
            transport = writer.transport
            raw = transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        except OSError as exc:
            _log.debug("connection through %s:%d: %s", *self._port[:2], exc)
            writer.transport.abort()

    async def _join(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(client[0], upstream[1]))
                group.create_task(_pump(upstream[0], client[1]))
        except* OSError as broken:
            _log.debug("connection through %s:%d ended: %s", *self._port[:2], broken.exceptions[0])
        finally:
            client[1].close()
            upstream[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction with back-pressure; its end is passed on, the other direction goes on."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):
            writer.write_eof()


class _UdpForward(asyncio.DatagramProtocol):
    """One socket upstream for each client, closed when it has been silent for 30 s."""

    def __init__(self, port: _Port, balancer: Balancer) -> None:
        self._port = port
        self._balancer = balancer
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[object, _UdpReturn] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, self._port[:2], reuse_port=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own datagram transport does not say that it is one.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        client = self._clients.get(addr)
        if client is None:
            if not (candidates := self._balancer.candidates()) or self._transport is None:
                return
            client = self._clients[addr] = _UdpReturn(self._transport, addr, lambda: self._clients.pop(addr, None))
            loop = asyncio.get_running_loop()
            task = loop.create_task(client.connect(candidates[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        client.send(data)

    async def stop(self) -> None:
        for client in list(self._clients.values()):
            client.close()
        if self._transport is not None:
            self._transport.close()


class _UdpReturn(asyncio.DatagramProtocol):
    def __init__(self, back: asyncio.DatagramTransport, client: tuple[str, int], forget: object) -> None:
        self._back, self._client, self._forget = back, client, forget
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._timer = asyncio.get_running_loop().call_later(_UDP_IDLE, self.close)

    async def connect(self, upstream: tuple[str, int]) -> None:
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=upstream)
        except OSError as exc:
            _log.debug("UDP to %s:%d: %s", *upstream, exc)
            self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own datagram transport does not say that it is one.
        self._transport = cast("asyncio.DatagramTransport", transport)
        for data in self._early:
            self._transport.sendto(data)
        self._early.clear()

    def send(self, data: bytes) -> None:
        self._rearm()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._early) < 64:
            self._early.append(data)

    def _rearm(self) -> None:
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_UDP_IDLE, self.close)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        self._rearm()
        self._back.sendto(data, self._client)

    def close(self) -> None:
        self._timer.cancel()
        if callable(self._forget):
            self._forget()
        if self._transport is not None:
            self._transport.close()


class ServiceProxy:
    """Keeps a forward for each port of each service that has a loopback cluster address.

    Args:
        services: Informer of services.
        slices: Informer of EndpointSlices.
        node: Name of this node, for messages.
    """

    def __init__(self, services: Informer, slices: Informer, node: str) -> None:
        self._services = services
        self._slices = slices
        self._node = node
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._forwards: dict[_Port, tuple[_TcpForward | _UdpForward, Balancer]] = {}
        self._ports: dict[tuple[str, str], set[_Port]] = {}
        slices.add_index(
            "service", lambda s: [f"{s['metadata']['namespace']}/{(s['metadata'].get('labels') or {}).get(_SERVICE)}"]
        )
        services.add_handler(lambda new, old: self._service_changed(new or old or {}))
        slices.add_handler(lambda new, old: self._slice_changed(new or old or {}))

    def _service_changed(self, service: Object) -> None:
        self._queue.add((service["metadata"]["namespace"], service["metadata"]["name"]))

    def _slice_changed(self, obj: Object) -> None:
        if name := (obj["metadata"].get("labels") or {}).get(_SERVICE):
            self._queue.add((obj["metadata"]["namespace"], name))

    async def run(self) -> None:
        """Forward for ever."""
        await asyncio.gather(self._services.wait_synced(), self._slices.wait_synced())
        try:
            await process(self._queue, self._reconcile, _log)
        finally:
            for forward, _ in self._forwards.values():
                await forward.stop()

    async def _reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        service = self._services.get(name, namespace)
        wanted: dict[_Port, list[tuple[str, int]]] = {}
        address = str(((service or {}).get("spec") or {}).get("clusterIP") or "")
        if service is not None and address.startswith("127."):
            slices = self._slices.by_index("service", f"{namespace}/{name}")
            for port in service["spec"].get("ports") or ():
                protocol = port.get("protocol") or "TCP"
                if protocol in ("TCP", "UDP"):
                    place = (address, int(port["port"]), protocol)
                    wanted[place] = backends(slices, port.get("name") or "", protocol)
        for place in self._ports.pop(key, set()) - wanted.keys():
            forward, _ = self._forwards.pop(place)
            await forward.stop()
        for place, endpoints in wanted.items():
            if place not in self._forwards:
                balancer = Balancer()
                made = _TcpForward(place, balancer) if place[2] == "TCP" else _UdpForward(place, balancer)
                await made.start()
                self._forwards[place] = (made, balancer)
            self._forwards[place][1].endpoints = endpoints
            self._ports.setdefault(key, set()).add(place)
