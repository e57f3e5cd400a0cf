"""EndpointSlices and Endpoints: which pods stand behind each Service."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import matches, owner_reference, safe_hash
from mlsysops_embedded.client.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from mlsysops_embedded.controllers.context import Context, pod_ready
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object, Resource

__all__ = ["endpoint_of", "resolve_ports", "run"]

_log = logging.getLogger(__name__)
_SERVICE = "kubernetes.io/service-name"
_MANAGER = "endpointslice-controller.k8s.io"
_PER_SLICE = 100


def resolve_ports(service: Object, pod: Object) -> list[Object]:
    """The endpoint ports of a service on a pod, named target ports looked up in its containers."""
    ports = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        protocol = port.get("protocol") or "TCP"
        if isinstance(target, str) and not target.isdigit():
            target = next(
                (
                    p["containerPort"]
                    for container in pod["spec"]["containers"]
                    for p in container.get("ports") or ()
                    if p.get("name") == target and (p.get("protocol") or "TCP") == protocol
                ),
                None,
            )
        if target:
            ports.append({"name": port.get("name") or "", "port": int(target), "protocol": protocol})
    return ports


def endpoint_of(pod: Object, *, publish_not_ready: bool) -> Object:
    """One endpoint of a slice for a pod that has an address."""
    ready = pod_ready(pod) is not None
    terminating = bool(pod["metadata"].get("deletionTimestamp"))
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publish_not_ready or (ready and not terminating),
            "serving": ready,
            "terminating": terminating,
        },
        "nodeName": pod["spec"].get("nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        },
    }


def _label_values(namespace: str, labels: Object) -> list[str]:
    return [f"{namespace}/{key}={value}" for key, value in labels.items()]


class _Controller:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.services = context.informers.informer(SERVICES)
        self.pods = context.informers.informer(PODS)
        self.pods.add_index(
            "label", lambda pod: _label_values(pod["metadata"]["namespace"], pod["metadata"].get("labels") or {})
        )
        self.slices = context.informers.informer(ENDPOINT_SLICES)
        self.endpoints = context.informers.informer(ENDPOINTS)
        self.slices.add_index(
            "service", lambda s: [f"{s['metadata']['namespace']}/{(s['metadata'].get('labels') or {}).get(_SERVICE)}"]
        )
        self.services.add_handler(lambda new, old: self.queue.add(key_of(new or old or {})))
        self.slices.add_handler(self._slice_changed)
        self.pods.add_handler(self._pod_changed)

    def _slice_changed(self, new: Object | None, old: Object | None) -> None:
        for obj in (new, old):
            if obj and (name := (obj["metadata"].get("labels") or {}).get(_SERVICE)):
                self.queue.add((obj["metadata"]["namespace"], name))

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        pod = new or old or {}
        if (
            new
            and old
            and new["metadata"].get("labels") == old["metadata"].get("labels")
            and _facts(new) == _facts(old)
        ):
            return
        for service in self.services.items(pod["metadata"]["namespace"]):
            selector = service["spec"].get("selector")
            if selector and any(matches(selector, p["metadata"].get("labels")) for p in (new, old) if p):
                self.queue.add(key_of(service))

    async def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        service = self.services.get(name, namespace)
        present = {s["metadata"]["name"]: s for s in self.slices.by_index("service", f"{namespace}/{name}")}
        ours = {n: s for n, s in present.items() if _managed(s)}
        wanted: dict[str, Object] = {}
        selected: list[tuple[Object, list[Object]]] = []
        if service and not service["metadata"].get("deletionTimestamp") and service["spec"].get("selector"):
            if service["spec"].get("type") == "ExternalName":
                return
            selected = self._selected(service)
            wanted = self._wanted(service, selected)
        for slice_name, obj in wanted.items():
            known = ours.pop(slice_name, None)
            if known is None:
                await self.client.create(ENDPOINT_SLICES, obj, namespace)
            elif any(known.get(field) != obj[field] for field in ("endpoints", "ports")):
                version = known["metadata"]["resourceVersion"]
                obj["metadata"]["resourceVersion"] = version
                await self.client.update(ENDPOINT_SLICES, obj, namespace)
        for slice_name in ours:
            await self._delete(ENDPOINT_SLICES, slice_name, namespace)
        if service is not None and service["spec"].get("selector"):
            await self._write_endpoints(service, selected)
        elif service is None and (old := self.endpoints.get(name, namespace)) and _managed(old):
            await self._delete(ENDPOINTS, name, namespace)

    async def _delete(self, resource: Resource, name: str, namespace: str) -> None:
        try:
            await self.client.delete(resource, name, namespace)
        except ApiError as exc:
            if exc.code != 404:
                raise

    def _selected(self, service: Object) -> list[tuple[Object, list[Object]]]:
        selector = service["spec"]["selector"]
        found = []
        for pod in self.pods.by_index("label", _label_values(service["metadata"]["namespace"], selector)[0]):
            status = pod.get("status") or {}
            if not status.get("podIP") or status.get("phase") in ("Succeeded", "Failed"):
                continue
            if matches(selector, pod["metadata"].get("labels")):
                found.append((pod, resolve_ports(service, pod)))
        return sorted(found, key=lambda entry: entry[0]["metadata"]["name"])

    def _wanted(self, service: Object, selected: list[tuple[Object, list[Object]]]) -> dict[str, Object]:
        metadata = service["metadata"]
        publish = bool(service["spec"].get("publishNotReadyAddresses"))
        groups: dict[str, tuple[list[Object], list[Object]]] = {}
        for pod, ports in selected:
            groups.setdefault(safe_hash(ports), (ports, []))[1].append(endpoint_of(pod, publish_not_ready=publish))
        if not groups:
            ports = resolve_ports(service, {"spec": {"containers": []}})
            groups[safe_hash(ports)] = (ports, [])
        wanted = {}
        for digest, (ports, endpoints) in groups.items():
            for start in range(0, max(1, len(endpoints)), _PER_SLICE):
                name = f"{metadata['name']}-{safe_hash([digest, start])[:5]}"
                labels = {**(metadata.get("labels") or {}), _SERVICE: metadata["name"]}
                wanted[name] = {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": name,
                        "namespace": metadata["namespace"],
                        "labels": {**labels, "endpointslice.kubernetes.io/managed-by": _MANAGER},
                        "ownerReferences": [owner_reference(service)],
                    },
                    "addressType": "IPv4",
                    "endpoints": endpoints[start : start + _PER_SLICE],
                    "ports": ports,
                }
        return wanted

    async def _write_endpoints(self, service: Object, selected: list[tuple[Object, list[Object]]]) -> None:
        metadata = service["metadata"]
        publish = bool(service["spec"].get("publishNotReadyAddresses"))
        groups: dict[str, Object] = {}
        for pod, ports in selected[:1000]:
            endpoint = endpoint_of(pod, publish_not_ready=publish)
            if endpoint["conditions"]["terminating"] or not ports:
                continue
            subset = groups.setdefault(safe_hash(ports), {"ports": [{k: v for k, v in p.items() if v} for p in ports]})
            field = "addresses" if endpoint["conditions"]["ready"] else "notReadyAddresses"
            address = {"ip": endpoint["addresses"][0], "targetRef": endpoint["targetRef"]}
            subset.setdefault(field, []).append({**address, "nodeName": endpoint["nodeName"]})
        known = self.endpoints.get(metadata["name"], metadata["namespace"])
        subsets = list(groups.values())
        if known is not None and (known.get("subsets") or []) == subsets:
            return
        obj: Object = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "labels": {
                    **(metadata.get("labels") or {}),
                    "endpointslice.kubernetes.io/managed-by": _MANAGER,
                    # The mirroring of hand-made Endpoints into slices must leave this one alone.
                    "endpointslice.kubernetes.io/skip-mirror": "true",
                },
                "ownerReferences": [owner_reference(service)],
            },
            "subsets": subsets,
        }
        if known is None:
            await self.client.create(ENDPOINTS, obj, metadata["namespace"])
        else:
            obj["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
            await self.client.update(ENDPOINTS, obj, metadata["namespace"])


def _managed(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get("endpointslice.kubernetes.io/managed-by") == _MANAGER


def _facts(pod: Object) -> tuple[object, ...]:
    status = pod.get("status") or {}
    deleting = bool(pod["metadata"].get("deletionTimestamp"))
    return status.get("podIP"), status.get("phase"), pod_ready(pod) is not None, deleting


async def run(context: Context) -> None:
    """Reconcile Services into EndpointSlices for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.services, controller.pods, controller.slices, controller.endpoints)
    await process(controller.queue, controller.reconcile, _log, workers=context.settings.workers)
