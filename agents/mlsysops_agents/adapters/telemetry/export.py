"""Telemetry to a collector of the user's: metrics of everything below the continuum, and traces of every agent's decisions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlsysops_core.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from requests import PreparedRequest

__all__ = ["CollectorHeaders", "export_traces"]

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10
#: Seconds that the last spans have when the agent stops, which must itself have stopped after five.
_LAST_SPANS_SECONDS = 1.5


def _read(path: Path | None) -> dict[str, str]:
    """Return the headers of a file.

    Raises:
        InvalidInput: The file cannot be read, or a line is no header; the message does not show it.
    """
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path}: {getattr(exc, 'strerror', None) or 'not UTF-8'}") from exc
    headers = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip().replace("-", "").isalnum() or not value.strip():
            raise InvalidInput(f"{path}:{number}: not a header", hint="write Name: value")
        headers[name.strip()] = value.strip()
    return headers


class CollectorHeaders:
    """The HTTP headers that a collector wants, as their file says at the time: a token that is renewed needs no restart.

    Args:
        path: The file with ``Name: value`` on each line, mode 0600 because they hold credentials; None where the collector wants none.

    Raises:
        InvalidInput: The file is not as it should be. One that is spoilt later is told once, and the last good headers are sent.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = self._state()
        self._headers = _read(path)

    def __call__(self) -> Mapping[str, str]:
        """Return them; looks at the file, so that the event loop's thread must not call this."""
        seen = self._state()
        if seen != self._seen:
            self._seen = seen
            try:
                self._headers = _read(self._path)
            except InvalidInput as exc:
                _log.warning("the collector's headers stay as they were: %s", exc)
        return self._headers

    def _state(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def export_traces(endpoint: str, headers: CollectorHeaders, resource: Mapping[str, str]) -> Iterator[None]:
    """Send this process's traces to a collector while inside (OTLP/HTTP, ``/v1/traces``).

    A collector that is away costs its spans and nothing else: they are sent by a thread, from a bounded queue.

    Args:
        endpoint: Base URL of the collector.
        headers: HTTP headers of every request.
        resource: Who sends.
    """
    # Loaded where traces are sent, and nowhere else: the SDK and its exporter cost 20 MB.
    import requests
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    def with_headers(request: PreparedRequest) -> PreparedRequest:
        request.headers.update(headers())
        return request

    session = requests.Session()
    session.auth = with_headers
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=_TIMEOUT_SECONDS, session=session)
    provider = TracerProvider(resource=Resource.create(dict(resource)), shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    _log.info("traces go to %s", endpoint)
    try:
        yield
    finally:
        # The SDK's own flush goes on for as long as one export takes, retries included.
        flush = threading.Thread(target=provider.force_flush, daemon=True)
        flush.start()
        flush.join(_LAST_SPANS_SECONDS)
        exporter.shutdown()  # type: ignore[no-untyped-call]
