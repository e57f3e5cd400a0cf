"""Writes the status of one object: only what changed, not too often, in order, and for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from mlsysops_core.errors import InvalidInput, MlsError, NotFound, Refused

from .informer import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .resources import Resource

__all__ = ["StatusClient", "StatusWriter"]

_log = logging.getLogger(__name__)

#: Least seconds between two writes of one object, however urgent.
_BURST_SECONDS = 0.5


class StatusClient(Protocol):
    """The part of a client that a status writer needs."""

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Merge-patch an object."""
        ...


class StatusWriter:
    """Keeps the status of one object equal to what `offer` was given last.

    A merge patch of the top-level fields (RFC 7386) leaves fields of other writers alone and cannot conflict with a
    change of the spec. Lists are replaced as a whole, so each field must have one writer.

    Args:
        client: Where the object lives.
        resource: Its resource.
        name: Its name.
        namespace: Its namespace.
        interval: Least seconds between two writes, unless one is urgent.
        monotonic: Clock for the interval.
    """

    def __init__(
        self,
        client: StatusClient,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        interval: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._resource = resource
        self._name = name
        self._namespace = namespace
        self._interval = interval
        self._monotonic = monotonic
        self._wanted: dict[str, Any] = {}
        self._written: dict[str, Any] | None = None
        self._last_write = float("-inf")
        self._urgent = asyncio.Event()
        self._changed = asyncio.Event()

    def offer(self, status: Mapping[str, Any], *, urgent: bool = False) -> None:
        """Say what the status should be; an urgent change does not wait for the interval."""
        # A copy of its own, by way of JSON: that is what a status is made of, and it takes a fifth of the time.
        self._wanted = json.loads(json.dumps(dict(status)))
        if self._wanted == self._written:
            return
        self._changed.set()
        if urgent:
            self._urgent.set()

    @property
    def wanted(self) -> Mapping[str, Any]:
        """What the status should be; not to be changed."""
        return self._wanted

    def invalidate(self) -> None:
        """Forget what was written: the object was made anew, so everything must be written again."""
        self._written = None
        self._last_write = float("-inf")
        if self._wanted:
            self._changed.set()
            self._urgent.set()

    async def run(self) -> None:
        """Write until cancelled."""
        backoff = Backoff(0.5, 30.0)
        complained = False
        while True:
            await self._changed.wait()
            await self._wait_turn()
            try:
                await self.flush()
            except MlsError as exc:
                level = logging.DEBUG if complained else logging.WARNING
                _log.log(level, "status of %s %s not written: %s", self._resource.kind, self._name, exc)
                complained = True
                if isinstance(exc, NotFound):
                    self._changed.clear()  # whoever sees it appear calls `invalidate`
                elif isinstance(exc, InvalidInput | Refused):
                    self._changed.clear()  # saying the same again would not help; the next offer may
                else:
                    await asyncio.sleep(backoff.delay())
                continue
            complained = False
            backoff.reset()

    async def flush(self) -> None:
        """Write what differs now, if anything does.

        Raises:
            MlsError: The API did not take it.
        """
        self._changed.clear()
        self._urgent.clear()
        wanted = self._wanted
        written = self._written or {}
        patch: dict[str, Any] = {key: value for key, value in wanted.items() if written.get(key) != value}
        patch |= {key: None for key in written if key not in wanted}
        if not patch:
            return
        try:
            await self._client.patch(
                self._resource, self._name, {"status": patch}, self._namespace, subresource="status"
            )
        except MlsError:
            self._changed.set()
            raise
        self._written = wanted
        self._last_write = self._monotonic()

    async def _wait_turn(self) -> None:
        remaining = self._last_write + self._interval - self._monotonic()
        if remaining <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(remaining):
                await self._urgent.wait()
        # Urgent changes come in bursts: what follows the first at once goes together.
        burst = self._last_write + min(_BURST_SECONDS, self._interval) - self._monotonic()
        if burst > 0:
            await asyncio.sleep(burst)
