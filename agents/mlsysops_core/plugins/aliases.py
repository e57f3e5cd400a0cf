"""Mechanisms under the names that existing policies know them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_core.contracts import Mechanism, Outcome

__all__ = ["Alias", "with_aliases"]


class Alias:
    """A mechanism under another name: one and the same, so that both names touch the same assets and one record is kept.

    It is not asked to put settings back: the mechanism itself is.

    Args:
        mechanism: The mechanism.
    """

    def __init__(self, mechanism: Mechanism) -> None:
        self._mechanism = mechanism

    @property
    def original(self) -> Mechanism:
        """The mechanism."""
        return self._mechanism

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Carry out a command."""
        return await self._mechanism.apply(command)

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return what a command touches."""
        return self._mechanism.assets(command)

    def check(self, command: Mapping[str, Any]) -> str:
        """Say why a command no longer makes sense."""
        return self._mechanism.check(command)

    def get_state(self) -> dict[str, Any]:
        """Return the mechanism's state."""
        return self._mechanism.get_state()

    def get_status(self) -> dict[str, Any]:
        """Return the mechanism's health."""
        return self._mechanism.get_status()

    def get_options(self) -> dict[str, Any]:
        """Return what commands are possible."""
        return self._mechanism.get_options()


def with_aliases(name: str, mechanism: Mechanism) -> dict[str, Mechanism]:
    """Return a mechanism under its name and under those of its class attribute ``aliases``."""
    others = {str(alias): Alias(mechanism) for alias in getattr(mechanism, "aliases", ())}
    return {name: mechanism, **others}
