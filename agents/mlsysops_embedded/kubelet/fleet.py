"""Many simulated nodes in one process, for tests of scale: they register, heartbeat and say that their pods run."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import sys
from typing import TYPE_CHECKING

from mlsysops_embedded.client import Informer, WorkQueue, key_of, process
from mlsysops_embedded.client.objects import format_time, now, set_condition
from mlsysops_embedded.client.resources import LEASES, NODES, PODS
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.kubelet.status import SIMULATED

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, Object
    from mlsysops_embedded.kubelet.config import KubeletConfig

__all__ = ["run_fleet"]

_log = logging.getLogger(__name__)
_CAPACITY = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
_LEASES = "kube-node-lease"
#: Writes and renewals under way at a time, each on a connection of its own: the server gathers them into one commit.
_WRITERS, _BEATS = 32, 32
#: A fleet renews at most so many Leases a second; with more nodes each renews less often, up to the longest interval
#: that lets one renewal fail before a Lease of 40 s is over.
_RENEWALS, _LONGEST = 60.0, 18.0


class _Fleet:
    def __init__(self, client: Client, prefix: str, count: int, address: str, renew: float) -> None:
        self._client = client
        self._names = [f"{prefix}-sim-{number:04d}" for number in range(count)]
        self._own = set(self._names)
        self._address = address
        self._renew_every = max(renew, min(_LONGEST, count / _RENEWALS))
        self._gate, self._pulse = asyncio.Semaphore(_WRITERS), asyncio.Semaphore(_BEATS)
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._pods = Informer(client, PODS, field_selector="spec.nodeName!=", transform=_needed)
        self._pods.add_handler(self._changed)
        self._registered: set[str] = set()
        self._beating: set[str] = set()

    def _changed(self, new: Object | None, old: Object | None) -> None:
        del old
        if new is None or new["spec"].get("nodeName") not in self._own:
            return
        if new["metadata"].get("deletionTimestamp") or (new.get("status") or {}).get("phase") != "Running":
            self._queue.add(key_of(new))

    async def run(self) -> None:
        async def register(name: str) -> None:
            async with self._gate:
                await self._register(name)

        async with asyncio.TaskGroup() as group:
            # The first nodes' Leases must hold while the last ones register.
            beating = group.create_task(self._heartbeat(group))
            try:
                await asyncio.gather(*(register(name) for name in self._names))
            except ApiError:
                beating.cancel()
                raise
            group.create_task(self._pods.run())
            group.create_task(process(self._queue, self._act, _log, workers=_WRITERS))

    async def _register(self, name: str) -> None:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "simulated"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
        try:
            node = await self._client.create(NODES, node)
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise
        conditions = set_condition(None, "Ready", "True", "KubeletReady", "simulated")
        status = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": self._address}],
        }
        await self._beat(name)
        await self._client.patch(NODES, name, {"status": status}, patch_type="merge", subresource="status")
        self._registered.add(name)

    async def _heartbeat(self, group: asyncio.TaskGroup) -> None:
        """Spread the renewals evenly over the interval; a slow answer puts off no other node's renewal."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for name in self._names:
                due = max(due + self._renew_every / len(self._names), loop.time() - self._renew_every)
                await asyncio.sleep(max(0.0, due - loop.time()))
                if name in self._registered and name not in self._beating:
                    self._beating.add(name)
                    group.create_task(self._renew(name))

    async def _renew(self, name: str) -> None:
        try:
            async with self._pulse:
                await self._beat(name)
        except ApiError as exc:
            _log.debug("lease of %s: %s", name, exc)
        finally:
            self._beating.discard(name)

    async def _beat(self, name: str) -> None:
        stamp = format_time(dt.datetime.now(dt.UTC), micro=True)
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": stamp}
        try:
            await self._client.patch(LEASES, name, {"spec": spec}, _LEASES, patch_type="merge")
        except ApiError as exc:
            if exc.code != 404:
                raise
            metadata = {"name": name, "namespace": _LEASES}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(LEASES, lease, _LEASES)

    async def _act(self, key: tuple[str, str]) -> None:
        pod = self._pods.get(key[1], key[0])
        if pod is None:
            return
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            await self._client.delete(PODS, key[1], key[0], grace_period_seconds=0, uid=metadata["uid"])
            return
        conditions = (pod.get("status") or {}).get("conditions")
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready", SIMULATED):
            conditions = set_condition(conditions, kind, "True")
        started = now()
        statuses = [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "imageID": "simulated://",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
                "lastState": {},
            }
            for container in pod["spec"]["containers"]
        ]
        status = {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": self._address,
            "podIP": self._address,
            "startTime": started,
            "containerStatuses": statuses,
        }
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        await self._client.patch(PODS, key[1], patch, key[0], patch_type="merge", subresource="status")


def _needed(pod: Object) -> Object:
    """What the fleet goes by; of a pod that runs already, hardly anything."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    kept = {
        k: metadata[k] for k in ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp") if k in metadata
    }
    spec: Object = {"nodeName": sys.intern(pod["spec"].get("nodeName") or "")}
    if status.get("phase") == "Running":
        return {"metadata": kept, "spec": spec, "status": {"phase": "Running"}}
    spec["containers"] = [{"name": c["name"], "image": c.get("image", "")} for c in pod["spec"]["containers"]]
    return {"metadata": kept, "spec": spec, "status": status}


async def run_fleet(client: Client, config: KubeletConfig) -> None:
    """Run ``simulated_nodes`` further nodes for ever."""
    renew = config.lease_renew
    await _Fleet(client, config.node, config.simulated_nodes, str(config.address), renew).run()
