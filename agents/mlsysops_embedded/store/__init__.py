"""Durable, versioned storage of API objects with watches."""

from __future__ import annotations

from mlsysops_embedded.store.log import LogError, Revision, RevisionLog
from mlsysops_embedded.store.state import Bucket, Change, Entry, Store

__all__ = ["Bucket", "Change", "Entry", "LogError", "Revision", "RevisionLog", "Store"]
