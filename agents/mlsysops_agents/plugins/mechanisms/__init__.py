"""Built-in mechanisms: how a placement becomes Kubernetes and Karmada objects."""

from __future__ import annotations

from .cluster_placement import ClusterPlacementMechanism
from .fluidity import Fluidity

__all__ = ["ClusterPlacementMechanism", "Fluidity"]
