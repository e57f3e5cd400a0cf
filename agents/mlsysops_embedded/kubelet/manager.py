"""Which pods this node should run: follows the API, remembers on disk, and gives each pod a worker."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import Informer, process
from mlsysops_embedded.client.resources import PODS
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.kubelet.resources import PodResources, write_private
from mlsysops_embedded.kubelet.worker import PodWorker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.shared import Shared

__all__ = ["PodManager", "free_address"]

_log = logging.getLogger(__name__)


def free_address(network: ipaddress.IPv4Network | None, taken: Iterable[str], host: str) -> str:
    """The lowest free address of a pod network (its first is left out), or the host's where there is no network.

    Raises:
        OSError: The network is full.
    """
    if network is None:
        return host
    used = {ipaddress.IPv4Address(address) for address in taken if address}
    for address in network.hosts():
        if address not in used and address != network.network_address + 1:
            return str(address)
    raise OSError(f"no free address in {network}")


class PodManager:
    """Keeps one worker a pod.

    Args:
        shared: What workers share.
        node: Name of this node.
        directory: Where pods are kept, one directory (by uid) each.
        network: Pod network, or None for the host's own address.
        services: Informer of all services.
    """

    def __init__(
        self,
        shared: Shared,
        node: str,
        directory: Path,
        network: ipaddress.IPv4Network | None,
        services: Informer,
    ) -> None:
        self._shared = shared
        self._directory = directory
        self._network = network
        self._services = services
        self.pods = Informer(shared.client, PODS, field_selector=f"spec.nodeName={node}")
        self.workers: dict[str, PodWorker] = {}
        #: Pods for which the network has had no address, first come first served.
        self._homeless: dict[str, Object] = {}
        shared.promised, shared.on_room = self._promised, self._reconsider
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Run pods for ever; cancelling leaves their programs running."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with asyncio.TaskGroup() as group:
            self._group = group
            for checkpoint in sorted(self._directory.glob("*/pod.json")):
                self._restore(checkpoint)
            group.create_task(self.pods.run())
            group.create_task(process(self._shared.statuses, self._publish, _log, workers=4))
            self.pods.add_handler(self._changed)
            await self.pods.wait_synced()
            listed = {pod["metadata"]["uid"] for pod in self.pods.items()}
            for uid, worker in list(self.workers.items()):
                if uid not in listed:
                    _log.info("pod %s was deleted while this kubelet was away", worker.pod["metadata"]["name"])
                    worker.update(None)

    def _restore(self, checkpoint: Path) -> None:
        try:
            kept = json.loads(checkpoint.read_text())
            pod, address = kept["pod"], kept["address"]
        except (OSError, ValueError, KeyError) as exc:
            _log.error("%s is unreadable (%s): leaving it alone", checkpoint, exc)
            return
        self._add(pod, address)

    def _changed(self, new: Object | None, old: Object | None) -> None:
        replaced = old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"])
        if replaced and old is not None and (worker := self.workers.get(old["metadata"]["uid"])):
            worker.update(None)
        if old is not None and (new is None or replaced):
            self._homeless.pop(old["metadata"]["uid"], None)
        if new is None:
            return
        worker = self.workers.get(new["metadata"]["uid"])
        if worker is not None:
            if _lasting(worker.pod) != _lasting(new):
                self._remember(new, worker.address)
            worker.update(new)
            return
        if (new.get("status") or {}).get("phase") in ("Succeeded", "Failed") and not new["metadata"].get(
            "deletionTimestamp"
        ):
            return  # ran to its end before; nothing of it is left here
        self._take_in(new)

    def _take_in(self, pod: Object) -> None:
        """Give a pod an address and a worker; without an address it waits until another pod is gone."""
        metadata = pod["metadata"]
        # What only has to go away needs no address of its own.
        of_host = bool(pod["spec"].get("hostNetwork") or metadata.get("deletionTimestamp"))
        try:
            taken = [worker.address for worker in self.workers.values()]
            address = free_address(None if of_host else self._network, taken, self._shared.address)
        except OSError as exc:
            self._homeless[metadata["uid"]] = pod
            self._shared.events.event(pod, "Warning", "FailedCreatePodSandBox", str(exc))
            _log.error("%s: %s", metadata["name"], exc)
            return
        self._homeless.pop(metadata["uid"], None)
        self._remember(pod, address)
        self._add(pod, address)

    def _remember(self, pod: Object, address: str) -> None:
        directory = self._directory / pod["metadata"]["uid"]
        directory.mkdir(mode=0o700, exist_ok=True)
        metadata = {key: value for key, value in pod["metadata"].items() if key != "managedFields"}
        write_private(directory / "pod.json", {"pod": {**pod, "metadata": metadata}, "address": address})

    def _add(self, pod: Object, address: str) -> None:
        uid = pod["metadata"]["uid"]
        directory = self._directory / uid
        resources = PodResources(
            self._shared.client,
            lambda: self._services.items() if self._services.synced else None,
            directory / "resources.json",
        )
        worker = self.workers[uid] = PodWorker(self._shared, pod, directory, address, resources)
        assert self._group is not None  # noqa: S101 - pods come only while running
        self._group.create_task(self._work(uid, worker), name=f"pod-{pod['metadata']['name']}")

    async def _work(self, uid: str, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:  # noqa: BLE001 - one pod's fault must not stop the others
            _log.exception("worker of pod %s failed", worker.pod["metadata"]["name"])
        if worker.finished.is_set():
            self.workers.pop(uid, None)
            if waiting := next(iter(self._homeless.values()), None):
                self._take_in(waiting)

    def _promised(self, uid: str) -> dict[str, float]:
        total: dict[str, float] = {}
        for worker in self.workers.values():
            ended = worker.stopped or worker.status.get("phase") in ("Succeeded", "Failed")
            if worker.uid == uid or ended:
                continue
            for name, amount in worker.resizing.promised().items():
                total[name] = total.get(name, 0.0) + amount
        return total

    def _reconsider(self) -> None:
        for worker in self.workers.values():
            worker.reconsider()

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod that has the name now; a namesake that is going comes second."""
        found = [
            w
            for w in self.workers.values()
            if (w.pod["metadata"]["namespace"], w.pod["metadata"]["name"]) == (namespace, name)
        ]
        return min(found, key=lambda w: w.gone) if found else None

    async def _publish(self, key: tuple[str, str]) -> None:
        worker = self.worker(*key)
        if worker is None or worker.gone or not worker.status:
            return
        namespace, name = key
        metadata = worker.pod["metadata"]
        known = worker.pod.get("status") or {}
        client = self._shared.client
        try:
            annotations = _annotations(worker)
            changed = any(known.get(field) != value for field, value in worker.status.items())
            if changed or not annotations.items() <= (metadata.get("annotations") or {}).items():
                # One write, through the subresource: nodes may not touch pods otherwise.
                patch = {"metadata": {"uid": metadata["uid"], "annotations": annotations}, "status": worker.status}
                await client.patch(PODS, name, patch, namespace, patch_type="merge", subresource="status")
            if worker.stopped and metadata.get("deletionTimestamp"):
                await client.delete(PODS, name, namespace, grace_period_seconds=0, uid=metadata["uid"])
        except ApiError as exc:
            if exc.code == 404 or (exc.code == 409 and metadata["uid"] not in str(self.pods.get(name, namespace))):
                return  # gone, which the informer tells or has told
            raise


def _annotations(worker: PodWorker) -> dict[str, str]:
    """Which runtime a pod has, and what holds its limits where groups do not."""
    result = {"embedded.kubernetes.local/runtime": "simulated" if worker.simulated else "process"}
    if any(container.enforced_by == "rlimit" for container in worker.containers):
        result["embedded.kubernetes.local/limits"] = "rlimit"
    return result


def _lasting(pod: Object) -> object:
    """What a restart of the kubelet must find again."""
    metadata = pod["metadata"]
    status = pod.get("status") or {}
    return pod["spec"], metadata.get("labels"), metadata.get("deletionTimestamp"), status.get("phase")
