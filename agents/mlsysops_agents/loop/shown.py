"""What policies see of mechanisms, worked out when they look: most analyses look at one of them, or at none."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, ValuesView
from typing import Any

from mlsysops_core.contracts import Mechanism

__all__ = ["Shown"]


class Shown(dict[str, dict[str, Any]]):
    """The ``mechanisms`` argument: ``{name: {"state": …, "options": …}}``, the same for the whole turn.

    Args:
        mechanisms: The agent's mechanisms.
    """

    def __init__(self, mechanisms: Mapping[str, Mechanism]) -> None:
        super().__init__({name: {} for name in mechanisms})
        self._unseen = dict(mechanisms)

    def __getitem__(self, name: str) -> dict[str, Any]:
        mechanism = self._unseen.pop(name, None)
        if mechanism is not None:
            self[name] = {"state": mechanism.get_state(), "options": mechanism.get_options()}
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of any dict."""
        try:
            return self[name]
        except KeyError:
            return default

    def items(self) -> ItemsView[str, dict[str, Any]]:  # type: ignore[override]  # a view of another dict
        """As of any dict."""
        return self.copy().items()

    def values(self) -> ValuesView[dict[str, Any]]:  # type: ignore[override]  # as above
        """As of any dict."""
        return self.copy().values()

    def copy(self) -> dict[str, dict[str, Any]]:
        """As of any dict."""
        return {name: self[name] for name in self}
