"""Heartbeat: a Lease that this process renews while it lives."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from mlsysops_core.errors import Conflict, MlsError, NotFound

from .errors import AlreadyExists
from .informer import Backoff
from .resources import LEASES, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Heartbeat", "LeaseClient", "holder_identity", "lease_name"]

_log = logging.getLogger(__name__)


class LeaseClient(Protocol):
    """The part of a client that a heartbeat needs."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object."""
        ...

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, field_manager: str = ""
    ) -> dict[str, Any]:
        """Create an object."""
        ...

    async def update(self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None) -> dict[str, Any]:
        """Replace an object."""
        ...


def lease_name(tier: str, name: str) -> str:
    """Name of the Lease of an agent."""
    return f"mlsysops-{tier}-{name}"


def holder_identity() -> str:
    """``pid@host``: tells two incarnations of an agent apart."""
    return f"{os.getpid()}@{socket.gethostname()}"


class Heartbeat:
    """Renews a Lease (coordination.k8s.io/v1) every ``renew`` seconds; whoever cares looks whether it changes.

    It is a heartbeat, no election: the newest process of an agent takes the Lease over at once.

    Args:
        client: Where the Lease lives.
        name: Name of the Lease.
        namespace: Its namespace.
        duration: Seconds after which a Lease that was not renewed counts as lost.
        renew: Seconds between renewals.
        labels: Labels of the Lease, set when it is made.
        annotations: What else is said of the holder; set with every renewal.
        now: Seconds since the Unix epoch: what the Lease says.
        monotonic: Seconds that never go back: what is measured by.
    """

    def __init__(
        self,
        client: LeaseClient,
        name: str,
        namespace: str,
        *,
        duration: float = 40.0,
        renew: float = 10.0,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._duration = duration
        self._renew = renew
        self._labels = dict(labels or {})
        self._annotations: dict[str, str | None] = dict(annotations or {})
        self._now = now
        self._monotonic = monotonic
        self._holder = holder_identity()
        self._lease: dict[str, Any] | None = None
        self._renewed: float | None = None
        self._complained = False

    @property
    def staleness(self) -> float:
        """Seconds since the last renewal that the API took; infinite before the first."""
        return self._monotonic() - self._renewed if self._renewed is not None else float("inf")

    @property
    def healthy(self) -> bool:
        """Whether others still see this agent as alive."""
        return self.staleness < self._duration

    async def run(self) -> None:
        """Renew until cancelled; an API that is away is tried again for ever, sooner than the next renewal."""
        backoff = Backoff(min(1.0, self._renew), self._renew)
        while True:
            try:
                await self.beat()
            except MlsError as exc:
                level = logging.DEBUG if self._complained else logging.WARNING
                _log.log(level, "heartbeat %s not renewed, trying again: %s", self._name, exc)
                self._complained = True
                await asyncio.sleep(backoff.delay(exc))
                continue
            if self._complained:
                _log.info("heartbeat %s renewed again", self._name)
                self._complained = False
            backoff.reset()
            await asyncio.sleep(self._renew)

    async def tell(self, annotations: Mapping[str, str | None]) -> None:
        """Say more of the holder, now and with every renewal; what is None is said no longer.

        Raises:
            MlsError: The API did not take it; the next renewal tries again.
        """
        self._annotations |= annotations
        await self.beat()

    async def beat(self) -> None:
        """Renew once.

        Raises:
            MlsError: The API did not take it.
        """
        if self._lease is None:
            self._lease = await self._find_or_make()
        try:
            self._lease = await self._client.update(LEASES, self._renewal(self._lease), self._namespace)
        except (Conflict, NotFound):
            # Changed or deleted by somebody else: look again, once.
            self._lease = None
            found = await self._find_or_make()
            self._lease = await self._client.update(LEASES, self._renewal(found), self._namespace)
        self._renewed = self._monotonic()

    async def _find_or_make(self) -> dict[str, Any]:
        try:
            return await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            pass
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": self._labels},
        }
        try:
            return await self._client.create(LEASES, self._renewal(lease), self._namespace)
        except AlreadyExists:
            return await self._client.get(LEASES, self._name, self._namespace)

    def _renewal(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        spec = dict(lease.get("spec") or {})
        now = _micro_time(self._now())
        if spec.get("holderIdentity") != self._holder:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + ("holderIdentity" in spec)
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
        }
        if not self._annotations:
            return {**lease, "spec": spec}
        metadata = lease["metadata"]
        said = {**(metadata.get("annotations") or {}), **self._annotations}
        told = {key: value for key, value in said.items() if value is not None}
        return {**lease, "metadata": {**metadata, "annotations": told}, "spec": spec}


def _micro_time(seconds: float) -> str:
    """A Kubernetes ``MicroTime``: RFC 3339 with six decimals."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
