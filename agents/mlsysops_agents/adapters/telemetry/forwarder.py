"""Passes the newest value of each series on to the tier above, for as long as that takes."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import aiohttp
from mlsysops_core.errors import MlsError

from .otlp import encode_request
from .points import Point, SeriesKey
from .store import TelemetryStore

__all__ = ["Forwarder", "HttpPush", "Push", "PushError"]

_log = logging.getLogger(__name__)

_BATCH = 1000
_TIMEOUT_SECONDS = 10.0
_MAX_BACKOFF_SECONDS = 30.0
#: Answers after which the same request may succeed later (OTLP/HTTP, "Retryable Response Codes").
_RETRYABLE = frozenset({429, 502, 503, 504})


class PushError(MlsError):
    """A push did not get through.

    Args:
        message: Why.
        retryable: Whether the same points may get through later.
        retry_after: Seconds the receiver asks to wait; 0 where it does not say.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class Push(Protocol):
    """Sends one batch."""

    async def __call__(self, points: Sequence[Point]) -> None:
        """Send.

        Raises:
            PushError: It did not get through.
        """
        ...


class HttpPush:
    """Sends batches as OTLP/HTTP, protobuf, gzip.

    Args:
        session: HTTP session, closed by whoever made it.
        upstream: Base URL of a receiver, without ``/v1/metrics``.
        headers: Says the further HTTP headers of a request; called in a thread.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        upstream: str,
        *,
        headers: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self._session = session
        self._url = upstream.rstrip("/") + "/v1/metrics"
        self._further = headers

    async def __call__(self, points: Sequence[Point]) -> None:
        """Send one batch."""
        body = gzip.compress(encode_request(points), compresslevel=1)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        further = await asyncio.to_thread(self._further) if self._further is not None else {}
        headers = {**further, "Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        try:
            async with self._session.post(self._url, data=body, headers=headers, timeout=timeout) as response:
                status = response.status
                wait = response.headers.get("Retry-After", "0")
                await response.read()
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            raise PushError(f"{self._url}: {str(exc) or type(exc).__name__}", retryable=True) from exc
        if status >= 400:
            raise PushError(
                f"{self._url}: HTTP {status}",
                retryable=status in _RETRYABLE,
                retry_after=float(wait) if wait.isdigit() else 0.0,
            )


class Forwarder:
    """Every ``interval`` seconds pushes each series whose newest value has not been passed on yet.

    While the tier above is away nothing piles up: the store holds the newest values, and only they are owed. What
    comes back after an outage is therefore one push a series, however long it lasted.

    Args:
        store: Where values come from.
        push: Sends a batch.
        interval: Seconds between pushes.
    """

    def __init__(self, store: TelemetryStore, push: Push, *, interval: float = 5.0) -> None:
        self._store = store
        self._push = push
        self._interval = interval
        self._sent: dict[SeriesKey, float] = {}
        self._failures = 0

    @property
    def failures(self) -> int:
        """Pushes that failed in a row."""
        return self._failures

    async def run(self) -> None:
        """Push until cancelled."""
        while True:
            delay = await self.cycle()
            await asyncio.sleep(delay)

    async def cycle(self) -> float:
        """Push what is owed.

        Returns:
            Seconds to wait before the next cycle.
        """
        for batch in self._batches():
            try:
                await self._push(batch)
            except PushError as exc:
                self._failures += 1
                if exc.retryable:
                    _log.log(
                        logging.WARNING if self._failures == 1 else logging.DEBUG,
                        "telemetry not passed on, trying again: %s",
                        exc,
                    )
                    backoff = min(self._interval * 2.0 ** min(self._failures - 1, 10), _MAX_BACKOFF_SECONDS)
                    return max(backoff, exc.retry_after, self._interval)
                _log.warning("telemetry refused by the tier above, %d values dropped: %s", len(batch), exc)
            else:
                if self._failures:
                    _log.info("telemetry passed on again after %d failures", self._failures)
                self._failures = 0
            # Refused for good or taken: either way these values are not owed any more.
            self._sent.update((point.key, point.time) for point in batch)
        return self._interval

    def _batches(self) -> Iterator[list[Point]]:
        owed: list[Point] = []
        alive: set[SeriesKey] = set()
        for series in self._store.all_series():
            alive.add(series.key)
            when, value = series.ring.last()
            if self._sent.get(series.key) != when:  # earlier where the clock was put back
                owed.append(Point(series.key, value, when, series.kind, series.unit, series.start))
        for key in self._sent.keys() - alive:
            del self._sent[key]
        for first in range(0, len(owed), _BATCH):
            yield owed[first : first + _BATCH]
