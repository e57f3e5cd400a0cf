"""The node's agent: runs the pods that are bound to its node, and keeps them running while the API is away."""

from __future__ import annotations

from mlsysops_embedded.kubelet.main import main

__all__ = ["main"]
