"""A member's presence in the federation: it joins, renews its Lease and describes itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import Informer, WorkQueue, process
from mlsysops_embedded.client.leases import renew_lease
from mlsysops_embedded.client.objects import (
    condition_true,
    quantity,
    set_condition,
)
from mlsysops_embedded.client.resources import CLUSTERS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, NODES, PODS
from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.propagation import names
from mlsysops_embedded.validation.amounts import pod_requests

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, Object

__all__ = ["Membership"]

_log = logging.getLogger(__name__)
#: Changes of nodes, pods and definitions are gathered for this long (seconds) before the cluster's summary is written.
_GATHER = 2.0


class Membership:
    """Keeps the member's Cluster object.

    Args:
        member: API of the member.
        upstream: API of the control plane above.
        cluster: Name of the member there.
        labels: Labels that the Cluster gets when it is made.
        version: Kubernetes version of the member.
        renew: Seconds between renewals of the Lease.
        duration: Seconds that a Lease holds.
    """

    def __init__(
        self,
        member: Client,
        upstream: Client,
        cluster: str,
        *,
        labels: dict[str, str],
        version: str,
        renew: float,
        duration: float,
    ) -> None:
        self._member = member
        self._upstream = upstream
        self._name = cluster
        self._labels = labels
        self._version = version
        self._renew_every, self._duration = renew, duration
        self._queue: WorkQueue[str] = WorkQueue()
        self._nodes = Informer(member, NODES)
        self._pods = Informer(member, PODS, transform=_requests_only)
        self._definitions = Informer(member, CUSTOM_RESOURCE_DEFINITIONS, transform=_identity_only)
        self._self = Informer(upstream, CLUSTERS, field_selector=f"metadata.name={cluster}")
        for informer in (self._nodes, self._pods, self._definitions):
            informer.add_handler(lambda _new, _old: self._queue.add_after(self._name, _GATHER))
        # Whoever says that we are away is told at once that we are not.
        self._self.add_handler(lambda _new, _old: self._queue.add(self._name))

    async def join(self) -> None:
        """Register until it succeeds."""
        failures = 0
        while True:
            try:
                await self._register()
            except ApiError as exc:
                failures += 1
                level = _log.warning if failures in (1, 10) else _log.debug
                level("cannot join as cluster %s: %s; trying again", self._name, exc)
                await asyncio.sleep(backoff(failures, base=0.2, ceiling=10.0))
            else:
                _log.info("joined as cluster %s", self._name)
                return

    async def _register(self) -> None:
        cluster: Object = {
            "apiVersion": CLUSTERS.api_version,
            "kind": CLUSTERS.kind,
            "metadata": {"name": self._name, "labels": self._labels},
            "spec": {"syncMode": "Pull", **await self._identity()},
        }
        try:
            await self._upstream.create(CLUSTERS, cluster)
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise
        await self._renew()

    async def _identity(self) -> dict[str, str]:
        """What Karmada knows a cluster by, whatever it is called: the UID of its namespace ``kube-system``."""
        try:
            return {"id": (await self._member.get(NAMESPACES, "kube-system"))["metadata"]["uid"]}
        except ApiError as exc:
            if exc.code != 404:
                raise
            return {}

    async def run(self) -> None:
        """Heartbeat and report for ever."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._nodes, self._pods, self._definitions, self._self):
                group.create_task(informer.run())
            group.create_task(self._renew_for_ever())
            group.create_task(process(self._queue, self._report, _log))

    async def _renew_for_ever(self) -> None:
        failures = 0
        while True:
            try:
                await self._renew()
                failures = 0
            except ApiError as exc:
                failures += 1
                level = _log.warning if failures == 1 else _log.debug
                level("cannot renew the lease of cluster %s: %s", self._name, exc)
            pause = backoff(failures, base=0.5, ceiling=7.0) if failures else self._renew_every
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        await renew_lease(self._upstream, self._name, names.LEASE_NAMESPACE, self._duration, self._owner)

    async def _owner(self) -> Object:
        return await self._upstream.get(CLUSTERS, self._name)

    async def _report(self, name: str) -> None:
        cluster = self._self.get(name)
        if cluster is None:
            if self._self.synced:
                await self._register()  # somebody removed the entry of a cluster that is alive
            return
        if cluster["metadata"].get("deletionTimestamp"):
            return
        before = cluster.get("status") or {}
        text = "cluster is healthy and ready to accept workloads"
        nodes = self._nodes.items()
        status = {
            "kubernetesVersion": self._version,
            "conditions": set_condition(before.get("conditions"), "Ready", "True", "ClusterReady", text),
            "nodeSummary": {"totalNum": len(nodes), "readyNum": sum(condition_true(node, "Ready") for node in nodes)},
            "resourceSummary": self._resources(nodes),
            "apiEnablements": await self._enablements(),
        }
        if status == {field: before.get(field) for field in status}:
            return
        patch = {"metadata": {"uid": cluster["metadata"]["uid"]}, "status": status}
        written = await self._upstream.patch(CLUSTERS, name, patch, patch_type="merge", subresource="status")
        await self._self.caught_up(written)

    def _resources(self, nodes: list[Object]) -> Object:
        allocatable: dict[str, float] = {}
        for node in nodes:
            for kind, value in ((node.get("status") or {}).get("allocatable") or {}).items():
                allocatable[kind] = allocatable.get(kind, 0.0) + quantity(value)
        allocated: dict[str, float] = {"pods": 0.0}
        for pod in self._pods.items():
            if pod["counts"]:
                allocated["pods"] += 1
                for kind, amount in pod["requests"].items():
                    allocated[kind] = allocated.get(kind, 0.0) + amount
        return {
            "allocatable": {kind: _quantity(kind, amount) for kind, amount in sorted(allocatable.items())},
            "allocated": {kind: _quantity(kind, amount) for kind, amount in sorted(allocated.items())},
        }

    async def _enablements(self) -> list[Object]:
        groups: dict[str, list[Object]] = {}
        for resource in await self._member.discover():
            groups.setdefault(resource.api_version, []).append({"name": resource.plural, "kind": resource.kind})
        return [
            {"groupVersion": version, "resources": sorted(listed, key=lambda r: str(r["name"]))}
            for version, listed in sorted(groups.items())
        ]


def _identity_only(obj: Object) -> Object:
    return {"metadata": {key: obj["metadata"].get(key) for key in ("name", "namespace", "resourceVersion")}}


def _requests_only(pod: Object) -> Object:
    counts = bool(pod["spec"].get("nodeName")) and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    metadata = {key: pod["metadata"].get(key) for key in ("name", "namespace", "resourceVersion")}
    return {"metadata": metadata, "counts": counts, "requests": pod_requests(pod["spec"])}


def _quantity(kind: str, amount: float) -> str:
    return f"{round(amount * 1000)}m" if kind == "cpu" else str(round(amount))
