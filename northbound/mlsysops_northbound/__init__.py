"""The northbound REST API of a slice: applications, infrastructure and management over the continuum's Kubernetes API."""

from __future__ import annotations

__all__: list[str] = []
