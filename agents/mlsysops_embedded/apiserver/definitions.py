"""Keeps the catalogue in step with the CustomResourceDefinitions, so that each is served at once."""

from __future__ import annotations

from typing import Any, Final

from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import definition

__all__ = ["Definitions"]

Obj = dict[str, Any]
_BUCKET: Final = "customresourcedefinitions.apiextensions.k8s.io"


class Definitions:
    """Serves custom resources; a controller empties the definitions that are deleted.

    Args:
        registry: Whose catalogue it keeps.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def load(self) -> None:
        """Takes over the definitions in the store."""
        for entry in list(self._registry.store.bucket(_BUCKET).objects.values()):
            self._serve(entry.parse())

    async def observe(self, info: ResourceInfo, old: Obj | None, new: Obj | None) -> None:
        """Follows a written definition."""
        if info.bucket != _BUCKET:
            return
        if new is not None:
            self._serve(new)
        elif old is not None:
            self._registry.catalog.set_custom(old["metadata"]["name"], ())
        if old is not None and (new is None or new["spec"] != old["spec"]):
            # As Kubernetes does, which gives them another storage: who watches asks again, by the new schema.
            self._registry.end_watches(old["metadata"]["name"])

    def _serve(self, crd: Obj) -> None:
        self._registry.catalog.set_custom(crd["metadata"]["name"], definition.resources(crd))
