"""Telemetry of a tier: OTLP in, a bounded store of series, OTLP out to the tier above."""

from __future__ import annotations

__all__: list[str] = []
