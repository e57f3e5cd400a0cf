"""The autonomic agents: one MAPE-K loop, composed for the continuum, cluster and node tiers."""

from __future__ import annotations

__all__: list[str] = []
