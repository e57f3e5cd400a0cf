"""ControllerRevisions: what a DaemonSet's template was before, so that a rollout can be undone.

Source: Kubernetes ``pkg/controller/daemon/update.go`` and ``pkg/controller/history``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import controller_of, owner_reference, safe_hash
from mlsysops_embedded.client.resources import CONTROLLER_REVISIONS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, Informer, Object

__all__ = ["HASH_LABEL", "Revisions"]

HASH_LABEL = "controller-revision-hash"
_HISTORY_LIMIT = 10


class Revisions:
    """The history of DaemonSets.

    Args:
        client: API to write to.
        known: Informer of all ControllerRevisions.
    """

    def __init__(self, client: Client, known: Informer) -> None:
        self._client = client
        self._known = known
        known.add_index("controller", lambda revision: [o["uid"] for o in [controller_of(revision)] if o])

    async def keep(self, daemon_set: Object, in_use: set[str]) -> str:
        """Record the present template as the newest revision and forget the oldest ones.

        Args:
            daemon_set: The DaemonSet.
            in_use: Hashes of revisions that pods still have.

        Returns:
            Hash of the present revision.
        """
        metadata, spec = daemon_set["metadata"], daemon_set["spec"]
        # The patch that `kubectl rollout undo` sends back: the template as a whole.
        data = {"spec": {"template": {**spec["template"], "$patch": "replace"}}}
        digest = safe_hash(spec["template"])
        history = sorted(self._known.by_index("controller", metadata["uid"]), key=lambda r: int(r["revision"]))
        newest = int(history[-1]["revision"]) if history else 0
        present = next((r for r in history if r["data"] == data), None)
        namespace = metadata["namespace"]
        if present is None:
            made: Object = {
                "apiVersion": CONTROLLER_REVISIONS.api_version,
                "kind": CONTROLLER_REVISIONS.kind,
                "metadata": {
                    "name": f"{metadata['name']}-{digest}",
                    "namespace": namespace,
                    "labels": {**(spec["template"].get("metadata", {}).get("labels") or {}), HASH_LABEL: digest},
                    "annotations": dict(metadata.get("annotations") or {}),
                    "ownerReferences": [owner_reference(daemon_set)],
                },
                "data": data,
                "revision": newest + 1,
            }
            await self._known.caught_up(await self._client.create(CONTROLLER_REVISIONS, made, namespace))
        elif int(present["revision"]) < newest:
            change = {"revision": newest + 1}
            name = present["metadata"]["name"]
            await self._known.caught_up(
                await self._client.patch(CONTROLLER_REVISIONS, name, change, namespace, patch_type="merge")
            )
        limit = spec.get("revisionHistoryLimit")
        limit = _HISTORY_LIMIT if limit is None else int(limit)
        old = [r for r in history if r is not present and _hash(r) not in in_use]
        for revision in old[: max(0, len(old) - limit)]:
            try:
                await self._client.delete(CONTROLLER_REVISIONS, revision["metadata"]["name"], namespace)
            except ApiError as exc:
                if exc.code != 404:
                    raise
        return digest


def _hash(revision: Object) -> str:
    return str((revision["metadata"].get("labels") or {}).get(HASH_LABEL, ""))
