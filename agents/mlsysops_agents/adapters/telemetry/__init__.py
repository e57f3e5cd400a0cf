"""Telemetry of a tier: OTLP in, a bounded store of series, OTLP out to the tier above."""

from __future__ import annotations

from .export import CollectorHeaders, export_traces
from .forwarder import Forwarder, HttpPush
from .host import HostMetrics, HostSnapshot
from .points import Kind, Point, SeriesKey
from .query import Query, telemetry_argument
from .receiver import OtlpReceiver
from .store import TelemetryStore
from .windows import kept_windows

__all__ = [
    "CollectorHeaders",
    "Forwarder",
    "HostMetrics",
    "HostSnapshot",
    "HttpPush",
    "Kind",
    "OtlpReceiver",
    "Point",
    "Query",
    "SeriesKey",
    "TelemetryStore",
    "export_traces",
    "kept_windows",
    "telemetry_argument",
]
