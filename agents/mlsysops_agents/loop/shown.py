"""What policies see of mechanisms, worked out when they look: most analyses look at one of them, or at none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_core.contracts import Mechanism
from mlsysops_core.lazy import LazyDict

__all__ = ["Shown"]


class Shown(LazyDict[dict[str, Any]]):
    """The ``mechanisms`` argument: ``{name: {"state": …, "options": …}}``, the same for the whole turn.

    Args:
        mechanisms: The agent's mechanisms.
    """

    def __init__(self, mechanisms: Mapping[str, Mechanism]) -> None:
        def look(name: str) -> dict[str, Any]:
            mechanism = mechanisms[name]
            looks = {"state": mechanism.get_state, "options": mechanism.get_options}
            return LazyDict(looks, lambda what: looks[what]())

        super().__init__(mechanisms, look)
