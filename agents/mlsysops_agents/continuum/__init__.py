"""The continuum tier: gives components to clusters, and gathers what the clusters say."""

from __future__ import annotations

__all__: list[str] = []
