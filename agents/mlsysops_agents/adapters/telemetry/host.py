"""Load, CPU, memory, disk and network of the machine, as OTLP points and as figures for a node's status.

Names follow the OpenTelemetry semantic conventions for system metrics; the load averages, for which those have no
name, follow the collector's hostmetrics receiver; rates, which they leave to queries, are ours (``mlsysops.*``).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from .points import Kind, Point, SeriesKey

__all__ = ["HostMetrics", "HostSnapshot"]


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """The machine at one instant.

    Attributes:
        time: Seconds since the Unix epoch.
        cores: Logical processors this process may use.
        cpu: Share of all processors that was busy since the snapshot before, 0 to 1.
        load: Load averages over 1, 5 and 15 minutes.
        memory_total: Bytes of memory.
        memory_available: Bytes that can be had without swapping.
        disk_total: Bytes of the file system watched.
        disk_free: Bytes free there for ordinary users.
        disk_read: Bytes read from disks since boot.
        disk_written: Bytes written to disks since boot.
        received: Bytes received on all interfaces but loopback since boot.
        sent: Bytes sent there since boot.
        receive_rate: Bytes a second since the snapshot before; 0 at the first.
        send_rate: Likewise.
        read_rate: Likewise, disks.
        write_rate: Likewise, disks.
    """

    time: float
    cores: int
    cpu: float
    load: tuple[float, float, float]
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    disk_read: int
    disk_written: int
    received: int
    sent: int
    receive_rate: float
    send_rate: float
    read_rate: float
    write_rate: float


class HostMetrics:
    """Measures the machine through psutil.

    Args:
        disk: A path on the file system to watch.
        now: Seconds since the Unix epoch.
    """

    def __init__(self, *, disk: Path = Path("/"), now: Callable[[], float] = time.time) -> None:
        self._disk = str(disk)
        self._now = now
        self._boot = psutil.boot_time()
        self._before: HostSnapshot | None = None
        psutil.cpu_percent()  # the first answer has nothing to compare with

    def measure(self) -> HostSnapshot:
        """Measure now; rates and CPU share are over the time since the call before."""
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(self._disk)
        disks = psutil.disk_io_counters()
        received, sent = _network_bytes()
        now = self._now()
        before = self._before
        elapsed = now - before.time if before else 0.0

        def rate(after: int, earlier: int) -> float:
            return max(0.0, (after - earlier) / elapsed) if elapsed > 0 else 0.0

        read = disks.read_bytes if disks else 0
        written = disks.write_bytes if disks else 0
        self._before = HostSnapshot(
            time=now,
            cores=len(os.sched_getaffinity(0)),
            cpu=psutil.cpu_percent() / 100.0,
            load=os.getloadavg(),
            memory_total=memory.total,
            memory_available=memory.available,
            disk_total=disk.total,
            disk_free=disk.free,
            disk_read=read,
            disk_written=written,
            received=received,
            sent=sent,
            receive_rate=rate(received, before.received) if before else 0.0,
            send_rate=rate(sent, before.sent) if before else 0.0,
            read_rate=rate(read, before.disk_read) if before else 0.0,
            write_rate=rate(written, before.disk_written) if before else 0.0,
        )
        return self._before

    def points(self, snapshot: HostSnapshot, resource: Mapping[str, str]) -> list[Point]:
        """The snapshot as points; ``resource`` should name the node (``k8s.node.name``, ``service.name``)."""
        everywhere = {"host.name": socket.gethostname(), **resource}
        used = snapshot.memory_total - snapshot.memory_available
        disk = {"system.filesystem.mountpoint": self._disk}
        disk_used = snapshot.disk_total - snapshot.disk_free
        gauges: list[tuple[str, float, str, dict[str, str]]] = [
            ("system.cpu.logical.count", snapshot.cores, "{cpu}", {}),
            ("system.cpu.utilization", snapshot.cpu, "1", {}),
            ("system.cpu.load_average.1m", snapshot.load[0], "{thread}", {}),
            ("system.cpu.load_average.5m", snapshot.load[1], "{thread}", {}),
            ("system.cpu.load_average.15m", snapshot.load[2], "{thread}", {}),
            ("system.memory.limit", snapshot.memory_total, "By", {}),
            ("system.memory.usage", used, "By", {"system.memory.state": "used"}),
            ("system.memory.usage", snapshot.memory_available, "By", {"system.memory.state": "free"}),
            ("system.memory.utilization", used / snapshot.memory_total, "1", {"system.memory.state": "used"}),
            ("system.filesystem.usage", disk_used, "By", {**disk, "system.filesystem.state": "used"}),
            ("system.filesystem.usage", snapshot.disk_free, "By", {**disk, "system.filesystem.state": "free"}),
            ("mlsysops.network.rate", snapshot.receive_rate, "By/s", {"network.io.direction": "receive"}),
            ("mlsysops.network.rate", snapshot.send_rate, "By/s", {"network.io.direction": "transmit"}),
            ("mlsysops.disk.rate", snapshot.read_rate, "By/s", {"disk.io.direction": "read"}),
            ("mlsysops.disk.rate", snapshot.write_rate, "By/s", {"disk.io.direction": "write"}),
        ]
        counters: list[tuple[str, float, str, dict[str, str]]] = [
            ("system.network.io", snapshot.received, "By", {"network.io.direction": "receive"}),
            ("system.network.io", snapshot.sent, "By", {"network.io.direction": "transmit"}),
            ("system.disk.io", snapshot.disk_read, "By", {"disk.io.direction": "read"}),
            ("system.disk.io", snapshot.disk_written, "By", {"disk.io.direction": "write"}),
        ]
        return [
            Point(SeriesKey.make(name, everywhere, attributes), float(value), snapshot.time, Kind.GAUGE, unit)
            for name, value, unit, attributes in gauges
        ] + [
            Point(
                SeriesKey.make(name, everywhere, attributes),
                float(value),
                snapshot.time,
                Kind.COUNTER,
                unit,
                self._boot,
            )
            for name, value, unit, attributes in counters
        ]


def _network_bytes() -> tuple[int, int]:
    """Bytes received and sent since boot on all interfaces but loopback, which is no network."""
    received = sent = 0
    for name, counters in psutil.net_io_counters(pernic=True).items():
        if name != "lo":
            received += counters.bytes_recv
            sent += counters.bytes_sent
    return received, sent
