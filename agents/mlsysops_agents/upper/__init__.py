"""What the agents of the cluster and of the continuum have in common; they do not know each other."""

from __future__ import annotations

from .agent import UpperAgent
from .handle import UpperHandle
from .world import APP, ASSET, COMPONENT_CLUSTERS, UpperWorld, component_clusters

__all__ = [
    "APP",
    "ASSET",
    "COMPONENT_CLUSTERS",
    "Decisions",
    "UpperAgent",
    "UpperHandle",
    "UpperWorld",
    "component_clusters",
]
