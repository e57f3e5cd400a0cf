"""The node's own objects: it registers itself, renews its Lease and reports its condition."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from mlsysops_embedded.client.leases import renew_lease
from mlsysops_embedded.client.objects import copy, now, set_condition
from mlsysops_embedded.client.resources import NODES
from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.release import GIT_VERSION

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, Object
    from mlsysops_embedded.kubelet.config import KubeletConfig

__all__ = ["NodeKeeper", "capacity"]

_log = logging.getLogger(__name__)
_LEASES = "kube-node-lease"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
#: Free share of disk and memory below which the node says it is under pressure (kubelet's hard eviction thresholds).
_DISK_FREE, _MEMORY_FREE = 0.10, 100 * 2**20


def capacity(data_dir: Path, max_pods: int) -> dict[str, str]:
    """What the host has, as quantities."""
    return {
        "cpu": str(psutil.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total // 1024}Ki",
        "ephemeral-storage": f"{shutil.disk_usage(data_dir).total // 1024}Ki",
        "pods": str(max_pods),
    }


def _info() -> dict[str, str]:
    architecture = platform.machine()
    try:
        release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        release = "Linux"
    identity = Path("/etc/machine-id")
    return {
        "architecture": _ARCHITECTURES.get(architecture, architecture),
        "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "containerRuntimeVersion": "process://1.0",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": GIT_VERSION,
        "kubeletVersion": GIT_VERSION,
        "machineID": identity.read_text().strip() if identity.exists() else "",
        "operatingSystem": "linux",
        "osImage": release,
        "systemUUID": "",
    }


class NodeKeeper:
    """Keeps the Node object and its Lease.

    Args:
        client: API of the cluster.
        config: The kubelet's configuration.
        port: Port on which the kubelet serves.
    """

    def __init__(self, client: Client, config: KubeletConfig, port: int) -> None:
        self._client = client
        self._config = config
        self._port = port
        self._info = _info()
        self.capacity = capacity(config.data_dir, config.max_pods)
        self._node: Object | None = None

    async def run(self) -> None:
        """Register, then heartbeat for ever."""
        failures = 0
        while True:
            try:
                await self._register()
                break
            except ApiError as exc:
                failures += 1
                level = _log.warning if failures in (1, 10) else _log.debug
                level("cannot register node %s: %s; trying again", self._config.node, exc)
                await asyncio.sleep(backoff(failures, base=0.2, ceiling=10.0))
        _log.info("registered node %s", self._config.node)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_for_ever())
            group.create_task(self._report_for_ever())

    def _labels(self) -> dict[str, str]:
        own = {
            "kubernetes.io/hostname": self._config.node,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": self._info["architecture"],
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": self._info["architecture"],
        }
        return {**own, **self._config.labels}

    async def _register(self) -> None:
        name = self._config.node
        spec: dict[str, Any] = {"taints": self._config.taints} if self._config.taints else {}
        if self._config.pod_cidr is not None:
            spec |= {"podCIDR": str(self._config.pod_cidr), "podCIDRs": [str(self._config.pod_cidr)]}
        wanted: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": self._labels()},
            "spec": spec,
        }
        try:
            node = await self._client.create(NODES, wanted)
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise
            node = await self._client.get(NODES, name)
            labels = node["metadata"].get("labels") or {}
            if any(labels.get(key) != value for key, value in self._labels().items()):
                patch = {"metadata": {"labels": self._labels()}}
                node = await self._client.patch(NODES, name, patch, patch_type="merge")
        self._node = node
        await self._renew()
        await self._report()

    async def _renew_for_ever(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(backoff(failures, base=0.5, ceiling=7.0) if failures else self._config.lease_renew)
            try:
                await self._renew()
                failures = 0
            except ApiError as exc:
                failures += 1
                level = _log.warning if failures == 1 else _log.debug
                level("cannot renew the lease: %s", exc)

    async def _renew(self) -> None:
        await renew_lease(self._client, self._config.node, _LEASES, self._config.lease_duration, self._owner)

    async def _owner(self) -> Object | None:
        return {"apiVersion": "v1", "kind": "Node", **self._node} if self._node is not None else None

    async def _report_for_ever(self) -> None:
        failures = 0
        while True:
            pause = backoff(failures, base=0.5, ceiling=10.0) if failures else await self._pause()
            await asyncio.sleep(pause)
            try:
                await self._report()
                failures = 0
            except ApiError as exc:
                failures += 1
                if exc.code == 404:
                    await self._try_register()
                _log.debug("cannot report node status: %s", exc)

    async def _pause(self) -> float:
        # The status is written at least this often; the Lease is the heartbeat between.
        return min(self._config.status_interval, self._config.lease_renew)

    async def _try_register(self) -> None:
        try:
            await self._register()
        except ApiError as exc:
            _log.warning("cannot register again: %s", exc)

    async def _report(self) -> None:
        """Write the status where it says something new, or has not been written for the interval."""
        node = copy(await self._client.get(NODES, self._config.node))
        before = node.get("status") or {}
        disk = shutil.disk_usage(self._config.data_dir)
        memory = psutil.virtual_memory()
        conditions = before.get("conditions")
        checks = (
            (
                "MemoryPressure",
                memory.available < _MEMORY_FREE,
                "KubeletHasInsufficientMemory",
                "KubeletHasSufficientMemory",
            ),
            ("DiskPressure", disk.free < _DISK_FREE * disk.total, "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
            ("PIDPressure", False, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
        )
        beat = now()
        for kind, bad, reason, good in checks:
            conditions = set_condition(conditions, kind, "True" if bad else "False", reason if bad else good)
        conditions = set_condition(conditions, "Ready", "True", "KubeletReady", "kubelet is posting ready status")
        conditions = [{**c, "lastHeartbeatTime": beat} for c in conditions]
        address = str(self._config.address)
        status = {
            **before,
            "capacity": self.capacity,
            "allocatable": self.capacity,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": self._config.node},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": self._info,
        }
        node["status"] = status
        if _settled(status) == _settled(before) and not self._due(before):
            return
        await self._client.update(NODES, node, subresource="status")

    def _due(self, status: Object) -> bool:
        beats = [c.get("lastHeartbeatTime") or "" for c in status.get("conditions") or ()]
        oldest = min(beats, default="")
        if not oldest:
            return True
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(oldest)
        return age.total_seconds() >= self._config.status_interval


def _settled(status: Object) -> Object:
    """A status without its heartbeats."""
    conditions = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()]
    return {**status, "conditions": conditions}
