"""Built-in plug-ins; each is found by entry point, like a user's own, and imports the core alone."""

from __future__ import annotations

__all__: list[str] = []
