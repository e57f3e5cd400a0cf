"""Whose an object is that has a name of ours: what somebody else made is not taken over unasked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["SLICE_LABEL", "Claims", "in_the_way", "is_foreign", "slice_of", "title_of", "way_out"]

Object = dict[str, Any]

#: Label that says to which slice an object belongs: those of all slices have the same names.
SLICE_LABEL = "mlsysops.eu/slice"
#: Many may need one of these, and deployments keep what others had before (`mlsysops_cli.existing.before`).
_SHARED = frozenset({"CustomResourceDefinition", "Namespace"})
#: Values of the label ``app.kubernetes.io/managed-by`` on what deployments apply, and on what running parts of ours make.
_OURS = frozenset({"mls", "mlsysops"})
#: Field manager with which deployments apply.
_MANAGER = "mls"


def is_foreign(found: Object | None) -> bool:
    """Whether an object that is there was made by others: neither its label says that it is ours, nor did we ever apply it.

    Args:
        found: The object; None where there is none.
    """
    if found is None or found["kind"] in _SHARED:
        return False
    metadata = found["metadata"]
    # https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
    applied = any(
        entry.get("manager") == _MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or []
    )
    return not applied and (metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") not in _OURS


def in_the_way(wanted: Object, found: Object | None) -> str:
    """Return how a person would look for an object that others made, or that is another slice's; empty where it may be applied.

    Args:
        wanted: What shall be applied.
        found: What is there.
    """
    if found is None:
        return ""
    theirs, ours = slice_of(found), slice_of(wanted)
    if theirs and ours and theirs != ours:
        return f"{title_of(found)} of slice {theirs}"
    return title_of(found) if is_foreign(found) else ""


def slice_of(obj: Object) -> str:
    """Return the slice that an object belongs to; empty where it does not say."""
    return str((obj["metadata"].get("labels") or {}).get(SLICE_LABEL) or "")


def title_of(obj: Object) -> str:
    """Return how a person would look for an object: kind, namespace and name."""
    metadata = obj["metadata"]
    place = "{}/".format(metadata["namespace"]) if metadata.get("namespace") else ""
    return "{} {}{}".format(obj["kind"], place, metadata["name"])


def way_out() -> str:
    """Return what to do about objects of others that have names of ours."""
    return "rename or delete them, or make them the slice's own with `mls framework deploy-all --take-ownership`"


class Claims:
    """What of the objects that shall be applied to an API is there already.

    Args:
        api: The API (`mls_kubernetes.Api`).
        objects: What shall be applied.
    """

    def __init__(self, api: Any, objects: Iterable[Object]) -> None:
        self._wanted = {_identity(obj): obj for obj in objects}
        self._found = {identity: api.find(obj) for identity, obj in self._wanted.items()}

    def before(self, obj: Object) -> Object | None:
        """Return an object as it was found; None where it was not there."""
        return self._found.get(_identity(obj))

    @property
    def foreign(self) -> list[str]:
        """What was made by others, or for another slice."""
        return [name for key, found in self._found.items() if (name := in_the_way(self._wanted[key], found))]


def _identity(obj: Object) -> tuple[str, ...]:
    metadata = obj["metadata"]
    return obj["apiVersion"], obj["kind"], metadata.get("namespace") or "", metadata["name"]
