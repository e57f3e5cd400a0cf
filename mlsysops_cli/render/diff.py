"""Differences between two trees of YAML files, as text that `diff` and people know."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TreeDiff", "diff_trees"]


@dataclass(slots=True)
class TreeDiff:
    """What differs.

    Attributes:
        changed: Relative paths, sorted.
        text: A unified diff.
    """

    changed: list[str] = field(default_factory=list)
    text: str = ""


def diff_trees(
    old: Mapping[str, str], new: Mapping[str, str], *, old_name: str = "live", new_name: str = "rendered"
) -> TreeDiff:
    """Compare two trees of texts by path."""
    result = TreeDiff()
    pieces: list[str] = []
    for path in sorted({*old, *new}):
        before, after = old.get(path, ""), new.get(path, "")
        if before == after:
            continue
        result.changed.append(path)
        pieces += difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"{old_name}/{path}",
            f"{new_name}/{path}",
        )
    result.text = "".join(pieces)
    return result
