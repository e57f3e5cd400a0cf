"""ReplicaSets: as many pods of one template as asked for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import controller_of, copy, owner_reference, selector_matches, set_condition
from mlsysops_embedded.client.resources import PODS, REPLICA_SETS
from mlsysops_embedded.controllers.context import (
    Context,
    candidates,
    claim,
    gather_all,
    index_owners,
    pod_available,
    pod_is_active,
    pod_ready,
)
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["deletion_order", "pod_from_template", "run"]

_log = logging.getLogger(__name__)
_BURST = 500
#: Seconds, for each replica asked for, that changes of pods are gathered before they are counted, and the most of it.
_GATHER, _GATHER_MOST = 5e-3, 1.0
_COST = "controller.kubernetes.io/pod-deletion-cost"


def pod_from_template(owner: Object, template: Object, *, name: str = "") -> Object:
    """A pod of a template, owned by its controller."""
    template = copy(template)
    given = template.get("metadata") or {}
    metadata = {
        "namespace": owner["metadata"]["namespace"],
        **({"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}),
        **{key: given[key] for key in ("labels", "annotations", "finalizers") if given.get(key)},
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def deletion_order(pods: list[Object]) -> list[Object]:
    """Pods in the order in which a shrinking ReplicaSet gives them up.

    Source: Kubernetes ``ActivePodsWithRanks``: unassigned, pending, not ready, cheap, crowded nodes, newest.
    """
    crowd: dict[str, int] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName") or ""
        crowd[node] = crowd.get(node, 0) + 1

    def rank(pod: Object) -> tuple[bool, bool, bool, int, int]:
        node = pod["spec"].get("nodeName") or ""
        try:
            cost = int((pod["metadata"].get("annotations") or {}).get(_COST) or 0)
        except ValueError:
            cost = 0
        pending = (pod.get("status") or {}).get("phase") in (None, "Pending")
        return bool(node), not pending, pod_ready(pod) is not None, cost, -crowd[node]

    newest_first = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)
    return sorted(newest_first, key=rank)


class _Controller:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.sets = context.informers.informer(REPLICA_SETS)
        self.pods = context.informers.informer(PODS)
        index_owners(self.pods)
        self.sets.add_handler(lambda new, old: self.queue.add(key_of(new or old or {})))
        self.pods.add_handler(self._pod_changed)

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        for pod in (new, old):
            if pod is None:
                continue
            owner = controller_of(pod)
            if owner is not None and owner["kind"] == "ReplicaSet":
                key = (pod["metadata"]["namespace"], owner["name"])
                rs = self.sets.get(key[1], key[0])
                # Counting thousands of pods for each of thousands of changes would be quadratic: large sets gather them.
                replicas = int((rs or {}).get("spec", {}).get("replicas") or 0)
                self.queue.add_after(key, min(_GATHER_MOST, replicas * _GATHER))
            elif owner is None and pod is new and pod["metadata"].get("labels"):
                for rs in self.sets.items(pod["metadata"]["namespace"]):
                    if selector_matches(rs["spec"]["selector"], pod["metadata"]["labels"]):
                        self.queue.add(key_of(rs))

    async def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        rs = self.sets.get(name, namespace)
        if rs is None:
            return
        active = [pod for pod in candidates(self.pods, rs) if pod_is_active(pod)]
        pods = await claim(self.client, PODS, rs, rs["spec"]["selector"], active)
        failure: ApiError | None = None
        if not rs["metadata"].get("deletionTimestamp"):
            try:
                pods = await self._adjust(rs, pods)
            except ApiError as exc:
                failure = exc
        await self._write_status(rs, pods, failure)
        if failure is not None:
            raise failure

    async def _adjust(self, rs: Object, pods: list[Object]) -> list[Object]:
        replicas = rs["spec"].get("replicas")
        missing = (1 if replicas is None else replicas) - len(pods)
        namespace = rs["metadata"]["namespace"]
        events = self.context.events
        if missing > 0:
            template = pod_from_template(rs, rs["spec"]["template"])
            try:
                # One first: a template that the server refuses costs one request, not hundreds.
                created = [await self.client.create(PODS, template, namespace)]
                more = min(missing, _BURST) - 1
                created += await gather_all(self.client.create(PODS, template, namespace) for _ in range(more))
            except ApiError as exc:
                events.event(rs, "Warning", "FailedCreate", f"Error creating: {exc}")
                raise
            for pod in created[:20]:
                events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
            await self.pods.caught_up(*created)
            if missing > _BURST:
                self.queue.add(key_of(rs))
            return pods + created
        if missing < 0:
            doomed = deletion_order(pods)[:-missing]
            for pod in doomed:
                metadata = pod["metadata"]
                try:
                    deleted = await self.client.delete(PODS, metadata["name"], namespace, uid=metadata["uid"])
                except ApiError as exc:
                    if exc.code != 404:
                        raise
                    continue
                events.event(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}")
                if deleted.get("kind") == "Pod":
                    await self.pods.caught_up(deleted)
            gone = {pod["metadata"]["uid"] for pod in doomed}
            return [pod for pod in pods if pod["metadata"]["uid"] not in gone]
        return pods

    async def _write_status(self, rs: Object, pods: list[Object], failure: ApiError | None) -> None:
        before = rs.get("status") or {}
        min_ready = rs["spec"].get("minReadySeconds") or 0
        labels = (rs["spec"]["template"].get("metadata") or {}).get("labels") or {}
        at = time.time()
        waits = [pod_available(pod, min_ready, at) for pod in pods]
        status: Object = {
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(
                1 for pod in pods if labels.items() <= (pod["metadata"].get("labels") or {}).items()
            ),
            "readyReplicas": sum(1 for pod in pods if pod_ready(pod)),
            "availableReplicas": sum(1 for wait in waits if wait == 0),
        }
        status = {key: value for key, value in status.items() if value or key == "replicas"}
        status["observedGeneration"] = rs["metadata"].get("generation")
        conditions = [c for c in before.get("conditions") or () if c.get("type") != "ReplicaFailure"]
        if failure is not None:
            conditions = set_condition(
                before.get("conditions"), "ReplicaFailure", "True", "FailedCreate", failure.message
            )
        if conditions:
            status["conditions"] = conditions
        soonest = min((wait for wait in waits if 0 < wait < float("inf")), default=0.0)
        if soonest:
            self.queue.add_after(key_of(rs), soonest + 0.1)
        if status != before:
            written = await self.client.update(REPLICA_SETS, {**rs, "status": status}, subresource="status")
            await self.sets.caught_up(written)


async def run(context: Context) -> None:
    """Reconcile ReplicaSets for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.sets, controller.pods)
    await process(controller.queue, controller.reconcile, _log, workers=context.settings.workers)
