"""The node tier: one agent per worker, which measures its node and turns its knobs."""

from __future__ import annotations

__all__: list[str] = []
