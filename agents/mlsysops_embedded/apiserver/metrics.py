"""`metrics.k8s.io`, which ``kubectl top`` reads: what nodes and pods use, asked of their kubelets when somebody wants to know.

Source: https://github.com/kubernetes/metrics `pkg/apis/metrics/v1beta1/types.go`. Usage of processors is the difference of two
counters, so the first question after a while takes a second.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mlsysops_embedded.apiserver.kubelets import Kubelets
from mlsysops_embedded.apiserver.reading import Reader
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.selectors import field_value, parse_field_selector, parse_label_selector

__all__ = ["API_VERSION", "Metrics"]

_LOG: Final = logging.getLogger("embedded.metrics")
Obj = dict[str, Any]
API_VERSION: Final = "metrics.k8s.io/v1beta1"
#: Seconds for which an answer holds, from one counter to the next, and after which a counter is too old to compare with.
_FRESH, _WINDOW, _STALE = 5.0, 1.0, 60.0
_TIMEOUT: Final = 5.0
_AT_ONCE: Final = 32

#: Who uses: ("", "", "") is the node itself, else namespace, pod and container.
_User = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    used: dict[_User, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Usage:
    """Of one node: processors in cores and memory in bytes a user, over a window of seconds."""

    at: float
    window: float
    used: dict[_User, tuple[float, int]]


class Metrics:
    """Answers for the group.

    Args:
        reader: Nodes and pods.
        kubelets: The way to kubelets.
    """

    def __init__(self, reader: Reader, kubelets: Kubelets) -> None:
        self._reader = reader
        self._kubelets = kubelets
        self._samples: dict[str, _Sample] = {}
        self._usage: dict[str, _Usage] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def get(self, info: ResourceInfo, namespace: str, name: str) -> Obj:
        """What one node or pod uses.

        Raises:
            ApiError: 404 where that is not known.
        """
        found = await self.list(info, namespace, fields=f"metadata.name={name}")
        if not found:
            raise ApiError.not_found(info.plural, f"{namespace}/{name}" if namespace else name, info.group)
        return found[0]

    async def list(self, info: ResourceInfo, namespace: str, labels: str = "", fields: str = "") -> list[Obj]:
        """What the chosen nodes or pods use; those whose kubelet does not answer are left out."""
        chosen = list(self._chosen(info.plural, namespace, labels, fields))
        of_pods = info.plural == "pods"
        nodes = {
            (obj.get("spec") or {}).get("nodeName", "") if of_pods else obj["metadata"]["name"] for obj in chosen
        } - {""}
        await asyncio.gather(*(self._refresh(node) for node in nodes))
        return [found for obj in chosen if (found := (self._pod(obj) if of_pods else self._node(obj)))]

    def _chosen(self, plural: str, namespace: str, labels: str, fields: str) -> Iterable[Obj]:
        wanted, picked = parse_label_selector(labels), parse_field_selector(fields)
        bucket = self._reader.store.bucket(plural)
        for key in bucket.keys(namespace):
            obj = bucket.objects[key].parse()
            if wanted.matches_labels(obj["metadata"].get("labels")) and picked.matches(partial(field_value, obj)):
                yield obj

    # ------------------------------------------------------------------ objects

    def _node(self, node: Obj) -> Obj | None:
        name = node["metadata"]["name"]
        usage = self._usage.get(name)
        used = usage.used.get(("", "", "")) if usage else None
        if usage is None or used is None:
            return None
        return {**_head(node, "NodeMetrics", usage), "usage": _amounts(*used)}

    def _pod(self, pod: Obj) -> Obj | None:
        metadata = pod["metadata"]
        usage = self._usage.get((pod.get("spec") or {}).get("nodeName", ""))
        if usage is None:
            return None
        mine = (metadata["namespace"], metadata["name"])
        containers = [
            {"name": user[2], "usage": _amounts(*used)} for user, used in usage.used.items() if user[:2] == mine
        ]
        return {**_head(pod, "PodMetrics", usage), "containers": containers} if containers else None

    # ------------------------------------------------------------------ counters

    async def _refresh(self, node: str) -> None:
        """Brings what is known of a node up to date; who asks meanwhile waits for the same answer."""
        usage = self._usage.get(node)
        if usage is not None and time.monotonic() - usage.at < _FRESH:
            return
        task = self._asked.get(node)
        if task is None:
            task = self._asked[node] = asyncio.create_task(self._measure(node))
            task.add_done_callback(lambda _: self._asked.pop(node, None))
        await asyncio.shield(task)

    async def _measure(self, node: str) -> None:
        before = self._samples.get(node)
        if before is None or time.monotonic() - before.at > _STALE:
            before = await self._sample(node)
            if before is not None:
                await asyncio.sleep(_WINDOW)
        after = await self._sample(node) if before is not None else None
        if before is None or after is None:
            self._usage.pop(node, None)
            self._samples.pop(node, None)
            return
        self._samples[node] = after
        window = after.at - before.at
        used = {
            user: (max(0.0, (now[0] - then[0]) / 1e9 / window), now[1])
            for user, now in after.used.items()
            if (then := before.used.get(user)) is not None
        }
        self._usage[node] = _Usage(after.at, window, used)

    async def _sample(self, name: str) -> _Sample | None:
        import aiohttp

        node = self._reader.read("nodes", "", name)
        if node is None:
            return None
        try:
            url = f"{self._kubelets.url(node)}/stats/summary"
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
            async with (
                self._gate,
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, ssl=self._kubelets.tls) as answer,
            ):
                answer.raise_for_status()
                summary = await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ApiError) as exc:
            _LOG.debug("no metrics of node %s: %s", name, exc)
            return None
        # Simulated nodes share a kubelet, whose figures are its own node's.
        own = [(("", "", ""), summary["node"])] if summary["node"]["nodeName"] == name else []
        parts = [
            ((pod["podRef"]["namespace"], pod["podRef"]["name"], container["name"]), container)
            for pod in summary["pods"]
            for container in pod["containers"]
        ]
        used = {user: (p["cpu"]["usageCoreNanoSeconds"], p["memory"]["workingSetBytes"]) for user, p in own + parts}
        return _Sample(time.monotonic(), used)


def _head(obj: Obj, kind: str, usage: _Usage) -> Obj:
    kept = {key: obj["metadata"][key] for key in ("name", "namespace", "labels") if key in obj["metadata"]}
    at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=time.monotonic() - usage.at)
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": {**kept, "creationTimestamp": stamp},
        "timestamp": stamp,
        "window": f"{usage.window:.3f}s",
    }


def _amounts(cores: float, memory: int) -> dict[str, str]:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory // 1024}Ki"}
