"""The scheduler's loop: one pod at a time against the cache, bindings in the background."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from typing import TYPE_CHECKING

from mlsysops_embedded.client import EventRecorder, key_of
from mlsysops_embedded.client.objects import condition, set_condition
from mlsysops_embedded.client.resources import NODES, PODS
from mlsysops_embedded.client.workqueue import backoff
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.scheduler.cache import Cache, NodeInfo, PodInfo
from mlsysops_embedded.scheduler.filters import PodRules, explain, fits, score
from mlsysops_embedded.validation.amounts import held_requests

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, InformerFactory, Object

__all__ = ["SCHEDULER_NAME", "run"]

_log = logging.getLogger(__name__)
SCHEDULER_NAME = "default-scheduler"
#: Enough suitable nodes to choose from: kube-scheduler's minFeasibleNodesToFind.
_ENOUGH = 100
_BINDINGS = 32


class _Scheduler:
    def __init__(self, client: Client, informers: InformerFactory) -> None:
        self.client = client
        self.events = EventRecorder(client, SCHEDULER_NAME)
        self.cache = Cache()
        self.pods = informers.informer(PODS)
        self.nodes = informers.informer(NODES)
        self._order = itertools.count()
        self._queue: list[tuple[int, int, tuple[str, str]]] = []
        self._queued: set[tuple[str, str]] = set()
        self._waiting: dict[tuple[str, str], str] = {}
        self._binding: set[tuple[str, str]] = set()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._wake = asyncio.Event()
        self._start = 0
        self._gate = asyncio.Semaphore(_BINDINGS)
        self.nodes.add_handler(self._node_changed)
        self.pods.add_handler(self._pod_changed)

    def _node_changed(self, new: Object | None, old: Object | None) -> None:
        self.cache.node_changed(new, old)
        if new is not None and _placement_facts(new) != _placement_facts(old):
            self._retry_waiting()

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        self.cache.pod_changed(new, old)
        key = key_of(new or old or {})
        if new is None or not _pending(new):
            self._waiting.pop(key, None)
            self._failures.pop(key, None)
            if new is None or (new.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                self._retry_waiting()  # room was freed
            elif old is not None and _pending(old):
                self._retry_waiting()  # somebody may have waited for this pod's company
            elif old is not None and self._waiting and _shrunk(new, old):
                self._retry_waiting()
            return
        # A status written by ourselves is no reason to try again.
        if old is None or old["spec"] != new["spec"] or old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._waiting.pop(key, None)
            self._push(key, new)

    def _push(self, key: tuple[str, str], pod: Object) -> None:
        if key in self._queued or key in self._binding:
            return
        self._queued.add(key)
        heapq.heappush(self._queue, (-int(pod["spec"].get("priority") or 0), next(self._order), key))
        self._wake.set()

    def _retry_waiting(self) -> None:
        for key in list(self._waiting):
            if pod := self.pods.get(key[1], key[0]):
                del self._waiting[key]
                self._push(key, pod)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.events.run())
            while True:
                while not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                _, _, key = heapq.heappop(self._queue)
                self._queued.discard(key)
                pod = self.pods.get(key[1], key[0])
                if pod is None or not _pending(pod):
                    continue
                info = PodInfo.of(pod)
                node, message = self._choose(info)
                if node is None:
                    self._waiting[key] = message
                    await self._gate.acquire()
                    group.create_task(self._report(pod, message))
                    continue
                self.cache.assume(info, node.name)
                self._binding.add(key)
                await self._gate.acquire()
                group.create_task(self._bind(pod, info, node.name))
                await asyncio.sleep(0)  # informers must keep up with a long queue

    def _choose(self, pod: PodInfo) -> tuple[NodeInfo | None, str]:
        nodes = list(self.cache.nodes.values())
        rules = PodRules(pod, self.cache)
        suitable: list[NodeInfo] = []
        reasons: Counter[str] = Counter()
        for index in range(len(nodes)):
            info = nodes[(self._start + index) % len(nodes)]
            if why := fits(pod, info, rules):
                reasons.update(why)
                continue
            suitable.append(info)
            if len(suitable) >= _ENOUGH:
                self._start = (self._start + index + 1) % len(nodes)
                break
        if not suitable:
            return None, explain(len(nodes), reasons)
        return max(suitable, key=lambda info: score(pod, info)), ""

    async def _bind(self, pod: Object, info: PodInfo, node: str) -> None:
        namespace, name = info.key
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": info.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self.client.create(PODS, binding, namespace, name=name, subresource="binding")
        except ApiError as exc:
            self.cache.remove(info.uid)
            self._binding.discard(info.key)
            if exc.code not in (404, 409):
                _log.warning("binding %s/%s to %s failed: %s", namespace, name, node, exc)
            self._failures[info.key] += 1
            delay = backoff(self._failures[info.key], base=0.2, ceiling=10.0)
            asyncio.get_running_loop().call_later(delay, self._again, info.key)
        else:
            self._binding.discard(info.key)
            self._failures.pop(info.key, None)
            self.events.event(pod, "Normal", "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")
        finally:
            self._gate.release()

    def _again(self, key: tuple[str, str]) -> None:
        pod = self.pods.get(key[1], key[0])
        if pod is not None and _pending(pod):
            self._push(key, pod)

    async def _report(self, pod: Object, message: str) -> None:
        """Say why a pod waits, in its status and as an event; only news is written."""
        metadata = pod["metadata"]
        try:
            status = pod.get("status") or {}
            known = condition(status.get("conditions"), "PodScheduled") or {}
            if (known.get("status"), known.get("message")) == ("False", message):
                return
            self.events.event(pod, "Warning", "FailedScheduling", message)
            conditions = set_condition(status.get("conditions"), "PodScheduled", "False", "Unschedulable", message)
            patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": conditions}}
            await self.client.patch(
                PODS, metadata["name"], patch, metadata["namespace"], patch_type="merge", subresource="status"
            )
        except ApiError as exc:
            if exc.code not in (404, 409):
                _log.warning("cannot report %s/%s: %s", metadata["namespace"], metadata["name"], exc)
        finally:
            self._gate.release()


def _pending(pod: Object) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and not pod["metadata"].get("deletionTimestamp")
        and (spec.get("schedulerName") or SCHEDULER_NAME) == SCHEDULER_NAME
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    )


def _shrunk(new: Object, old: Object) -> bool:
    """Whether a pod that was resized gives room back to its node."""
    before, after = held_requests(old), held_requests(new)
    return any(after.get(name, 0.0) < amount for name, amount in before.items())


def _placement_facts(node: Object | None) -> object:
    """What of a node can make room for a pod; heartbeats cannot."""
    if node is None:
        return None
    status, spec = node.get("status") or {}, node["spec"]
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable")


async def run(client: Client, informers: InformerFactory) -> None:
    """Schedule pods for ever."""
    scheduler = _Scheduler(client, informers)
    await informers.synced(scheduler.nodes, scheduler.pods)
    await scheduler.run()
