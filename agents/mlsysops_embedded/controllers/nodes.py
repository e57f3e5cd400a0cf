"""Node lifecycle: an expired Lease makes a node's Ready Unknown, taints it, and in time evicts its pods.

A node that is not ready takes no new pods at once; when it loses those that it has is up to `disruption`.

Source: Kubernetes ``pkg/controller/nodelifecycle``, ``pkg/controller/tainteviction`` and ``pkg/controller/podgc``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import condition, condition_true, copy, now, parse_time, set_condition
from mlsysops_embedded.client.resources import LEASES, NODES, PODS
from mlsysops_embedded.controllers.disruption import Brake, zone_of
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.scheduler.predicates import tolerates

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object
    from mlsysops_embedded.controllers.context import Context

__all__ = ["LEASE_NAMESPACE", "eviction_delay", "run", "wanted_taints"]

_log = logging.getLogger(__name__)
LEASE_NAMESPACE = "kube-node-lease"
#: How long a pod whose node is missing is left alone, in seconds (podgc `quarantineTime`).
_ORPHAN_QUARANTINE = 40.0
#: What of the grace time nodes are looked at together, before one loses its pods (kube-controller-manager: ``node-monitor-period`` 5 s,
#: ``node-monitor-grace-period`` 50 s).
_PERIOD_SHARE = 1 / 10
_UNREACHABLE = "node.kubernetes.io/unreachable"
_NOT_READY = "node.kubernetes.io/not-ready"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_EXCLUDED = "node.kubernetes.io/exclude-disruption"
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
_ABSENT = frozenset({_UNREACHABLE, _NOT_READY})
_OWN = {_UNREACHABLE, _NOT_READY, _UNSCHEDULABLE, *_PRESSURE.values()}


def wanted_taints(node: Object, *, evict: bool = True) -> list[Object]:
    """The taints a node should have: foreign ones as they are, ours after its conditions (times kept).

    Args:
        node: The node.
        evict: Whether it may lose its pods where it is not ready.
    """
    present = node["spec"].get("taints") or []
    conditions = (node.get("status") or {}).get("conditions")
    wanted: list[tuple[str, str]] = []
    ready = (condition(conditions, "Ready") or {}).get("status", "Unknown")
    if ready != "True":
        key = _UNREACHABLE if ready == "Unknown" else _NOT_READY
        wanted += [(key, "NoSchedule"), *([(key, "NoExecute")] if evict else [])]
    wanted += [
        (key, "NoSchedule")
        for kind, key in _PRESSURE.items()
        if (condition(conditions, kind) or {}).get("status") == "True"
    ]
    if node["spec"].get("unschedulable"):
        wanted.append((_UNSCHEDULABLE, "NoSchedule"))
    known = {(t["key"], t.get("effect")): t for t in present}
    taints = [t for t in present if t["key"] not in _OWN]
    return taints + [known.get(pair) or {"key": pair[0], "effect": pair[1], "timeAdded": now()} for pair in wanted]


def eviction_delay(pod: Object, taints: list[Object], default: float) -> float | None:
    """Seconds a pod may stay on a node with these NoExecute taints, from when each was added; None is for ever.

    Args:
        pod: A pod on the node.
        taints: The node's taints of effect NoExecute.
        default: Grace on unreachable and not-ready nodes for pods without a toleration for them.
    """
    delay: float | None = None
    tolerations = pod["spec"].get("tolerations") or []
    for taint in taints:
        used = [t for t in tolerations if tolerates(t, taint)]
        if not used:
            grace: float | None = default if taint["key"] in (_UNREACHABLE, _NOT_READY) else 0.0
        else:
            limited = [float(t["tolerationSeconds"]) for t in used if t.get("tolerationSeconds") is not None]
            grace = max(0.0, min(limited)) if limited else None
        if grace is not None:
            delay = grace if delay is None else min(delay, grace)
    return delay


class _Controller:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.grace = context.settings.node_grace
        self.queue: WorkQueue[str] = WorkQueue()
        self.evictions: WorkQueue[tuple[str, str]] = WorkQueue()
        self.nodes = context.informers.informer(NODES)
        self.pods = context.informers.informer(PODS)
        self.leases = context.informers.informer(LEASES, LEASE_NAMESPACE)
        # When a heartbeat was last seen, by our own clock: skewed clocks of nodes must not evict pods.
        self.seen: dict[str, float] = {}
        # Who may lose its pods when; what was granted stays granted while the node is not ready.
        self.brake = Brake(context.settings.eviction_rates, time.monotonic)
        self.period = self.grace * _PERIOD_SHARE
        self.absent: dict[str, float] = {}
        self.granted: set[str] = set()
        self.looked = float("-inf")
        # Pods whose node is missing: uid, and since when.
        self.orphans: dict[tuple[str, str], tuple[str, float]] = {}
        self.pods.add_index("node", lambda pod: [n for n in [pod["spec"].get("nodeName")] if n])
        self.nodes.add_handler(self._node_changed)
        self.leases.add_handler(self._lease_changed)
        self.pods.add_handler(self._pod_changed)

    def _node_changed(self, new: Object | None, old: Object | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        self.seen.setdefault(name, time.monotonic())
        if new is None:
            self.seen.pop(name, None)
            self._present(name)
        self.queue.add(name)
        if new is None or old is None or new["spec"].get("taints") != old["spec"].get("taints"):
            for pod in self.pods.by_index("node", name):
                self.evictions.add(key_of(pod))

    def _lease_changed(self, new: Object | None, old: Object | None) -> None:
        if new is None:
            return
        name = new["metadata"]["name"]
        if old is None or new["spec"].get("renewTime") != old["spec"].get("renewTime"):
            was_late = self.seen.get(name, 0.0) + self.grace < time.monotonic()
            self.seen[name] = time.monotonic()
            if was_late:
                self.queue.add(name)

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            moved = old is None or not old["spec"].get("nodeName")
            if moved or new["metadata"].get("deletionTimestamp"):
                self.evictions.add(key_of(new))

    async def reconcile(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None:
            return
        left = self.seen.setdefault(name, time.monotonic()) + self.grace - time.monotonic()
        ready = condition((node.get("status") or {}).get("conditions"), "Ready")
        if left > 0:
            self.queue.add_after(name, left + 0.05)
        elif ready is None or ready["status"] != "Unknown":
            node = await self._mark_unknown(node)
        taints = wanted_taints(node, evict=self._may_evict(node))
        if taints != (node["spec"].get("taints") or []):
            changed = copy(node)
            changed["spec"]["taints"] = taints
            await self.nodes.caught_up(await self.client.update(NODES, changed))

    def _may_evict(self, node: Object) -> bool:
        """Say whether a node may lose its pods, if it is not ready; asks again later where not."""
        name = node["metadata"]["name"]
        if condition_true(node, "Ready"):
            self._present(name)
            return True
        moment = time.monotonic()
        # Heartbeats end one after the other also where all end: nodes are judged together, as Kubernetes does each period.
        left = self.absent.setdefault(name, moment) + self.period - moment
        turn: float | None = left
        if left <= 0:
            self._look(moment)
            # Who is tainted already loses the taint in a blackout alone.
            tainted = any(
                t["key"] in _ABSENT and t.get("effect") == "NoExecute" for t in node["spec"].get("taints") or ()
            )
            if not self.brake.blackout and (tainted or name in self.granted):
                return True
            turn = self.brake.turn(zone_of(node))
            if turn == 0:
                self.granted.add(name)
                return True
        self.queue.add_after(name, min(self.period if turn is None else turn + 0.05, self.period))
        return False

    def _present(self, name: str) -> None:
        self.absent.pop(name, None)
        self.granted.discard(name)

    def _look(self, moment: float) -> None:
        """Judge all zones, at most a few times a period: each node that is not ready asks for it."""
        if moment - self.looked < self.period / 4:
            return
        self.looked = moment
        # Kubernetes leaves out what is excluded (`node.kubernetes.io/exclude-disruption`).
        nodes = [n for n in self.nodes.items() if _EXCLUDED not in (n["metadata"].get("labels") or {})]
        changed = self.brake.look(
            (
                zone_of(n),
                condition_true(n, "Ready") and self.seen.get(n["metadata"]["name"], moment) + self.grace > moment,
            )
            for n in nodes
        )
        if changed:
            _log.warning("no node is ready: evictions %s", "stop" if self.brake.blackout else "go on")
            self.granted.clear()
            for n in nodes:
                # After a blackout every node has a full grace time to be heard of again.
                if not self.brake.blackout:
                    self.seen[n["metadata"]["name"]] = moment
                self.queue.add(n["metadata"]["name"])

    async def _mark_unknown(self, node: Object) -> Object:
        name = node["metadata"]["name"]
        _log.warning("node %s: no heartbeat for %.0f s", name, self.grace)
        conditions = (node.get("status") or {}).get("conditions") or []
        for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
            if kind == "Ready" or condition(conditions, kind):
                text = "Kubelet stopped posting node status."
                conditions = set_condition(conditions, kind, "Unknown", "NodeStatusUnknown", text)
        status = {**(node.get("status") or {}), "conditions": conditions}
        node = await self.client.update(NODES, {**node, "status": status}, subresource="status")
        self.context.events.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        for pod in self.pods.by_index("node", name):
            await self._mark_not_ready(pod)
        return node

    async def _mark_not_ready(self, pod: Object) -> None:
        status = pod.get("status") or {}
        ready = condition(status.get("conditions"), "Ready")
        if ready is None or ready["status"] != "True":
            return
        conditions = set_condition(status["conditions"], "Ready", "False")
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": conditions}}
        try:
            await self.client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], patch_type="merge", subresource="status"
            )
        except ApiError as exc:
            if exc.code not in (404, 409):
                raise

    async def evict(self, key: tuple[str, str]) -> None:
        namespace, name = key
        pod = self.pods.get(name, namespace)
        if pod is None or not pod["spec"].get("nodeName"):
            self.orphans.pop(key, None)
            return
        node = self.nodes.get(pod["spec"]["nodeName"])
        uid = pod["metadata"]["uid"]
        if node is None:
            await self._collect_orphan(pod)
            return
        self.orphans.pop(key, None)
        if pod["metadata"].get("deletionTimestamp"):
            return
        taints = [t for t in node["spec"].get("taints") or () if t.get("effect") == "NoExecute"]
        if not taints:
            return
        delay = eviction_delay(pod, taints, self.context.settings.eviction_seconds)
        if delay is None:
            return
        added = min(parse_time(t["timeAdded"]).timestamp() if t.get("timeAdded") else 0.0 for t in taints)
        left = added + delay - time.time()
        if left > 0:
            self.evictions.add_after(key, left + 0.05)
            return
        self.context.events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")
        await self.client.delete(PODS, name, namespace, uid=uid)

    async def _collect_orphan(self, pod: Object) -> None:
        """Nobody will ever stop a pod whose node is gone: it is removed, unless its node comes in time (gc_controller.go)."""
        metadata = pod["metadata"]
        key = (metadata["namespace"], metadata["name"])
        uid, seen = self.orphans.get(key, ("", 0.0))
        if uid != metadata["uid"]:
            seen = time.monotonic()
            self.orphans[key] = (metadata["uid"], seen)
        left = seen + _ORPHAN_QUARANTINE - time.monotonic()
        if left > 0:
            self.evictions.add_after(key, left + 0.05)
            return
        del self.orphans[key]
        try:
            await self.client.get(NODES, pod["spec"]["nodeName"])
        except ApiError as exc:
            if exc.code != 404:
                raise
            await self.client.delete(
                PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_period_seconds=0
            )


async def run(context: Context) -> None:
    """Watch over nodes for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.nodes, controller.pods, controller.leases)
    async with asyncio.TaskGroup() as group:
        group.create_task(process(controller.queue, controller.reconcile, _log, workers=context.settings.workers))
        group.create_task(process(controller.evictions, controller.evict, _log, workers=context.settings.workers))
