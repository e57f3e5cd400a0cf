"""The API's own metrics, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]


class Metrics:
    """Counts requests; every application has its own registry, so that several can live in one process.

    Args:
        version: Version of the software, for ``mlsysops_northbound_info``.
    """

    content_type: str = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlsysops_northbound_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mlsysops_northbound_request_seconds",
            "Time until a request was answered.",
            ("method", "route"),
            registry=self._registry,
        )
        info = Gauge("mlsysops_northbound_info", "Always 1.", ("version",), registry=self._registry)
        info.labels(version).set(1)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        method = method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} else "OTHER"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)
