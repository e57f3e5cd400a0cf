"""When so much falls silent at once that it is likelier that we are cut off than that it is gone: then nothing is moved.

Source: Kubernetes ``pkg/controller/nodelifecycle`` (``ComputeZoneState``, ``handleDisruption``) and the defaults of
kube-controller-manager. Nodes are judged so by zone, clusters all together.
"""

from __future__ import annotations

__all__ = ["LARGE", "SLOW_SECONDS", "is_disrupted", "returned"]

#: Share of what is not ready from which a zone is disrupted (``unhealthy-zone-threshold``) …
_THRESHOLD = 0.55
#: … if it is more than these.
_FEW = 2
#: A disrupted zone with more nodes than these is left slowly (``large-cluster-size-threshold``), a smaller one not at all: …
LARGE = 50
#: … one node in so many seconds (1 / ``secondary-node-eviction-rate``).
SLOW_SECONDS = 100.0


def is_disrupted(ready: int, total: int) -> bool:
    """Say whether part of a zone fell silent of which another part lives: neither a single loss nor the end of all of it.

    Args:
        ready: How many are ready.
        total: How many there are.
    """
    silent = total - ready
    return ready > 0 and silent > _FEW and silent / total >= _THRESHOLD


def returned(went: float | None, first: float | None) -> float | None:
    """Return since when there is somebody again, where something went while nobody was ready; None where there always was somebody.

    The first to be back after an outage says nothing about the others: they come one after the other, too.

    Args:
        went: When it was last ready (seconds of any clock); None where nobody knows.
        first: Since when the one is ready that is so for longest (the same clock); None where nobody is.
    """
    # Of what was seen at the same moment nobody knows which came first: patience costs less.
    return first if went is not None and first is not None and went <= first else None
