"""What is special about some kinds on their way in: defaults that depend on the server, admission, semantic checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery.resources import ResourceInfo

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.call import Call
    from mlsysops_embedded.apiserver.reading import Reader

__all__ = ["DEFAULT_NAMESPACES", "Strategies"]

Obj = dict[str, Any]
DEFAULT_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")


class Strategies:
    """Hooks of the registry."""

    def __init__(self) -> None:
        self.reader: Reader | None = None
        #: Called after a write with (info, old, new); new is None where the object is gone.
        self.observers: list[Callable[[ResourceInfo, Obj | None, Obj | None], Awaitable[None]]] = []

    def admit_namespace(self, info: ResourceInfo, namespace: str) -> None:
        """No object is created in a namespace that is absent or ends."""
        if not info.namespaced or self.reader is None:
            return
        found = self.reader.read("namespaces", "", namespace)
        if found is None:
            raise ApiError.not_found("namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            error = ApiError.forbidden(
                info.plural, "", f"unable to create new content in namespace {namespace} because it is being terminated", info.group
            )
            error.status["details"]["causes"] = [
                {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated", "field": "metadata.namespace"}
            ]
            raise error

    def admit_delete(self, info: ResourceInfo, obj: Obj) -> None:
        """Some namespaces stay."""
        name = obj["metadata"]["name"]
        if info.bucket == "namespaces" and name in DEFAULT_NAMESPACES[:3]:
            raise ApiError.forbidden("namespaces", name, "this namespace may not be deleted")

    def grace(self, info: ResourceInfo, obj: Obj, wanted: int | None) -> int:
        """Grace period in seconds of a deletion: pods only (registry/core/pod/strategy.go CheckGracefulDelete)."""
        if info.bucket != "pods":
            return 0
        spec, phase = obj.get("spec", {}), obj.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        period = wanted if wanted is not None else spec.get("terminationGracePeriodSeconds", 30)
        return 1 if period < 0 else int(period)

    def prepare_delete(self, info: ResourceInfo, obj: Obj) -> None:
        """Marks what ends."""
        if info.bucket == "namespaces":
            obj.setdefault("status", {})["phase"] = "Terminating"

    async def prepare_create(self, call: Call, info: ResourceInfo, obj: Obj) -> None:
        """Completes a new object."""
        if info.bucket == "namespaces":
            obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            obj["status"] = {"phase": "Active"}
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]

    async def prepare_update(self, call: Call, info: ResourceInfo, old: Obj, new: Obj, subresource: str) -> None:
        """Completes a changed object."""

    def validate(self, info: ResourceInfo, obj: Obj, old: Obj | None) -> list[Cause]:
        """Semantic checks."""
        return []

    async def after_write(self, info: ResourceInfo, old: Obj | None, new: Obj | None) -> None:
        """Tells the observers."""
        for observer in self.observers:
            await observer(info, old, new)
