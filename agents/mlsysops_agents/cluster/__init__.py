"""The cluster tier: brings components onto nodes and says how they do."""

from __future__ import annotations

__all__: list[str] = []
