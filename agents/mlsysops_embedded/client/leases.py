"""Heartbeats as Leases: how nodes and members say that they are alive (Kubernetes ``component-helpers/apimachinery/lease``)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import format_time, owner_reference
from mlsysops_embedded.client.resources import LEASES
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlsysops_embedded.client import Client, Object

__all__ = ["renew_lease"]


async def renew_lease(
    client: Client, name: str, namespace: str, duration: float, owner: Callable[[], Awaitable[Object | None]]
) -> None:
    """Renew a Lease, or make it where there is none.

    Args:
        client: The API.
        name: Of the Lease and of who holds it.
        namespace: Of the Lease.
        duration: Seconds that it holds.
        owner: Gives the object with which a new Lease goes away (with apiVersion and kind), if any.

    Raises:
        ApiError: The API refused, or is away.
    """
    spec = {
        "holderIdentity": name,
        "leaseDurationSeconds": int(duration),
        "renewTime": format_time(dt.datetime.now(dt.UTC), micro=True),
    }
    try:
        await client.patch(LEASES, name, {"spec": spec}, namespace, patch_type="merge")
    except ApiError as exc:
        if exc.code != 404:
            raise
        metadata: Object = {"name": name, "namespace": namespace}
        if (owning := await owner()) is not None:
            metadata["ownerReferences"] = [owner_reference(owning, controller=False)]
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
        await client.create(LEASES, lease, namespace)
