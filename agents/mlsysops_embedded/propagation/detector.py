"""Binds templates to policies: marks each with the policy that claims it and keeps its ResourceBinding."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, process
from mlsysops_embedded.client.objects import owner_reference
from mlsysops_embedded.client.resources import (
    CLUSTER_POLICIES,
    CLUSTER_RESOURCE_BINDINGS,
    POLICIES,
    RESOURCE_BINDINGS,
)
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.propagation import names
from mlsysops_embedded.propagation.selection import choose_policy
from mlsysops_embedded.propagation.templates import Templates

if TYPE_CHECKING:
    from mlsysops_embedded.client import InformerFactory, Object, Resource

__all__ = ["Detector"]

_log = logging.getLogger(__name__)

#: Seconds until a binding is looked at again whose template's kind is not followed yet.
_NOT_FOLLOWED_YET = 2.0

#: apiVersion, kind, namespace, name
_Key = tuple[str, str, str, str]


class Detector:
    """Reconciles templates with policies.

    Args:
        informers: Shared informers of the control plane.
    """

    def __init__(self, informers: InformerFactory) -> None:
        self._client = informers.client
        self._queue: WorkQueue[_Key] = WorkQueue()
        self.templates = Templates(informers, self._template_changed)
        self._policies = informers.informer(POLICIES)
        self._cluster_policies = informers.informer(CLUSTER_POLICIES)
        self._bindings = informers.informer(RESOURCE_BINDINGS)
        self._cluster_bindings = informers.informer(CLUSTER_RESOURCE_BINDINGS)
        self._ready = informers.synced
        for informer in (self._policies, self._cluster_policies):
            informer.add_handler(self._policy_changed)
        for informer in (self._bindings, self._cluster_bindings):
            informer.add_handler(self._binding_changed)

    def _template_changed(self, template: Object) -> None:
        metadata = template["metadata"]
        self._queue.add((template["apiVersion"], template["kind"], metadata.get("namespace") or "", metadata["name"]))

    def _policy_changed(self, new: Object | None, old: Object | None) -> None:
        if (
            new
            and old
            and new["spec"] == old["spec"]
            and new["metadata"].get("labels") == old["metadata"].get("labels")
        ):
            return
        kinds = {
            (selector["apiVersion"], selector["kind"])
            for policy in (new, old)
            if policy
            for selector in policy["spec"].get("resourceSelectors") or ()
        }
        namespace = (new or old or {})["metadata"].get("namespace")
        for api_version, kind in kinds:
            self.templates.want(api_version, kind)
            for template in self.templates.items(api_version, kind, namespace):
                self._template_changed(template)

    def _binding_changed(self, new: Object | None, old: Object | None) -> None:
        resource = (new or old or {})["spec"]["resource"]
        self.templates.want(resource["apiVersion"], resource["kind"])
        if new is None or old is None:
            key = (resource["apiVersion"], resource["kind"], resource.get("namespace") or "", resource["name"])
            self._queue.add(key)

    async def run(self) -> None:
        """Reconcile for ever."""
        await self._ready(self._policies, self._cluster_policies, self._bindings, self._cluster_bindings)
        await process(self._queue, self._reconcile, _log, workers=4)

    def _claimed(self, template: Object) -> Object | None:
        labels = template["metadata"].get("labels") or {}
        for label, informer in ((names.POLICY_ID, self._policies), (names.CLUSTER_POLICY_ID, self._cluster_policies)):
            if identity := labels.get(label):
                for policy in informer.items():
                    if (policy["metadata"].get("labels") or {}).get(label) == identity:
                        return policy if not policy["metadata"].get("deletionTimestamp") else None
        return None

    async def _reconcile(self, key: _Key) -> None:
        api_version, kind, namespace, name = key
        template = self.templates.get(api_version, kind, name, namespace)
        resource = self.templates.resource(api_version, kind)
        if template is None:
            await self._abandon(key)
            return
        if resource is None or template["metadata"].get("deletionTimestamp"):
            return  # the garbage collector removes its binding
        if namespace.startswith(("kube-", "karmada-")):
            return
        alive = [p for p in self._policies.items(namespace) if not p["metadata"].get("deletionTimestamp")]
        clusterwide = [p for p in self._cluster_policies.items() if not p["metadata"].get("deletionTimestamp")]
        policy = choose_policy(template, alive if namespace else [], clusterwide, self._claimed(template))
        if policy is None:
            await self._release(resource, template)
            return
        identity = await self._identity(policy)
        await self._claim(resource, template, policy, identity)
        await self._bind(template, policy, identity)

    async def _abandon(self, key: _Key) -> None:
        """The template is gone: so must its binding be, also where the garbage collector does not know the kind yet."""
        api_version, kind, namespace, name = key
        binding_name = names.binding_name(kind, name)
        bindings, known = (
            (RESOURCE_BINDINGS, self._bindings.get(binding_name, namespace))
            if namespace
            else (CLUSTER_RESOURCE_BINDINGS, self._cluster_bindings.get(binding_name))
        )
        if known is None or known["metadata"].get("deletionTimestamp"):
            return
        resource = self.templates.resource(api_version, kind)
        if resource is None or not self.templates.synced(api_version, kind):
            self._queue.add_after(key, _NOT_FOLLOWED_YET)
            return
        metadata = known["metadata"]
        owners = {reference["uid"] for reference in metadata.get("ownerReferences") or ()}
        if known["spec"]["resource"].get("uid") not in owners:
            return  # the template was deleted without what depends on it
        try:
            await self._client.get(resource, name, namespace or None)
        except ApiError as exc:
            if exc.code != 404:
                raise
            await self._client.delete(
                bindings,
                binding_name,
                namespace or None,
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )

    async def _identity(self, policy: Object) -> str:
        """The policy's permanent id, given to it where it has none."""
        metadata = policy["metadata"]
        namespaced = bool(metadata.get("namespace"))
        label = names.POLICY_ID if namespaced else names.CLUSTER_POLICY_ID
        if identity := (metadata.get("labels") or {}).get(label):
            return str(identity)
        identity = str(uuid.uuid4())
        resource, informer = (POLICIES, self._policies) if namespaced else (CLUSTER_POLICIES, self._cluster_policies)
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "labels": {label: identity}}}
        written = await self._client.patch(
            resource, metadata["name"], patch, metadata.get("namespace"), patch_type="merge"
        )
        await informer.caught_up(written)
        return identity

    @staticmethod
    def _marks(policy: Object | None, identity: str) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """Labels and annotations of a claim; None removes those of another."""
        labels: dict[str, str | None] = {names.POLICY_ID: None, names.CLUSTER_POLICY_ID: None}
        annotations: dict[str, str | None] = {
            names.POLICY_NAMESPACE: None,
            names.POLICY_NAME: None,
            names.CLUSTER_POLICY_NAME: None,
        }
        if policy is None:
            return labels, annotations
        metadata = policy["metadata"]
        if metadata.get("namespace"):
            labels[names.POLICY_ID] = identity
            annotations[names.POLICY_NAMESPACE] = metadata["namespace"]
            annotations[names.POLICY_NAME] = metadata["name"]
        else:
            labels[names.CLUSTER_POLICY_ID] = identity
            annotations[names.CLUSTER_POLICY_NAME] = metadata["name"]
        return labels, annotations

    async def _claim(self, resource: Resource, obj: Object, policy: Object | None, identity: str) -> None:
        labels, annotations = self._marks(policy, identity)
        metadata = obj["metadata"]
        present = (metadata.get("labels") or {}, metadata.get("annotations") or {})
        if all(present[0].get(k) == v for k, v in labels.items()) and all(
            present[1].get(k) == v for k, v in annotations.items()
        ):
            return
        patch = {"metadata": {"uid": metadata["uid"], "labels": labels, "annotations": annotations}}
        await self._client.patch(resource, metadata["name"], patch, metadata.get("namespace"), patch_type="merge")

    async def _release(self, resource: Resource, template: Object) -> None:
        """No policy wants it any more. As in Karmada, what was propagated stays until the template goes."""
        labels = template["metadata"].get("labels") or {}
        if names.POLICY_ID not in labels and names.CLUSTER_POLICY_ID not in labels:
            return
        await self._claim(resource, template, None, "")
        _, kind, binding = self._binding(template)
        if binding is not None:
            await self._claim(kind, binding, None, "")

    def _binding(self, template: Object) -> tuple[str, Resource, Object | None]:
        metadata = template["metadata"]
        name = names.binding_name(template["kind"], metadata["name"])
        if metadata.get("namespace"):
            return name, RESOURCE_BINDINGS, self._bindings.get(name, metadata["namespace"])
        return name, CLUSTER_RESOURCE_BINDINGS, self._cluster_bindings.get(name)

    async def _bind(self, template: Object, policy: Object, identity: str) -> None:
        metadata = template["metadata"]
        name, resource, binding = self._binding(template)
        namespaced = bool(metadata.get("namespace"))
        labels, annotations = self._marks(policy, identity)
        wanted = {
            "resource": {
                "apiVersion": template["apiVersion"],
                "kind": template["kind"],
                **({"namespace": metadata["namespace"]} if namespaced else {}),
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "placement": policy["spec"].get("placement") or {},
            "conflictResolution": policy["spec"].get("conflictResolution") or "Abort",
            "preserveResourcesOnDeletion": bool(policy["spec"].get("preserveResourcesOnDeletion")),
            "schedulerName": policy["spec"].get("schedulerName") or "default-scheduler",
            "suspension": policy["spec"].get("suspension") or {},
        }
        replicas = (template.get("spec") or {}).get("replicas") if template["apiVersion"].startswith("apps/") else None
        if replicas is not None:
            wanted["replicas"] = int(replicas)
        if binding is None or binding["metadata"].get("deletionTimestamp"):
            finalizer = names.BINDING_FINALIZER if namespaced else names.CLUSTER_BINDING_FINALIZER
            marker = names.BINDING_ID if namespaced else names.CLUSTER_BINDING_ID
            obj: Object = {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {
                    "name": name,
                    **({"namespace": metadata["namespace"]} if namespaced else {}),
                    "labels": {marker: str(uuid.uuid4()), **{k: v for k, v in labels.items() if v}},
                    "annotations": {k: v for k, v in annotations.items() if v},
                    "ownerReferences": [owner_reference(template)],
                    "finalizers": [finalizer],
                },
                "spec": wanted,
            }
            await self._client.create(resource, obj, metadata.get("namespace"))
            return
        await self._claim(resource, binding, policy, identity)
        if any(binding["spec"].get(field) != value for field, value in wanted.items()):
            live = await self._client.get(resource, name, metadata.get("namespace"))
            live["metadata"]["ownerReferences"] = [owner_reference(template)]
            live["spec"] = {**live["spec"], **wanted}
            await self._client.update(resource, live, metadata.get("namespace"))
