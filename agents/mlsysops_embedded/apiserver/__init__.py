"""The API server: registry of objects, HTTP face, discovery, and a client for rooms in the same process."""

from __future__ import annotations

from mlsysops_embedded.apiserver.local import LocalClient
from mlsysops_embedded.apiserver.registry import Call, Registry

__all__ = ["Call", "LocalClient", "Registry"]
