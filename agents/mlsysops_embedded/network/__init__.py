"""The network between pods: virtual addresses of services."""

from __future__ import annotations

from mlsysops_embedded.network.proxy import ServiceProxy

__all__ = ["ServiceProxy"]
