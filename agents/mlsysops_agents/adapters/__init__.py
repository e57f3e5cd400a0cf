"""The only rooms of the agents that do I/O: the Kubernetes API and telemetry."""

from __future__ import annotations

__all__: list[str] = []
