"""Talks to the northbound API of a slice."""

from __future__ import annotations

import sys

# httpx imports its own command line (click, rich, pygments) where those are installed; that costs more than a request.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

from mlsysops_cli.client.address import Target, resolve  # noqa: E402
from mlsysops_cli.client.http import Northbound  # noqa: E402

__all__ = ["Northbound", "Target", "resolve"]
