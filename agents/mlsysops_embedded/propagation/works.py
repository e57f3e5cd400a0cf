"""Writes and removes Works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.resources import WORKS
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.client import Client, Object

__all__ = ["put_work", "release_work"]


async def put_work(client: Client, known: Object | None, wanted: Object) -> Object:
    """Create a Work, or bring the known one to what is wanted; gives it as it is then.

    Raises:
        ApiError: 409 while an earlier Work of the name is still going.
    """
    metadata = wanted["metadata"]
    if known is None:
        try:
            return await client.create(WORKS, wanted, metadata["namespace"])
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise
            known = await client.get(WORKS, metadata["name"], metadata["namespace"])
    present = known["metadata"]
    if present.get("deletionTimestamp"):
        raise ApiError.conflict(WORKS.plural, metadata["name"], "it is being deleted", WORKS.group)
    marks = ("labels", "annotations")
    same = all((wanted["metadata"].get(f) or {}).items() <= (present.get(f) or {}).items() for f in marks)
    if same and known["spec"] == wanted["spec"]:
        return known
    merged = {f: {**(present.get(f) or {}), **(wanted["metadata"].get(f) or {})} for f in marks}
    return await client.update(WORKS, {**known, "metadata": {**present, **merged}, "spec": wanted["spec"]})


async def release_work(client: Client, work: Object, finalizer: str) -> None:
    """Take a finalizer from a Work."""
    metadata = work["metadata"]
    finalizers = [f for f in metadata.get("finalizers") or () if f != finalizer]
    if len(finalizers) == len(metadata.get("finalizers") or ()):
        return
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers or None}}
    try:
        await client.patch(WORKS, metadata["name"], patch, metadata["namespace"], patch_type="merge")
    except ApiError as exc:
        if exc.code != 404:
            raise
