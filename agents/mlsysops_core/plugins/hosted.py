"""A module mechanism inside its worker process: made once, then asked and commanded by its agent."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .codec import encode
from .framework_modules import agent_state_of
from .modules import ModuleMechanism, load_mechanism_source

__all__ = ["HostedMechanism"]

#: Characters of a state, status or options that an agent is sent.
_LARGEST_PART = 2**20


class HostedMechanism:
    """One module mechanism.

    Args:
        tell: Takes what the mechanism puts on a queue.
    """

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self._tell = tell
        self._mechanism: ModuleMechanism | None = None

    def load(self, name: str, path: str, source: bytes, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Load and initialise it; return its digest, and what it shows.

        Raises:
            PluginError: It cannot be used.
        """
        state = agent_state_of(facts)
        _, self._mechanism, digest = load_mechanism_source(
            name, Path(path), source, agent_state=state, listener=self._tell
        )
        return {"digest": digest, **self.look()}

    async def apply(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command; return the outcome's message, and what it shows now."""
        outcome = await self._loaded.apply(command)
        return {"message": outcome.message, **self.look()}

    def look(self) -> dict[str, Any]:
        """Return state, status and options; what cannot be had is told as a fault and left out."""
        found: dict[str, Any] = {}
        faults: list[str] = []
        for what in ("state", "status", "options"):
            try:
                found[what] = _fitting(encode(_shown(getattr(self._loaded, f"get_{what}")())))
            except Exception as exc:  # noqa: BLE001 -- user code: its faults are told, and hurt no other answer
                faults.append(f"get_{what}() failed: {type(exc).__name__}: {exc}")
        return {**found, "fault": "; ".join(faults)}

    def give(self, message: Any) -> None:
        """Hand a message of the agent over: whichever queue the mechanism listens on, it finds it there."""
        for queue in (self._loaded.inbound, self._loaded.outbound):
            queue.give(message)

    @property
    def _loaded(self) -> ModuleMechanism:
        if self._mechanism is None:
            raise LookupError("no mechanism is loaded")
        return self._mechanism


def _fitting(value: Any) -> Any:
    size = len(json.dumps(value))
    if size > _LARGEST_PART:
        raise ValueError(f"it has {size} characters, {_LARGEST_PART} at most are shown")
    return value


def _shown(value: Any) -> Any:
    if inspect.isawaitable(value):  # nobody could wait for it here
        if asyncio.iscoroutine(value):
            value.close()
        raise TypeError("it must not be a coroutine function")
    return value
