"""Rejections as one line, a filter at a time, as kube-scheduler users know it."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysops_core.contracts import Rejected

__all__ = ["explain"]

#: Different reasons told of one filter; the rest are only counted.
_MAX_REASONS = 3


def explain(rejected: Sequence[Rejected], total: int, what: str) -> str:
    """Return e.g. ``0/2 nodes fit: 1 removed by architecture (needs arm64, is amd64), 1 removed by memory (…)``.

    Args:
        rejected: The candidates that were removed, each once.
        total: How many candidates there were.
        what: What they are called.
    """
    text = f"{total - len(rejected)}/{total} {what} fit"
    if not rejected:
        return text if total else f"{text}: there are none"
    by_filter: dict[str, list[str]] = {}
    for item in rejected:
        by_filter.setdefault(item.filter, []).append(item.reason)
    parts = []
    for name, reasons in by_filter.items():
        different = list(dict.fromkeys(reasons))
        told = "; ".join(different[:_MAX_REASONS]) + ("; …" if len(different) > _MAX_REASONS else "")
        parts.append(f"{len(reasons)} removed by {name} ({told})")
    return f"{text}: {', '.join(parts)}"
