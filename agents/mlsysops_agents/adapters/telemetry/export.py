"""Telemetry to a collector of the user's: metrics of everything below the continuum, and traces of every agent's decisions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlsysops_core.errors import InvalidInput

__all__ = ["export_traces", "read_headers"]

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10
#: Seconds that the last spans have when the agent stops, which must itself have stopped after five.
_LAST_SPANS_MILLISECONDS = 1500


def read_headers(path: Path | None) -> dict[str, str]:
    """Return the HTTP headers that a collector wants, such as ``Authorization``; ``Name: value``, a line each.

    They are in a file of their own, mode 0600, because they hold credentials.

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


@contextmanager
def export_traces(endpoint: str, headers: Mapping[str, str], resource: Mapping[str, str]) -> Iterator[None]:
    """Send this process's traces to a collector while inside (OTLP/HTTP, ``/v1/traces``).

    A collector that is away costs its spans and nothing else: they are sent by a thread, from a bounded queue.

    Args:
        endpoint: Base URL of the collector.
        headers: HTTP headers of every request.
        resource: Who sends.
    """
    # Loaded where traces are sent, and nowhere else: the SDK and its exporter cost 20 MB.
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(
        endpoint=endpoint.rstrip("/") + "/v1/traces", headers=dict(headers), timeout=_TIMEOUT_SECONDS
    )
    provider = TracerProvider(resource=Resource.create(dict(resource)), shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    _log.info("traces go to %s", endpoint)
    try:
        yield
    finally:
        provider.force_flush(_LAST_SPANS_MILLISECONDS)
        exporter.shutdown()  # type: ignore[no-untyped-call]
