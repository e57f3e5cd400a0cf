"""What becomes of an OTLP metrics request, however it came: decoded, stored, answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .otlp import Encoding, decode_request, encode_response
from .store import TelemetryStore

__all__ = ["MAX_BODY", "Intake"]

#: Most bytes of a request, also once decompressed.
MAX_BODY = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes requests into a store.

    Attributes:
        store: Where points go.
        defaults: Resource attributes added where a source does not give them.
        now: Seconds since the Unix epoch.
    """

    store: TelemetryStore
    defaults: Mapping[str, str]
    now: Callable[[], float]

    def take(self, body: bytes, encoding: Encoding) -> bytes:
        """Store what a request holds and return the response's body.

        Raises:
            InvalidInput: The body is no such request.
        """
        decoded = decode_request(body, encoding, now=self.now(), defaults=self.defaults)
        result = self.store.ingest(decoded.points)
        reason = decoded.reason or ("older than what is kept" if result.too_old else "")
        return encode_response(encoding, rejected=decoded.rejected + result.too_old, message=reason)
