"""Deployments: a ReplicaSet for each pod template, moved from the old to the new within limits."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from mlsysops_embedded.client import WorkQueue, key_of, process
from mlsysops_embedded.client.objects import (
    condition,
    controller_of,
    copy,
    now,
    owner_reference,
    parse_time,
    safe_hash,
    set_condition,
)
from mlsysops_embedded.client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from mlsysops_embedded.controllers.context import Context, candidates, claim, index_owners
from mlsysops_embedded.controllers.rollout import (
    HASH_LABEL,
    Counts,
    fenceposts,
    new_replicas,
    old_replicas,
    proportional,
    same_template,
)
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["run"]

_log = logging.getLogger(__name__)
_REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAXIMUM = "deployment.kubernetes.io/max-replicas"
_OWN_ANNOTATIONS = {
    _REVISION,
    _DESIRED,
    _MAXIMUM,
    "deployment.kubernetes.io/revision-history",
    "kubectl.kubernetes.io/last-applied-configuration",
}


def _replicas(obj: Object) -> int:
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def _status(obj: Object, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def _revision(obj: Object) -> int:
    try:
        return int((obj["metadata"].get("annotations") or {}).get(_REVISION) or 0)
    except ValueError:
        return 0


class _Controller:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self.deployments = context.informers.informer(DEPLOYMENTS)
        self.sets = context.informers.informer(REPLICA_SETS)
        self.pods = context.informers.informer(PODS)
        self.pods.add_index("controller", lambda pod: [o["uid"] for o in [controller_of(pod)] if o])
        index_owners(self.sets)
        self.deployments.add_handler(lambda new, old: self.queue.add(key_of(new or old or {})))
        self.sets.add_handler(self._set_changed)
        self.pods.add_handler(self._pod_changed)

    def _set_changed(self, new: Object | None, old: Object | None) -> None:
        for obj in (new, old):
            if obj is None:
                continue
            owner = controller_of(obj)
            if owner is not None and owner["kind"] == "Deployment":
                self.queue.add((obj["metadata"]["namespace"], owner["name"]))

    def _pod_changed(self, new: Object | None, old: Object | None) -> None:
        # Recreate waits until the last old pod is gone, which no ReplicaSet's change announces.
        if new is None and old is not None and (owner := controller_of(old)) and owner["kind"] == "ReplicaSet":
            replica_set = self.sets.get(owner["name"], old["metadata"]["namespace"])
            if replica_set is not None:
                self._set_changed(replica_set, None)

    async def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        deployment = self.deployments.get(name, namespace)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return
        found = candidates(self.sets, deployment)
        sets = await claim(self.client, REPLICA_SETS, deployment, deployment["spec"]["selector"], found)
        sets.sort(key=lambda rs: (rs["metadata"].get("creationTimestamp") or "", rs["metadata"]["name"]))
        sets = [rs for rs in sets if not rs["metadata"].get("deletionTimestamp")]
        template = deployment["spec"]["template"]
        new = next((rs for rs in sets if same_template(rs["spec"]["template"], template)), None)
        old = [rs for rs in sets if rs is not new]
        paused = bool(deployment["spec"].get("paused"))
        if not paused:
            deployment, new = await self._ensure_new(deployment, new, old)
        if paused or self._resized(deployment, sets):
            new, old = await self._scale_proportionally(deployment, new, old)
        elif new is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            new, old = await self._recreate(deployment, new, old)
        elif new is not None:
            new, old = await self._roll(deployment, new, old)
        await self._clean_up(deployment, old)
        await self._write_status(deployment, new, old)

    def _resized(self, deployment: Object, sets: list[Object]) -> bool:
        wanted = str(_replicas(deployment))
        return any(
            _replicas(rs) and (rs["metadata"].get("annotations") or {}).get(_DESIRED, wanted) != wanted for rs in sets
        )

    def _annotations(self, deployment: Object, revision: int | None = None) -> dict[str, str]:
        wanted = _replicas(deployment)
        surge = fenceposts(deployment["spec"].get("strategy"), wanted).surge
        inherited = {
            key: value
            for key, value in (deployment["metadata"].get("annotations") or {}).items()
            if key not in _OWN_ANNOTATIONS
        }
        own = {_DESIRED: str(wanted), _MAXIMUM: str(wanted + surge)}
        return {**inherited, **own, **({_REVISION: str(revision)} if revision else {})}

    async def _ensure_new(self, deployment: Object, new: Object | None, old: list[Object]) -> tuple[Object, Object]:
        revision = max((_revision(rs) for rs in old), default=0) + 1
        if new is None:
            new = await self._create_set(deployment, old, revision)
        elif _revision(new) < revision:
            annotations = self._annotations(deployment, revision)
            if former := _revision(new):  # it serves again under a new number, and remembers those it had
                known = (new["metadata"].get("annotations") or {}).get(_HISTORY)
                annotations[_HISTORY] = f"{known},{former}" if known else str(former)
            new = await self._scale(new, _replicas(new), annotations)
        if _revision(deployment) != _revision(new):
            patch = {"metadata": {"annotations": {_REVISION: str(_revision(new))}}}
            metadata = deployment["metadata"]
            # Through the status: what its controller notes down is no new generation.
            deployment = await self.client.patch(
                DEPLOYMENTS, metadata["name"], patch, metadata["namespace"], patch_type="merge", subresource="status"
            )
        return deployment, new

    async def _create_set(self, deployment: Object, old: list[Object], revision: int) -> Object:
        metadata, spec = deployment["metadata"], deployment["spec"]
        collisions = (deployment.get("status") or {}).get("collisionCount") or 0
        digest = safe_hash([spec["template"], collisions] if collisions else spec["template"])
        template = copy(spec["template"])
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels[HASH_LABEL] = digest
        selector = copy(spec["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
        wanted = _replicas(deployment)
        total = sum(_replicas(rs) for rs in old)
        recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
        posts = fenceposts(spec.get("strategy"), wanted)
        size = (0 if total else wanted) if recreate else new_replicas(wanted, 0, total, posts)
        obj = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": dict(labels),
                "annotations": self._annotations(deployment, revision),
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": size,
                "selector": selector,
                "template": template,
                **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
            },
        }
        try:
            created = await self.client.create(REPLICA_SETS, obj, metadata["namespace"])
        except ApiError as exc:
            if exc.reason == "AlreadyExists":
                await self._count_collision(deployment, obj)
            raise
        self._scaled_event(deployment, created, "up", 0, size)
        await self.sets.caught_up(created)
        return created

    async def _count_collision(self, deployment: Object, wanted: Object) -> None:
        """Another ReplicaSet has the name: a stale cache where it is ours, else another hash is needed."""
        namespace = wanted["metadata"]["namespace"]
        existing = await self.client.get(REPLICA_SETS, wanted["metadata"]["name"], namespace)
        owner = controller_of(existing)
        ours = owner is not None and owner["uid"] == deployment["metadata"]["uid"]
        if ours and same_template(existing["spec"]["template"], wanted["spec"]["template"]):
            return
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self.client.update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status")

    def _scaled_event(self, deployment: Object, rs: Object, way: str, before: int, after: int) -> None:
        if before == after:  # a new ReplicaSet of none
            return
        message = f"Scaled {way} replica set {rs['metadata']['name']} from {before} to {after}"
        self.context.events.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _scale(self, rs: Object, size: int, annotations: dict[str, str]) -> Object:
        present = rs["metadata"].get("annotations") or {}
        if _replicas(rs) == size and all(present.get(key) == value for key, value in annotations.items()):
            return rs
        changed = copy(rs)
        changed["spec"]["replicas"] = size
        changed["metadata"]["annotations"] = {**present, **annotations}
        written = await self.client.update(REPLICA_SETS, changed)
        await self.sets.caught_up(written)
        return written

    async def _resize(self, deployment: Object, rs: Object, size: int) -> Object:
        before = _replicas(rs)
        own = {key: value for key, value in self._annotations(deployment).items() if key in (_DESIRED, _MAXIMUM)}
        scaled = await self._scale(rs, size, own)
        if size != before:
            self._scaled_event(deployment, rs, "up" if size > before else "down", before, size)
        return scaled

    async def _scale_proportionally(
        self, deployment: Object, new: Object | None, old: list[Object]
    ) -> tuple[Object | None, list[Object]]:
        wanted = _replicas(deployment)
        active = [rs for rs in ([new] if new else []) + old[::-1] if _replicas(rs)] or ([new] if new else [])
        if len(active) <= 1:
            sizes = [wanted for _ in active]
        elif new is not None and _status(new, "availableReplicas") == wanted == _replicas(new):
            sizes = [wanted if rs is new else 0 for rs in active]
        else:
            posts = fenceposts(deployment["spec"].get("strategy"), wanted)
            sizes = proportional(wanted, [_replicas(rs) for rs in active], posts)
        by_uid = {}
        for rs, size in zip(active, sizes, strict=True):
            by_uid[rs["metadata"]["uid"]] = await self._resize(deployment, rs, size)
        old = [by_uid.get(rs["metadata"]["uid"], rs) for rs in old]
        return (by_uid.get(new["metadata"]["uid"], new) if new else None), old

    async def _recreate(self, deployment: Object, new: Object, old: list[Object]) -> tuple[Object, list[Object]]:
        old = [await self._resize(deployment, rs, 0) for rs in old]
        uids = {rs["metadata"]["uid"] for rs in old}
        left = any(
            (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            for uid in uids
            for pod in self.pods.by_index("controller", uid)
        )
        if not left:
            new = await self._resize(deployment, new, _replicas(deployment))
        return new, old

    async def _roll(self, deployment: Object, new: Object, old: list[Object]) -> tuple[Object, list[Object]]:
        wanted = _replicas(deployment)
        posts = fenceposts(deployment["spec"].get("strategy"), wanted)
        total = _replicas(new) + sum(_replicas(rs) for rs in old)
        size = new_replicas(wanted, _replicas(new), total, posts)
        new = await self._resize(deployment, new, size)
        counts = [Counts(_replicas(rs), _status(rs, "availableReplicas")) for rs in old]
        current = Counts(_replicas(new), min(_replicas(new), _status(new, "availableReplicas")))
        kept = old_replicas(wanted, current, counts, posts)
        old = [await self._resize(deployment, rs, size) for rs, size in zip(old, kept, strict=True)]
        return new, old

    async def _clean_up(self, deployment: Object, old: list[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit")
        limit = 10 if limit is None else limit
        done = [rs for rs in old if not _replicas(rs) and not _status(rs, "replicas")]
        done = [rs for rs in done if _status(rs, "observedGeneration") >= (rs["metadata"].get("generation") or 0)]
        done.sort(key=_revision)
        for rs in done[: max(0, len(done) - limit)]:
            metadata = rs["metadata"]
            await self.client.delete(REPLICA_SETS, metadata["name"], metadata["namespace"], uid=metadata["uid"])

    async def _write_status(self, deployment: Object, new: Object | None, old: list[Object]) -> None:
        sets = ([new] if new else []) + old
        wanted = _replicas(deployment)
        before = deployment.get("status") or {}
        total = sum(_status(rs, "replicas") for rs in sets)
        available = sum(_status(rs, "availableReplicas") for rs in sets)
        numbers = {
            "replicas": total,
            "updatedReplicas": _status(new, "replicas") if new else 0,
            "readyReplicas": sum(_status(rs, "readyReplicas") for rs in sets),
            "availableReplicas": available,
            "unavailableReplicas": max(0, sum(_replicas(rs) for rs in sets) - available),
        }
        status: Object = {"observedGeneration": deployment["metadata"].get("generation"), **numbers}
        status = {key: value for key, value in status.items() if value}
        if before.get("collisionCount"):
            status["collisionCount"] = before["collisionCount"]
        posts = fenceposts(deployment["spec"].get("strategy"), wanted)
        conditions = before.get("conditions") or []
        if deployment["spec"].get("paused"):  # told first, before anything is counted (checkPausedConditions)
            conditions = _paused(conditions)
        if available >= wanted - posts.unavailable:
            conditions = _set(
                conditions, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
            )
        else:
            text = "Deployment does not have minimum availability."
            conditions = _set(conditions, "Available", "False", "MinimumReplicasUnavailable", text)
        status["conditions"] = self._progress(deployment, new, before, status, conditions)
        if status != before:
            await self.client.update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status")

    def _progress(
        self, deployment: Object, new: Object | None, before: Object, status: Object, conditions: list[Object]
    ) -> list[Object]:
        wanted = _replicas(deployment)
        name = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
        known = condition(conditions, "Progressing")
        if deployment["spec"].get("paused"):
            return conditions
        complete = (
            int(status.get("updatedReplicas") or 0) == wanted
            and int(status.get("replicas") or 0) == wanted
            and int(status.get("availableReplicas") or 0) == wanted
        )
        if complete:
            return _set(
                conditions, "Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed."
            )
        moved = any(
            int(status.get(field) or 0) > int(before.get(field) or 0)
            for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
        ) or int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0) < int(
            before.get("replicas") or 0
        ) - int(before.get("updatedReplicas") or 0)
        restarted = known is None or before.get("observedGeneration") != status.get("observedGeneration")
        if moved or restarted or known is None:
            changed = _set(conditions, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
            updated = condition(changed, "Progressing")
            if updated is not None:
                updated["lastUpdateTime"] = now()
            known = updated
            conditions = changed
        deadline = deployment["spec"].get("progressDeadlineSeconds") or 600
        if known is None or known.get("reason") in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
            return conditions
        since = parse_time(known.get("lastUpdateTime") or known["lastTransitionTime"]).timestamp()
        left = since + deadline - time.time()
        if left <= 0:
            text = f"{name} has timed out progressing."
            return _set(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text)
        self.queue.add_after(key_of(deployment), left + 1)
        return conditions


def _paused(conditions: list[Object]) -> list[Object]:
    known = condition(conditions, "Progressing")
    if known is not None and known.get("reason") == "DeploymentPaused":
        return conditions
    return _set(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")


def _set(conditions: list[Object], kind: str, status: str, reason: str, message: str) -> list[Object]:
    known = condition(conditions, kind)
    if known and (known["status"], known.get("reason"), known.get("message")) == (status, reason, message):
        return [dict(c) for c in conditions]
    changed = set_condition(conditions, kind, status, reason, message, lastUpdateTime=now())
    # What changed last comes last (deploymentutil.SetDeploymentCondition).
    return sorted(changed, key=lambda c: bool(c["type"] == kind))


async def run(context: Context) -> None:
    """Reconcile Deployments for ever."""
    controller = _Controller(context)
    await context.informers.synced(controller.deployments, controller.sets, controller.pods)
    await process(controller.queue, controller.reconcile, _log, workers=context.settings.workers)
