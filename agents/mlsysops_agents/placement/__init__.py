"""Placement as pure functions: filter, score, choose, explain. No I/O, no clock, no chance."""

from __future__ import annotations

from .better import better_places
from .clusters import CLUSTER_FILTERS, ClusterFacts, place_on_clusters
from .demand import Demand, demands_of, in_start_order, interactions_of
from .descriptions import Descriptions
from .exact import Exact, Stop, has_solver, solve_exactly
from .explain import explain
from .facts import NodeFacts, Resources
from .filters import FILTERS, first_objection
from .fleet import Fleet
from .goals import Weights, with_targets
from .nodes import Search, place, place_elsewhere
from .satisfaction import RELATIONS, is_satisfied, satisfaction

__all__ = [
    "CLUSTER_FILTERS",
    "FILTERS",
    "RELATIONS",
    "ClusterFacts",
    "Demand",
    "Descriptions",
    "Exact",
    "Fleet",
    "NodeFacts",
    "Resources",
    "Search",
    "Stop",
    "Weights",
    "better_places",
    "demands_of",
    "explain",
    "first_objection",
    "has_solver",
    "in_start_order",
    "interactions_of",
    "is_satisfied",
    "place",
    "place_elsewhere",
    "place_on_clusters",
    "satisfaction",
    "solve_exactly",
    "with_targets",
]
