"""Settings that an inventory gives and agents obey: one model for both, so that a fault is told before anything is deployed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PlacementSettings"]

Goal = Literal[
    "least_allocated",
    "spread",
    "affinity",
    "stay",
    "energy",
    "carbon",
    "cost",
    "trust",
    "data_locality",
    "mobility",
    "performance",
]


class PlacementSettings(BaseModel):
    """How components are placed (``mls_placement`` of an inventory, ``placement`` of an agent's configuration).

    Attributes:
        weights: Goals that count otherwise than by default.
        exact_seconds: Seconds that the exact solver (extra ``optimize``) looks for better places for an application that runs;
            0 leaves it to the heuristic.
        exact_workers: Threads of the exact solver.
        cluster_gone_after: Seconds of silence after which what may leave a cluster is moved.
        refusal_after: Seconds a cluster says that nothing fits until another one is tried.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[Goal, Annotated[float, Field(ge=0, le=100)]] = {}
    exact_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    exact_workers: Annotated[int, Field(ge=1, le=64, strict=True)] = 1
    cluster_gone_after: Annotated[float, Field(gt=0)] = 60.0
    refusal_after: Annotated[float, Field(gt=0)] = 20.0
