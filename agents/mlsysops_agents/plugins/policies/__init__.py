"""Built-in policies: where components go, and when they move."""

from __future__ import annotations

from .cluster_placement import ClusterPlacement
from .components import DynamicPlacedComponents, StaticPlacedComponents
from .relocate import RelocateComponents

__all__ = ["ClusterPlacement", "DynamicPlacedComponents", "RelocateComponents", "StaticPlacedComponents"]
