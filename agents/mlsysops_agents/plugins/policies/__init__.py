"""Built-in policies: where components go, when they move, and what their nodes ask for."""

from __future__ import annotations

from .cluster_placement import ClusterPlacement
from .components import DynamicPlacedComponents, StaticPlacedComponents
from .relocate import RelocateComponents
from .requests import ComponentRequests

__all__ = [
    "ClusterPlacement",
    "ComponentRequests",
    "DynamicPlacedComponents",
    "RelocateComponents",
    "StaticPlacedComponents",
]
