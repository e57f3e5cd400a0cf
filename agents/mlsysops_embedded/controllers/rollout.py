"""The arithmetic of a Deployment's roll-out, free of I/O.

Source: Kubernetes ``pkg/controller/deployment/util/deployment_util.go`` and ``rolling.go``, described, not copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_embedded.client import Object

__all__ = ["Fenceposts", "fenceposts", "new_replicas", "old_replicas", "proportional", "same_template"]

HASH_LABEL = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Fenceposts:
    """How far a rolling update may go.

    Attributes:
        surge: Pods above the wanted number.
        unavailable: Pods below it that may lack availability.
    """

    surge: int
    unavailable: int


def _resolve(value: int | str | None, total: int, *, up: bool) -> int:
    if value is None:
        value = "25%"
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def fenceposts(strategy: Mapping[str, object] | None, replicas: int) -> Fenceposts:
    """Resolve ``maxSurge`` (rounded up) and ``maxUnavailable`` (rounded down); both zero becomes 0 and 1."""
    rolling = (strategy or {}).get("rollingUpdate") or {}
    assert isinstance(rolling, dict)  # noqa: S101 - the API server validated it
    surge = _resolve(rolling.get("maxSurge"), replicas, up=True)
    unavailable = _resolve(rolling.get("maxUnavailable"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Fenceposts(surge, min(unavailable, replicas) if replicas else unavailable)


def new_replicas(wanted: int, current_new: int, current_total: int, posts: Fenceposts) -> int:
    """Replicas the new ReplicaSet may have now.

    Args:
        wanted: Replicas of the Deployment.
        current_new: ``spec.replicas`` of the new ReplicaSet.
        current_total: Sum of ``spec.replicas`` over all its ReplicaSets.
        posts: The limits.
    """
    if current_new > wanted:
        return wanted
    room = wanted + posts.surge - current_total
    if room <= 0:
        return current_new
    return min(wanted, current_new + room)


@dataclass(frozen=True, slots=True)
class Counts:
    """One ReplicaSet's numbers: asked for, and available."""

    replicas: int
    available: int


def old_replicas(wanted: int, new: Counts, old: Sequence[Counts], posts: Fenceposts) -> list[int]:
    """Replicas that each old ReplicaSet (oldest first) may keep now.

    Pods that are not available go first, since removing them costs nothing; then as many available ones as the limit
    of unavailability leaves.
    """
    kept = [counts.replicas for counts in old]
    if not sum(kept):
        return kept
    minimum = wanted - posts.unavailable
    new_unavailable = new.replicas - new.available
    budget = sum(kept) + new.replicas - minimum - new_unavailable
    if budget <= 0:
        return kept
    for index, counts in enumerate(old):
        unhealthy = min(budget, max(0, counts.replicas - counts.available))
        kept[index] -= unhealthy
        budget -= unhealthy
    available = new.available + sum(min(c.available, k) for c, k in zip(old, kept, strict=True))
    spare = available - minimum
    for index in range(len(kept)):
        taken = min(max(0, spare), kept[index])
        kept[index] -= taken
        spare -= taken
    return kept


def proportional(wanted: int, sizes: Sequence[int], posts: Fenceposts) -> list[int]:
    """Spread a new size over ReplicaSets (newest first) in the ratio of their present sizes, while a roll-out is under way."""
    total = sum(sizes)
    allowed = wanted + posts.surge if wanted else 0
    change = allowed - total
    if not total or not change:
        return list(sizes)
    result = list(sizes)
    rest = change
    for index, size in enumerate(sizes):
        share = round(size * allowed / total) - size
        share = min(share, rest) if change > 0 else max(share, rest)
        result[index] += share
        rest -= share
    result[0] = max(0, result[0] + rest)
    return result


def same_template(left: Object, right: Object) -> bool:
    """Whether two pod templates are the same but for the hash label."""
    return _bare(left) == _bare(right)


def _bare(template: Object) -> Object:
    template = copy(template)
    metadata = template.setdefault("metadata", {})
    (metadata.get("labels") or {}).pop(HASH_LABEL, None)
    metadata.pop("creationTimestamp", None)
    template["metadata"] = {key: value for key, value in metadata.items() if value}
    return template
