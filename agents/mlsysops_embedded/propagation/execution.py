"""Carries out Works in a member: applies manifests, mends drift, reports status, and deletes only what its Work says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client import Informer, WorkQueue, key_of, process
from mlsysops_embedded.client.objects import condition_true, safe_hash, set_condition
from mlsysops_embedded.client.resources import WORKS
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.propagation import names
from mlsysops_embedded.propagation.summaries import reflected_status
from mlsysops_embedded.propagation.templates import Kinds
from mlsysops_embedded.propagation.works import release_work

if TYPE_CHECKING:
    import asyncio

    from mlsysops_embedded.client import Client, Object, Resource

__all__ = ["Executor", "health_of"]

_log = logging.getLogger(__name__)
_MANAGER = "karmada-agent"


def health_of(obj: Object) -> str:
    """``Healthy`` or ``Unhealthy``, as Karmada's native interpreter says of its kinds; of all others it knows no ill.

    Source: Karmada, ``pkg/resourceinterpreter/default/native/healthy.go`` and ``work_status_controller.go``.
    """
    status = obj.get("status") or {}
    if obj["kind"] in ("Deployment", "ReplicaSet", "StatefulSet"):
        wanted = (obj.get("spec") or {}).get("replicas", 1)
        well = int(status.get("availableReplicas") or 0) >= wanted
    elif obj["kind"] == "DaemonSet":
        counts = [
            int(status.get(f) or 0) for f in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
        ]
        well = counts[1] >= counts[0] and counts[2] >= counts[1]
    elif obj["kind"] == "Pod":
        well = status.get("phase") == "Succeeded" or (status.get("phase") == "Running" and condition_true(obj, "Ready"))
    else:
        well = True
    return "Healthy" if well else "Unhealthy"


def _fingerprint(obj: Object) -> str:
    """What drift would change: everything but status and bookkeeping."""
    metadata = {key: obj["metadata"].get(key) or None for key in ("labels", "annotations", "uid")}
    return safe_hash([metadata, {key: v for key, v in obj.items() if key not in ("status", "metadata")}])


class Executor:
    """Reconciles the Works of one cluster.

    Args:
        member: API of the member.
        upstream: API of the control plane above.
        cluster: Name of the member there.
        group: Task group for informers of the kinds that Works hold.
    """

    def __init__(self, member: Client, upstream: Client, cluster: str, group: asyncio.TaskGroup) -> None:
        self._member = member
        self._upstream = upstream
        self._group = group
        self._kinds = Kinds(member)
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._works = Informer(upstream, WORKS, names.execution_namespace(cluster))
        self._followed: dict[Resource, Informer] = {}
        self._applied: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        self._failed: set[tuple[str, str]] = set()
        self._works.add_handler(lambda new, old: self._queue.add(key_of(new or old or {})))

    async def run(self) -> None:
        """Carry out Works for ever; with the link down, what was carried out stays and drift is still mended."""
        self._group.create_task(self._works.run())
        await self._works.wait_synced()
        await process(self._queue, self._reconcile, _log, workers=4)

    def _follow(self, resource: Resource) -> Informer:
        """Watch what is managed of a kind: its status goes up, its drift is mended."""
        if resource not in self._followed:
            informer = Informer(self._member, resource, label_selector=f"{names.MANAGED}=true")
            informer.add_handler(self._object_changed)
            self._followed[resource] = informer
            self._group.create_task(informer.run(), name=f"member-{resource.plural}")
        return self._followed[resource]

    def _object_changed(self, new: Object | None, old: Object | None) -> None:
        for obj in (new, old):
            annotations = ((obj or {}).get("metadata") or {}).get("annotations") or {}
            if names.WORK_NAME in annotations:
                self._queue.add((annotations.get(names.WORK_NAMESPACE) or "", annotations[names.WORK_NAME]))

    async def _resource(self, manifest: Object) -> Resource:
        resource = await self._kinds.find(manifest["apiVersion"], manifest["kind"])
        if resource is None:
            self._kinds.forget()
            text = f'no matches for kind "{manifest["kind"]}" in version "{manifest["apiVersion"]}"'
            raise ApiError.of(404, "NotFound", text)
        return resource

    async def _reconcile(self, key: tuple[str, str]) -> None:
        work = self._works.get(key[1], key[0])
        if work is None:
            # Gone without a word about its objects: they stay, as the cluster may just have left the federation.
            self._applied.pop(key, None)
            self._failed.discard(key)
            return
        if work["metadata"].get("deletionTimestamp"):
            await self._undo(key, work)
            return
        if work["spec"].get("suspendDispatching"):
            return
        reports: list[Object] = []
        fault: ApiError | None = None
        for ordinal, manifest in enumerate((work["spec"].get("workload") or {}).get("manifests") or ()):
            try:
                resource = await self._resource(manifest)
                live = await self._ensure(key, resource, manifest)
                reports.append(_report(ordinal, resource, manifest, live))
            except ApiError as exc:
                fault = exc
        await self._write_status(work, reports, fault)
        if fault is not None:
            self._failed.add(key)
            raise fault
        if key in self._failed:
            self._failed.discard(key)
        kinds = {manifest["kind"] for manifest in work["spec"]["workload"]["manifests"]}
        if kinds & {"Namespace", "CustomResourceDefinition"}:
            # What others waited for may exist now.
            for waiting in self._failed:
                self._queue.add_after(waiting, 0.2)

    async def _ensure(self, key: tuple[str, str], resource: Resource, manifest: Object) -> Object:
        """The live object, applied where the manifest is new or the object drifted."""
        metadata = manifest["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace")
        informer = self._follow(resource)
        live = informer.get(name, namespace) if informer.synced else None
        wanted = safe_hash(manifest)
        applied = self._applied.setdefault(key, {})
        identity = f"{resource.plural}.{resource.group}/{namespace or ''}/{name}"
        if live is not None and applied.get(identity) == (wanted, _fingerprint(live)):
            return live
        try:
            live = await self._member.get(resource, name, namespace)
        except ApiError as exc:
            if exc.code != 404:
                raise
            live = None
        if live is not None:
            live.setdefault("kind", manifest["kind"])
            self._check_owner(live, metadata)
            if live["metadata"].get("deletionTimestamp"):
                raise ApiError.conflict(resource.plural, name, "it is being deleted", resource.group)
        written = await self._member.patch(
            resource, name, manifest, namespace, patch_type="apply", field_manager=_MANAGER, force=True
        )
        if live is None:
            _log.info("created %s %s/%s", resource.plural, namespace or "", name)
        written = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **written}
        applied[identity] = (wanted, _fingerprint(written))
        return written

    @staticmethod
    def _check_owner(live: Object, wanted: Object) -> None:
        """Leave alone what somebody else made, unless the policy says to overwrite."""
        annotations = live["metadata"].get("annotations") or {}
        want = wanted["annotations"]
        own = all(annotations.get(k) == want[k] for k in (names.WORK_NAMESPACE, names.WORK_NAME))
        managed = (live["metadata"].get("labels") or {}).get(names.MANAGED) == "true"
        if not (own and managed) and want.get(names.CONFLICT) != "overwrite":
            text = (
                f"resource({live['kind']}={live['metadata'].get('namespace', '')}/{live['metadata']['name']}) already "
                "exists in the cluster and is not managed by this Work; the conflict resolution is Abort"
            )
            raise ApiError.of(409, "AlreadyExists", text)

    async def _undo(self, key: tuple[str, str], work: Object) -> None:
        """The Work is deleted: so are its objects, and the Work may go when they are gone."""
        waiting = False
        for manifest in (work["spec"].get("workload") or {}).get("manifests") or ():
            metadata = manifest["metadata"]
            resource = await self._kinds.find(manifest["apiVersion"], manifest["kind"])
            if resource is None:
                continue
            try:
                live = await self._member.get(resource, metadata["name"], metadata.get("namespace"))
            except ApiError as exc:
                if exc.code == 404:
                    continue
                raise
            annotations = live["metadata"].get("annotations") or {}
            if (annotations.get(names.WORK_NAMESPACE), annotations.get(names.WORK_NAME)) != key:
                continue  # never ours, or taken over meanwhile
            if work["spec"].get("preserveResourcesOnDeletion"):
                await self._disown(resource, live)
                continue
            self._follow(resource)
            if not live["metadata"].get("deletionTimestamp"):
                await self._member.delete(
                    resource, metadata["name"], metadata.get("namespace"), uid=live["metadata"]["uid"]
                )
                _log.info("deleted %s %s/%s", resource.plural, metadata.get("namespace") or "", metadata["name"])
            if await self._exists(resource, live):
                waiting = True
        if not waiting:
            await release_work(self._upstream, work, names.WORK_FINALIZER)

    async def _exists(self, resource: Resource, obj: Object) -> bool:
        metadata = obj["metadata"]
        try:
            live = await self._member.get(resource, metadata["name"], metadata.get("namespace"))
        except ApiError as exc:
            if exc.code == 404:
                return False
            raise
        return bool(live["metadata"]["uid"] == metadata["uid"])

    async def _disown(self, resource: Resource, obj: Object) -> None:
        metadata = obj["metadata"]
        marks = (names.WORK_NAMESPACE, names.WORK_NAME, names.TEMPLATE_UID, names.TEMPLATE_GENERATION, names.CONFLICT)
        patch: dict[str, Any] = {
            "metadata": {"labels": {names.MANAGED: None}, "annotations": dict.fromkeys(marks)},
        }
        await self._member.patch(resource, metadata["name"], patch, metadata.get("namespace"), patch_type="merge")

    async def _write_status(self, work: Object, reports: list[Object], fault: ApiError | None) -> None:
        before = work.get("status") or {}
        if fault is None:
            text = "Manifest has been successfully applied"
            conditions = set_condition(before.get("conditions"), "Applied", "True", "AppliedSuccessful", text)
        else:
            text = f"Failed to apply all manifests: {fault.message}"
            conditions = set_condition(before.get("conditions"), "Applied", "False", "AppliedFailed", text)
        status = {"conditions": conditions, "manifestStatuses": reports}
        if fault is not None and not reports:
            status["manifestStatuses"] = before.get("manifestStatuses") or []
        if status == {field: before.get(field) or [] for field in status}:
            return
        metadata = work["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        await self._upstream.patch(
            WORKS, metadata["name"], patch, metadata["namespace"], patch_type="merge", subresource="status"
        )


def _report(ordinal: int, resource: Resource, manifest: Object, live: Object) -> Object:
    metadata = manifest["metadata"]
    identifier = {
        "ordinal": ordinal,
        "group": resource.group,
        "version": resource.version,
        "kind": resource.kind,
        "resource": resource.plural,
        "namespace": metadata.get("namespace") or "",
        "name": metadata["name"],
    }
    report = {"identifier": identifier, "health": health_of({**live, "kind": manifest["kind"]})}
    if (
        status := reflected_status({**live, "apiVersion": manifest["apiVersion"], "kind": manifest["kind"]})
    ) is not None:
        report["status"] = status
    return report
