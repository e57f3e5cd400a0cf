"""DaemonSets: one pod on each node that fits."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import controller_of
from mlsysops_embedded.client.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from mlsysops_embedded.controllers.context import (
    Context,
    candidates,
    claim,
    gather_all,
    index_owners,
    pod_available,
    pod_ready,
)
from mlsysops_embedded.controllers.replicaset import pod_from_template
from mlsysops_embedded.controllers.revisions import HASH_LABEL, Revisions
from mlsysops_embedded.controllers.rollout import fenceposts
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.scheduler.predicates import required_node_match, untolerated

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["run", "should_run", "target_node"]

_log = logging.getLogger(__name__)
#: Added to each daemon pod (``pkg/controller/daemon/util.AddOrUpdateDaemonPodTolerations``).
_TOLERATIONS: list[Object] = [
    {"key": f"node.kubernetes.io/{condition}", "operator": "Exists", "effect": effect}
    for condition, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
]


def _tolerations(spec: Object) -> list[Object]:
    return [*(spec.get("tolerations") or ()), *_TOLERATIONS]


def should_run(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Whether its pod should be placed on a node, and whether one that is there may stay."""
    spec = daemon_set["spec"]["template"]["spec"]
    if (
        not required_node_match(spec, node)
        or (spec.get("nodeName") or node["metadata"]["name"]) != (node["metadata"]["name"])
    ):
        return False, False
    taints = node["spec"].get("taints")
    stay = untolerated(_tolerations(spec), taints, ("NoExecute",)) is None
    return stay and untolerated(_tolerations(spec), taints, ("NoSchedule", "NoExecute")) is None, stay


def target_node(pod: Object) -> str:
    """The node a daemon pod is on, or is meant for."""
    if name := pod["spec"].get("nodeName"):
        return str(name)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for requirement in term.get("matchFields") or ():
            if requirement["key"] == "metadata.name":
                return str(requirement["values"][0])
    return ""


class _Controller:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.sets = context.informers.informer(DAEMON_SETS)
        self.nodes = context.informers.informer(NODES)
        self.pods = context.informers.informer(PODS)
        self.history = context.informers.informer(CONTROLLER_REVISIONS)
        self.revisions = Revisions(context.client, self.history)
        index_owners(self.pods)
        self.sets.add_handler(lambda new, old: self.queue.add(key_of(new or old or {})))
        self.nodes.add_handler(self._node_changed)
        self.pods.add_handler(self._pod_changed)

    def _node_changed(self, new: Object | None, old: Object | None) -> None:
        def relevant(node: Object | None) -> object:
            return node and (node["metadata"].get("labels"), node["spec"].get("taints"))

        if relevant(new) != relevant(old):
            for daemon_set in self.sets.items():
                self.queue.add(key_of(daemon_set))

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        for pod in (new, old):
            if pod and (owner := controller_of(pod)) and owner["kind"] == "DaemonSet":
                self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        daemon_set = self.sets.get(name, namespace)
        if daemon_set is None or daemon_set["metadata"].get("deletionTimestamp"):
            return
        pods = await claim(
            self.client, PODS, daemon_set, daemon_set["spec"]["selector"], candidates(self.pods, daemon_set)
        )
        in_use = {(pod["metadata"].get("labels") or {}).get(HASH_LABEL, "") for pod in pods}
        digest = await self.revisions.keep(daemon_set, in_use)
        by_node: dict[str, list[Object]] = {}
        for pod in pods:
            by_node.setdefault(target_node(pod), []).append(pod)
        create, doomed = self._compare(daemon_set, by_node)
        doomed += self._outdated(daemon_set, by_node, digest, doomed)
        for pod in doomed:
            if not pod["metadata"].get("deletionTimestamp"):
                await self._delete(daemon_set, pod)
        template = self._pod(daemon_set, digest)
        created = await gather_all(
            self.client.create(PODS, self._for_node(template, node), namespace) for node in create
        )
        for pod in created[:20]:
            message = f"Created pod: {pod['metadata']['name']}"
            self.context.events.event(daemon_set, "Normal", "SuccessfulCreate", message)
        await self.pods.caught_up(*created)
        await self._write_status(daemon_set, by_node, digest)

    def _compare(self, daemon_set: Object, by_node: dict[str, list[Object]]) -> tuple[list[str], list[Object]]:
        create, doomed = [], []
        for node in self.nodes.items():
            name = node["metadata"]["name"]
            place, stay = should_run(daemon_set, node)
            present = by_node.get(name, [])
            finished = [pod for pod in present if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")]
            alive = [pod for pod in present if pod not in finished]
            doomed += finished
            if not stay:
                doomed += alive
            elif place and not present:
                create.append(name)
            elif len(alive) > 1:
                doomed += sorted(alive, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")[1:]
        for name, present in by_node.items():
            if self.nodes.get(name) is None:
                doomed += present
        return create, doomed

    def _outdated(
        self, daemon_set: Object, by_node: dict[str, list[Object]], digest: str, doomed: list[Object]
    ) -> list[Object]:
        strategy = daemon_set["spec"].get("updateStrategy") or {}
        if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
            return []
        wanted = sum(1 for node in self.nodes.items() if should_run(daemon_set, node)[0])
        rolling = {"maxUnavailable": 1, **(strategy.get("rollingUpdate") or {}), "maxSurge": 0}
        allowed = fenceposts({"rollingUpdate": rolling}, wanted).unavailable
        alive = [pod for pods in by_node.values() for pod in pods if pod not in doomed]
        available = sum(1 for pod in alive if pod_ready(pod) and not pod["metadata"].get("deletionTimestamp"))
        old = [pod for pod in alive if (pod["metadata"].get("labels") or {}).get(HASH_LABEL) != digest]
        broken = [pod for pod in old if not pod_ready(pod)]
        budget = max(0, allowed - max(0, wanted - available))
        return broken + [pod for pod in old if pod not in broken][:budget]

    def _pod(self, daemon_set: Object, digest: str) -> Object:
        pod = pod_from_template(daemon_set, daemon_set["spec"]["template"])
        pod["metadata"].setdefault("labels", {})[HASH_LABEL] = digest
        present = pod["spec"].get("tolerations") or []
        pod["spec"]["tolerations"] = [*present, *(t for t in _TOLERATIONS if t not in present)]
        return pod

    @staticmethod
    def _for_node(pod: Object, node: str) -> Object:
        affinity = dict(pod["spec"].get("affinity") or {})
        field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        required = {"nodeSelectorTerms": [field]}
        affinity["nodeAffinity"] = {
            **(affinity.get("nodeAffinity") or {}),
            "requiredDuringSchedulingIgnoredDuringExecution": required,
        }
        return {**pod, "spec": {**pod["spec"], "affinity": affinity}}

    async def _delete(self, daemon_set: Object, pod: Object) -> None:
        metadata = pod["metadata"]
        try:
            await self.client.delete(PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except ApiError as exc:
            if exc.code != 404:
                raise
            return
        message = f"Deleted pod: {metadata['name']}"
        self.context.events.event(daemon_set, "Normal", "SuccessfulDelete", message)

    async def _write_status(self, daemon_set: Object, by_node: dict[str, list[Object]], digest: str) -> None:
        min_ready = daemon_set["spec"].get("minReadySeconds") or 0
        status = dict.fromkeys(
            (
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberMisscheduled",
                "numberReady",
                "numberAvailable",
                "updatedNumberScheduled",
            ),
            0,
        )
        for node in self.nodes.items():
            present = [
                p for p in by_node.get(node["metadata"]["name"], ()) if not p["metadata"].get("deletionTimestamp")
            ]
            if not should_run(daemon_set, node)[0]:
                status["numberMisscheduled"] += bool(present)
                continue
            status["desiredNumberScheduled"] += 1
            if not present:
                continue
            pod = present[0]
            status["currentNumberScheduled"] += 1
            status["updatedNumberScheduled"] += (pod["metadata"].get("labels") or {}).get(HASH_LABEL) == digest
            status["numberReady"] += pod_ready(pod) is not None
            wait = pod_available(pod, min_ready, time.time())
            status["numberAvailable"] += wait == 0
            if 0 < wait < float("inf"):
                self.queue.add_after(key_of(daemon_set), wait + 0.1)
        unavailable = status["desiredNumberScheduled"] - status["numberAvailable"]
        whole: Object = {**status, "observedGeneration": daemon_set["metadata"].get("generation")}
        if unavailable:
            whole["numberUnavailable"] = unavailable
        if whole != (daemon_set.get("status") or {}):
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": whole}, subresource="status")


async def run(context: Context) -> None:
    """Reconcile DaemonSets for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.sets, controller.nodes, controller.pods, controller.history)
    await process(controller.queue, controller.reconcile, _log, workers=context.settings.workers)
