"""Namespaces: what each new one gets, and the emptying of those that are being deleted."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import copy, set_condition
from mlsysops_embedded.client.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object, Resource
    from mlsysops_embedded.controllers.context import Context

__all__ = ["run"]

_log = logging.getLogger(__name__)
_CA = "kube-root-ca.crt"


class _Controller:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.queue: WorkQueue[str] = WorkQueue()
        self.namespaces = context.informers.informer(NAMESPACES)
        self.accounts = context.informers.informer(SERVICE_ACCOUNTS)
        self.config_maps = context.informers.informer(CONFIG_MAPS)
        self.namespaces.add_handler(lambda new, old: self.queue.add(key_of(new or old or {})[1]))
        # A default that somebody deletes comes back.
        self.accounts.add_handler(self._default_changed)
        self.config_maps.add_handler(self._default_changed)

    def _default_changed(self, new: Object | None, old: Object | None) -> None:
        obj = new or old or {}
        if obj["metadata"]["name"] in ("default", _CA) and (new is None or obj["kind"] == "ConfigMap"):
            self.queue.add(obj["metadata"]["namespace"])

    async def reconcile(self, name: str) -> None:
        namespace = self.namespaces.get(name)
        if namespace is None:
            return
        if namespace["metadata"].get("deletionTimestamp"):
            await self._empty(namespace)
        else:
            await self._furnish(name)

    async def _furnish(self, name: str) -> None:
        if self.accounts.get("default", name) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
            await self._create(SERVICE_ACCOUNTS, account, name)
        authority = self.context.settings.root_ca
        if not authority:
            return
        data = {"ca.crt": authority}
        known = self.config_maps.get(_CA, name)
        metadata = {"name": _CA, "namespace": name}
        if known is None:
            wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            await self._create(CONFIG_MAPS, wanted, name)
        elif known.get("data") != data:
            await self.client.update(CONFIG_MAPS, {**known, "data": data})

    async def _create(self, resource: Resource, obj: Object, namespace: str) -> None:
        try:
            await self.client.create(resource, obj, namespace)
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise

    async def _empty(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        resources = [r for r in await self.client.discover() if r.namespaced]
        left: list[str] = []
        finalizers: Counter[str] = Counter()
        for resource in resources:
            count, held = await self._delete_all(resource, name)
            if count:
                left.append(
                    f"{resource.plural}{'.' if resource.group else ''}{resource.group} has {count} resource instances"
                )
            finalizers += held
        if left:
            await self._explain(namespace, left, finalizers)
            # Deletions elsewhere (a kubelet stopping pods) end the wait; nothing tells us of each, so look again.
            self.queue.add_after(name, 1.0 if not finalizers else 5.0)
            return
        spec_finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if "kubernetes" in spec_finalizers:
            latest = copy(await self.client.get(NAMESPACES, name))
            if latest["metadata"]["uid"] != namespace["metadata"]["uid"]:
                return
            latest["spec"]["finalizers"] = [f for f in spec_finalizers if f != "kubernetes"]
            try:
                await self.client.update(NAMESPACES, latest, subresource="finalize")
            except ApiError as exc:
                if exc.code != 404:
                    raise

    async def _delete_all(self, resource: Resource, namespace: str) -> tuple[int, Counter[str]]:
        """Ask for the deletion of everything of a kind; what is left, and the finalizers that hold it."""
        try:
            items = (await self.client.list(resource, namespace)).get("items") or []
        except ApiError as exc:
            if exc.code in (404, 405):
                return 0, Counter()
            raise
        gate = asyncio.Semaphore(16)

        async def delete(obj: Object) -> bool:
            metadata = obj["metadata"]
            if metadata.get("deletionTimestamp"):
                return True
            try:
                async with gate:
                    await self.client.delete(
                        resource, metadata["name"], namespace, uid=metadata["uid"], propagation_policy="Background"
                    )
            except ApiError as exc:
                if exc.code not in (404, 405, 409):
                    raise
            # Only finalizers and graceful deletion let an object outlive its DELETE.
            return bool(metadata.get("finalizers")) or resource.plural == "pods"

        remain = await asyncio.gather(*(delete(obj) for obj in items))
        held = Counter(f for obj in items for f in obj["metadata"].get("finalizers") or ())
        return sum(remain), held

    async def _explain(self, namespace: Object, left: list[str], finalizers: Counter[str]) -> None:
        conditions = (namespace.get("status") or {}).get("conditions")
        text = "Some resources are remaining: " + ", ".join(left)
        conditions = set_condition(conditions, "NamespaceContentRemaining", "True", "SomeResourcesRemain", text)
        if finalizers:
            told = [f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())]
            text = "Some content in the namespace has finalizers remaining: " + ", ".join(told)
            conditions = set_condition(conditions, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text)
        status = {**(namespace.get("status") or {}), "conditions": conditions, "phase": "Terminating"}
        if status != namespace.get("status"):
            await self.client.update(NAMESPACES, {**namespace, "status": status}, subresource="status")


async def run(context: Context) -> None:
    """Reconcile Namespaces for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.namespaces, controller.accounts, controller.config_maps)
    await process(controller.queue, controller.reconcile, _log, workers=context.settings.workers)
