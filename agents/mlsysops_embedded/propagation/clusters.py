"""The life of member clusters: their execution namespaces, their health by Lease, and the namespaces all of them get."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import condition, copy, now, set_condition
from mlsysops_embedded.client.resources import CLUSTERS, LEASES, NAMESPACES, WORKS
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.propagation import names
from mlsysops_embedded.propagation.manifests import make_manifest
from mlsysops_embedded.propagation.works import put_work, release_work

if TYPE_CHECKING:
    from mlsysops_embedded.client import InformerFactory, Object

__all__ = ["Clusters"]

_log = logging.getLogger(__name__)
_NOT_READY = "cluster.karmada.io/not-ready"
_UNREACHABLE = "cluster.karmada.io/unreachable"


class Clusters:
    """Reconciles Clusters, and namespaces across them.

    Args:
        informers: Shared informers of the control plane.
        grace: Seconds without a renewed Lease until a cluster's Ready becomes Unknown.
    """

    def __init__(self, informers: InformerFactory, grace: float) -> None:
        self._client = informers.client
        self._grace = grace
        self._queue: WorkQueue[str] = WorkQueue()
        self._namespace_queue: WorkQueue[str] = WorkQueue()
        self._clusters = informers.informer(CLUSTERS)
        self._namespaces = informers.informer(NAMESPACES)
        self._works = informers.informer(WORKS)
        self._leases = informers.informer(LEASES, names.LEASE_NAMESPACE)
        self._synced = informers.synced
        self._seen: dict[str, float] = {}
        self._clusters.add_handler(self._cluster_changed)
        self._leases.add_handler(self._lease_changed)
        self._namespaces.add_handler(self._namespace_changed)

    def _cluster_changed(self, new: Object | None, old: Object | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        self._seen.setdefault(name, time.monotonic())
        self._queue.add(name)
        if new is None:
            self._seen.pop(name, None)
        if new is None or old is None:
            for namespace in self._namespaces.items():
                self._namespace_queue.add(namespace["metadata"]["name"])

    def _namespace_changed(self, new: Object | None, old: Object | None) -> None:
        name = key_of(new or old or {})[1]
        self._namespace_queue.add(name)
        if new is None and (cluster := names.cluster_of(name)):
            self._queue.add(cluster)  # one that left and came back needs its execution namespace anew

    def _lease_changed(self, new: Object | None, old: Object | None) -> None:
        if new is not None and (old is None or new["spec"].get("renewTime") != old["spec"].get("renewTime")):
            name = new["metadata"]["name"]
            # By our own clock: the clocks of clusters need not agree.
            self._seen[name] = time.monotonic()
            cluster = self._clusters.get(name)
            if cluster is not None and cluster["spec"].get("taints"):
                self._queue.add(name)

    async def run(self) -> None:
        """Reconcile for ever."""
        await self._ensure_namespace(names.LEASE_NAMESPACE)
        await self._synced(self._clusters, self._namespaces, self._works, self._leases)
        async with asyncio.TaskGroup() as group:
            group.create_task(process(self._queue, self._reconcile, _log, workers=2))
            group.create_task(process(self._namespace_queue, self._spread_namespace, _log, workers=2))

    async def _ensure_namespace(self, name: str) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        try:
            await self._client.create(NAMESPACES, namespace)
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise

    async def _reconcile(self, name: str) -> None:
        cluster = self._clusters.get(name)
        if cluster is None:
            return
        if cluster["metadata"].get("deletionTimestamp"):
            await self._leave(cluster)
            return
        if names.CLUSTER_FINALIZER not in (cluster["metadata"].get("finalizers") or ()):
            finalizers = [*(cluster["metadata"].get("finalizers") or ()), names.CLUSTER_FINALIZER]
            version = cluster["metadata"]["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
            cluster = await self._client.patch(CLUSTERS, name, patch, patch_type="merge")
        if self._namespaces.get(names.execution_namespace(name)) is None:
            await self._ensure_namespace(names.execution_namespace(name))
        await self._judge(cluster)

    async def _judge(self, cluster: Object) -> None:
        """Ready by Lease; taints keep new work away from what is not ready, and take nothing away."""
        name = cluster["metadata"]["name"]
        left = self._seen.setdefault(name, time.monotonic()) + self._grace - time.monotonic()
        status = cluster.get("status") or {}
        ready = condition(status.get("conditions"), "Ready")
        if left > 0:
            self._queue.add_after(name, left + 0.05)
        elif ready is None or ready["status"] != "Unknown":
            _log.warning("cluster %s: no heartbeat for %.0f s", name, self._grace)
            text = "Cluster agent stopped posting cluster status."
            conditions = set_condition(status.get("conditions"), "Ready", "Unknown", "ClusterLeaseExpired", text)
            changed = {**cluster, "status": {**status, "conditions": conditions}}
            cluster = await self._client.update(CLUSTERS, changed, subresource="status")
            ready = condition(conditions, "Ready")
        present = cluster["spec"].get("taints") or []
        known = {taint["key"]: taint for taint in present}
        wanted = [taint for taint in present if taint["key"] not in (_NOT_READY, _UNREACHABLE)]
        state = (ready or {}).get("status")
        if state in ("False", "Unknown"):
            key = _NOT_READY if state == "False" else _UNREACHABLE
            wanted.append(known.get(key) or {"key": key, "effect": "NoSchedule", "timeAdded": now()})
        if wanted != present:
            changed = copy(cluster)
            changed["spec"]["taints"] = wanted
            await self._client.update(CLUSTERS, changed)

    async def _leave(self, cluster: Object) -> None:
        """A cluster leaves with what runs on it: its Works are let go, not carried out."""
        name = cluster["metadata"]["name"]
        namespace = names.execution_namespace(name)
        for work in self._works.items(namespace):
            await release_work(self._client, work, names.WORK_FINALIZER)
        try:
            await self._client.delete(NAMESPACES, namespace)
        except ApiError as exc:
            if exc.code not in (404, 409):
                raise
        finalizers = [f for f in cluster["metadata"].get("finalizers") or () if f != names.CLUSTER_FINALIZER]
        version = cluster["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "finalizers": finalizers or None}}
        await self._client.patch(CLUSTERS, name, patch, patch_type="merge")

    async def _spread_namespace(self, name: str) -> None:
        """Each namespace exists in every member, unless a policy takes care of it or it is kept out."""
        if names.reserved_namespace(name):
            return
        namespace = self._namespaces.get(name)
        work_name = names.work_name("Namespace", name, "")
        if namespace is None:
            for cluster in self._clusters.items():
                place = names.execution_namespace(cluster["metadata"]["name"])
                work = self._works.get(work_name, place)
                if work is not None and names.CLUSTER_BINDING_ID not in (work["metadata"].get("labels") or {}):
                    await self._client.delete(WORKS, work_name, place, uid=work["metadata"]["uid"])
            return
        labels = namespace["metadata"].get("labels") or {}
        if (
            namespace["metadata"].get("deletionTimestamp")
            or labels.get(names.SKIP_NAMESPACE) == "true"
            or names.CLUSTER_POLICY_ID in labels
        ):
            return
        for cluster in self._clusters.items():
            if cluster["metadata"].get("deletionTimestamp"):
                continue
            place = names.execution_namespace(cluster["metadata"]["name"])
            known = self._works.get(work_name, place)
            if known is not None and names.CLUSTER_BINDING_ID in (known["metadata"].get("labels") or {}):
                continue
            # A namespace that the member had before is shared, not an offence.
            manifest = make_manifest(namespace, cluster, None, [], (place, work_name), "Overwrite")
            wanted = {
                "apiVersion": WORKS.api_version,
                "kind": WORKS.kind,
                "metadata": {"name": work_name, "namespace": place, "finalizers": [names.WORK_FINALIZER]},
                "spec": {"workload": {"manifests": [manifest]}, "preserveResourcesOnDeletion": False},
            }
            await put_work(self._client, known, wanted)
