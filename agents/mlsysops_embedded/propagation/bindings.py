"""Turns bindings into Works, one a cluster, and gathers what the clusters report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import condition, set_condition
from mlsysops_embedded.client.resources import (
    CLUSTER_OVERRIDE_POLICIES,
    CLUSTER_RESOURCE_BINDINGS,
    CLUSTERS,
    OVERRIDE_POLICIES,
    RESOURCE_BINDINGS,
    WORKS,
)
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.propagation import names
from mlsysops_embedded.propagation.manifests import make_manifest
from mlsysops_embedded.propagation.selection import assign_replicas, match_rank, target_clusters
from mlsysops_embedded.propagation.summaries import template_status
from mlsysops_embedded.propagation.works import put_work

if TYPE_CHECKING:
    from mlsysops_embedded.client import InformerFactory, Object, Resource
    from mlsysops_embedded.propagation.templates import Templates

__all__ = ["Binder", "aggregate"]

_log = logging.getLogger(__name__)


def aggregate(works: list[Object]) -> list[Object]:
    """``aggregatedStatus`` of a binding from its Works, by cluster name."""
    result = []
    for work in works:
        status = work.get("status") or {}
        applied = condition(status.get("conditions"), "Applied") or {}
        item: Object = {
            "clusterName": names.cluster_of(work["metadata"]["namespace"]),
            "applied": applied.get("status") == "True",
            "health": "Unknown",
        }
        if applied.get("status") == "False" and applied.get("message"):
            item["appliedMessage"] = applied["message"]
        for reported in status.get("manifestStatuses") or ():
            if reported.get("status") is not None:
                item["status"] = reported["status"]
            item["health"] = reported.get("health") or "Unknown"
        result.append(item)
    return sorted(result, key=lambda item: str(item["clusterName"]))


def _items(binding: Object, works: list[Object]) -> list[Object]:
    """What is reported by the clusters that a binding is for."""
    targets = {entry["name"] for entry in binding["spec"].get("clusters") or ()}
    return [item for item in aggregate(works) if item["clusterName"] in targets]


def _is_suspended(binding: Object, cluster: str) -> bool:
    """Whether changes of a binding are held back from a cluster (policy/v1alpha1, ``Suspension``)."""
    suspension = binding["spec"].get("suspension") or {}
    clusters = (suspension.get("dispatchingOnClusters") or {}).get("clusterNames") or ()
    return bool(suspension.get("dispatching")) or cluster in clusters


class Binder:
    """Reconciles ResourceBindings and ClusterResourceBindings (the latter with an empty namespace in their key).

    Args:
        informers: Shared informers of the control plane.
        templates: The detector's.
    """

    def __init__(self, informers: InformerFactory, templates: Templates) -> None:
        self._client = informers.client
        self._templates = templates
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._bindings = informers.informer(RESOURCE_BINDINGS)
        self._cluster_bindings = informers.informer(CLUSTER_RESOURCE_BINDINGS)
        self._clusters = informers.informer(CLUSTERS)
        self._works = informers.informer(WORKS)
        self._overrides = informers.informer(OVERRIDE_POLICIES)
        self._cluster_overrides = informers.informer(CLUSTER_OVERRIDE_POLICIES)
        self._synced = informers.synced
        self._works.add_index("binding", self._binding_ids)
        self._works.add_index("name", lambda work: ["/".join(key) for key in [self._binding_key(work)] if key])
        for informer in (self._bindings, self._cluster_bindings):
            informer.add_handler(lambda new, old: self._queue.add(key_of(new or old or {})))
        self._clusters.add_handler(self._cluster_changed)
        self._works.add_handler(self._work_changed)
        for informer in (self._overrides, self._cluster_overrides):
            informer.add_handler(self._override_changed)

    @staticmethod
    def _binding_ids(work: Object) -> list[str]:
        labels = work["metadata"].get("labels") or {}
        return [v for label in (names.BINDING_ID, names.CLUSTER_BINDING_ID) if (v := labels.get(label))]

    def _all(self) -> None:
        for informer in (self._bindings, self._cluster_bindings):
            for binding in informer.items():
                self._queue.add(key_of(binding))

    def _cluster_changed(self, new: Object | None, old: Object | None) -> None:
        def facts(cluster: Object | None) -> object:
            metadata = (cluster or {}).get("metadata") or {}
            spec = (cluster or {}).get("spec") or {}
            selected = [spec.get(field) for field in ("taints", "provider", "region", "zone", "zones")]
            return metadata.get("labels"), metadata.get("deletionTimestamp"), selected

        if new is None or old is None or facts(new) != facts(old):
            self._all()

    def _override_changed(self, new: Object | None, old: Object | None) -> None:
        if new is None or old is None or new["spec"] != old["spec"]:
            self._all()

    @staticmethod
    def _binding_key(work: Object) -> tuple[str, str] | None:
        """Namespace and name of the binding that a Work names."""
        annotations = work["metadata"].get("annotations") or {}
        if name := annotations.get(names.BINDING_NAME):
            return annotations.get(names.BINDING_NAMESPACE) or "", name
        name = annotations.get(names.CLUSTER_BINDING_NAME)
        return ("", name) if name else None

    def _work_changed(self, new: Object | None, old: Object | None) -> None:
        if key := self._binding_key(new or old or {}):
            self._queue.add(key)

    def template_changed(self, template: Object) -> None:
        """A template changed: its binding's Works may have to."""
        metadata = template["metadata"]
        name = names.binding_name(template["kind"], metadata["name"])
        self._queue.add((metadata.get("namespace") or "", name))

    async def run(self) -> None:
        """Reconcile for ever."""
        await self._synced(
            self._bindings,
            self._cluster_bindings,
            self._clusters,
            self._works,
            self._overrides,
            self._cluster_overrides,
        )
        await process(self._queue, self._reconcile, _log, workers=4)

    async def _reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        resource = RESOURCE_BINDINGS if namespace else CLUSTER_RESOURCE_BINDINGS
        informer = self._bindings if namespace else self._cluster_bindings
        binding = informer.get(name, namespace)
        if binding is None:
            await self._sweep(resource, key)
            return
        marker = names.BINDING_ID if namespace else names.CLUSTER_BINDING_ID
        identity = (binding["metadata"].get("labels") or {}).get(marker)
        works = self._works.by_index("binding", identity) if identity else []
        if binding["metadata"].get("deletionTimestamp"):
            await self._finish(resource, binding, works)
            return
        wanted = binding["spec"]["resource"]
        template = self._templates.get(
            wanted["apiVersion"], wanted["kind"], wanted["name"], wanted.get("namespace") or ""
        )
        if template is None or template["metadata"].get("deletionTimestamp") or not identity:
            return
        binding = await self._schedule(resource, binding)
        fault = await self._write_works(binding, template, works, marker)
        await self._write_status(resource, binding, works, fault)
        await self._write_template_status(binding, template, works)

    async def _sweep(self, resource: Resource, key: tuple[str, str]) -> None:
        """Remove Works that outlived their binding, whatever killed who should have removed them."""
        works = [w for w in self._works.by_index("name", "/".join(key)) if not w["metadata"].get("deletionTimestamp")]
        if not works:
            return
        try:
            await self._client.get(resource, key[1], key[0] or None)
        except ApiError as exc:
            if exc.code != 404:
                raise
            for work in works:
                await self._delete_work(work)

    async def _finish(self, resource: Resource, binding: Object, works: list[Object]) -> None:
        """The binding goes: its Works first."""
        for work in works:
            await self._delete_work(work)
        metadata = binding["metadata"]
        own = {names.BINDING_FINALIZER, names.CLUSTER_BINDING_FINALIZER}
        finalizers = [f for f in metadata.get("finalizers") or () if f not in own]
        if len(finalizers) != len(metadata.get("finalizers") or ()):
            precise = {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers or None}
            await self._client.patch(
                resource, metadata["name"], {"metadata": precise}, metadata.get("namespace"), patch_type="merge"
            )

    async def _delete_work(self, work: Object) -> None:
        metadata = work["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        try:
            await self._client.delete(WORKS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except ApiError as exc:
            if exc.code != 404:
                raise

    async def _schedule(self, resource: Resource, binding: Object) -> Object:
        """Choose clusters anew; those a template is on already stay where the placement still allows them."""
        spec = binding["spec"]
        present = [entry["name"] for entry in spec.get("clusters") or ()]
        targets = target_clusters(spec.get("placement"), self._clusters.items(), present)
        assigned = assign_replicas(spec.get("placement"), targets, spec.get("replicas"))
        if assigned == (spec.get("clusters") or []):
            return binding
        metadata = binding["metadata"]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"clusters": assigned}}
        return await self._client.patch(
            resource, metadata["name"], patch, metadata.get("namespace"), patch_type="merge"
        )

    def _overrides_for(self, template: Object) -> list[Object]:
        """Override policies in the order in which they apply: cluster-wide first, broad before narrow."""
        namespace = template["metadata"].get("namespace")
        ordered = []
        for policies in (self._cluster_overrides.items(), self._overrides.items(namespace) if namespace else []):
            ranked = [
                (match_rank(p["spec"].get("resourceSelectors") or (), template), p["metadata"]["name"], p)
                for p in policies
            ]
            ordered += [entry[2] for entry in sorted(ranked, key=lambda entry: entry[:2])]
        return ordered

    async def _write_works(self, binding: Object, template: Object, works: list[Object], marker: str) -> str:
        """Make the Works fit; what went wrong, or nothing."""
        spec = binding["spec"]
        kind, own = template["kind"], template["metadata"]
        name = names.work_name(kind, own["name"], own.get("namespace") or "")
        known = {work["metadata"]["namespace"]: work for work in works}
        overrides = self._overrides_for(template)
        fault = ""
        for target in spec.get("clusters") or ():
            cluster = self._clusters.get(target["name"])
            namespace = names.execution_namespace(target["name"])
            if cluster is None:
                continue
            try:
                conflict = spec.get("conflictResolution") or "Abort"
                manifest = make_manifest(
                    template, cluster, target.get("replicas"), overrides, (namespace, name), conflict
                )
            except ValueError as exc:
                fault = str(exc)
                known.pop(namespace, None)
                continue
            wanted = self._work(binding, manifest, namespace, name, marker)
            # A binding that is deleted next must find this Work: one that it overlooked would stay for ever.
            await self._works.caught_up(await put_work(self._client, known.pop(namespace, None), wanted))
        for namespace, work in known.items():
            cluster = self._clusters.get(names.cluster_of(namespace))
            if cluster is not None and cluster["metadata"].get("deletionTimestamp"):
                continue  # leaving takes nothing away from the cluster that leaves
            await self._delete_work(work)
        return fault

    @staticmethod
    def _work(binding: Object, manifest: Object, namespace: str, name: str, marker: str) -> Object:
        metadata = binding["metadata"]
        if metadata.get("namespace"):
            annotations = {names.BINDING_NAMESPACE: metadata["namespace"], names.BINDING_NAME: metadata["name"]}
        else:
            annotations = {names.CLUSTER_BINDING_NAME: metadata["name"]}
        return {
            "apiVersion": WORKS.api_version,
            "kind": WORKS.kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {marker: metadata["labels"][marker]},
                "annotations": annotations,
                "finalizers": [names.WORK_FINALIZER],
            },
            "spec": {
                "workload": {"manifests": [manifest]},
                "preserveResourcesOnDeletion": bool(binding["spec"].get("preserveResourcesOnDeletion")),
                "suspendDispatching": _is_suspended(binding, names.cluster_of(namespace)),
            },
        }

    async def _write_template_status(self, binding: Object, template: Object, works: list[Object]) -> None:
        """Sum up what the clusters report in the template's own status: here no controller of workloads does."""
        status = template_status(template, _items(binding, works))
        resource = self._templates.resource(template["apiVersion"], template["kind"])
        before = template.get("status") or {}
        # Zeros are left out where they are stored.
        if status is None or resource is None or all((before.get(f) or 0) == value for f, value in status.items()):
            return
        metadata = template["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        await self._client.patch(
            resource, metadata["name"], patch, metadata.get("namespace"), patch_type="merge", subresource="status"
        )

    async def _write_status(self, resource: Resource, binding: Object, works: list[Object], fault: str) -> None:
        before = binding.get("status") or {}
        targets = [entry["name"] for entry in binding["spec"].get("clusters") or ()]
        items = _items(binding, works)
        conditions = before.get("conditions")
        if targets:
            text = "Binding has been scheduled successfully."
            conditions = set_condition(conditions, "Scheduled", "True", "Success", text)
        else:
            total = len(self._clusters.items())
            text = f"0/{total} clusters are available: {total} cluster(s) did not match the placement."
            conditions = set_condition(conditions, "Scheduled", "False", "NoClusterFit", text)
        if targets and len(items) == len(targets) and all(item["applied"] for item in items):
            text = "All works have been successfully applied"
            conditions = set_condition(conditions, "FullyApplied", "True", "FullyAppliedSuccess", text)
        else:
            text = fault or "Failed to apply all works, see status.aggregatedStatus for details"
            conditions = set_condition(conditions, "FullyApplied", "False", "FullyAppliedFailed", text)
        status = {
            "conditions": conditions,
            "aggregatedStatus": items,
            "schedulerObservedGeneration": binding["metadata"].get("generation"),
        }
        if status != {field: before.get(field) for field in status}:
            metadata = binding["metadata"]
            patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
            await self._client.patch(
                resource,
                metadata["name"],
                patch,
                metadata.get("namespace"),
                patch_type="merge",
                subresource="status",
            )
