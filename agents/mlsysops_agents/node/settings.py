"""Putting back what mechanisms changed on a node: when a policy goes, when a component leaves, when the agent is uninstalled.

An agent that merely stops leaves everything as it is: its successor goes on from there. Uninstalling is said by a file,
``uninstall`` in the state directory, before the agent is told to stop; or, where no agent runs any more, by
``python -m mlsysops_agents node --config F --restore``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, Mechanism, Object
from mlsysops_core.errors import MlsError, PartialFailure
from mlsysops_core.knobs import Restorable
from mlsysops_core.plugins import load_mechanisms

from mlsysops_agents.adapters.telemetry import TelemetryStore
from mlsysops_agents.config import AgentConfig
from mlsysops_agents.loop import SystemClock

from .world import NodeHandle

__all__ = ["UNINSTALL", "is_uninstalled", "orphaned", "put_back", "put_back_orphans", "restore_node", "tidy"]

_log = logging.getLogger(__name__)

#: What could not be put back is tried again after this many seconds.
_AGAIN_SECONDS = 60.0
#: File in the state directory that says that the agent will not come back.
UNINSTALL = "uninstall"


def is_uninstalled(state_dir: Path) -> bool:
    """Say whether the agent is stopping for good."""
    return (state_dir / UNINSTALL).exists()


async def put_back(
    mechanisms: Mapping[str, Mechanism], *, policy: str | None = None, assets: Set[str] | None = None
) -> list[str]:
    """Let every mechanism that can put back what it changed.

    Args:
        mechanisms: Mechanisms by name.
        policy: Only what this policy asked for last.
        assets: Only what belongs to these assets.

    Returns:
        One line for each setting.

    Raises:
        PartialFailure: Some settings could not be put back; the others are.
    """
    return await _all(mechanisms, lambda mechanism: mechanism.restore(policy=policy, assets=assets))


async def tidy(mechanisms: Mapping[str, Mechanism]) -> list[str]:
    """Let every mechanism give up what was set for something that is gone; result and errors as of `put_back`."""
    return await _all(mechanisms, lambda mechanism: mechanism.tidy())


def orphaned(mechanisms: Mapping[str, Mechanism], policies: Set[str]) -> frozenset[str]:
    """Return the policies whose settings are in force although they are not among those that run."""
    held = (item.policies() for item in mechanisms.values() if isinstance(item, Restorable))
    return frozenset[str]().union(*held) - policies


async def put_back_orphans(
    mechanisms: Mapping[str, Mechanism],
    policies: Callable[[], Set[str]],
    clock: Clock,
    put_back_of: Callable[[str], Awaitable[bool]],
    resists: asyncio.Event,
) -> None:
    """Put back what policies had set that do not run any more, until cancelled.

    Args:
        mechanisms: Mechanisms by name.
        policies: The policies that run.
        clock: Time.
        put_back_of: Puts back what a policy had set; says whether all of it is.
        resists: Set where some of it is not: a CPU that is offline, a knob that is busy. It is tried again then.
    """
    while True:
        for policy in sorted(orphaned(mechanisms, policies())):
            if not await put_back_of(policy):
                resists.set()
        await resists.wait()
        resists.clear()
        await clock.sleep(_AGAIN_SECONDS)


async def _all(
    mechanisms: Mapping[str, Mechanism], work: Callable[[Restorable], Awaitable[Sequence[str]]]
) -> list[str]:
    restorable = {name: item for name, item in mechanisms.items() if isinstance(item, Restorable)}
    results = await asyncio.gather(*(work(item) for item in restorable.values()), return_exceptions=True)
    told: list[str] = []
    failed: list[str] = []
    for name, result in zip(restorable, results, strict=True):
        if isinstance(result, MlsError):
            failed.append(f"{name}: {result}")
        elif isinstance(result, BaseException):
            raise result
        else:
            told.extend(f"{name}: {line}" for line in result)
    if failed:
        raise PartialFailure("; ".join(failed))
    return told


async def restore_node(config: AgentConfig) -> Sequence[str]:
    """Put back everything that an agent which no longer runs had changed; needs no control plane.

    What the agent asked its cluster for ends with the node's object there.

    Raises:
        PluginError: A mechanism cannot be used.
        PartialFailure: Some settings could not be put back.
    """
    handle = NodeHandle(
        config.identity,
        SystemClock(),
        _NoObjects(config.identity),
        TelemetryStore(),
        root=config.host_root,
        state_dir=config.state_dir,
    )
    # Those in plug-in directories have nothing to put back: the interface of module mechanisms has no word for it.
    mechanisms = load_mechanisms(handle)
    return await put_back({loaded.name: loaded.mechanism for loaded in mechanisms})


class _NoObjects:
    """The control plane of an agent that does not run: there is nothing to see, and nothing can be written."""

    def __init__(self, agent: AgentIdentity) -> None:
        self._agent = agent

    def get(self, kind: str, name: str) -> Object | None:
        return None

    def items(self, kind: str) -> Sequence[Object]:
        return ()

    def labelled(self, kind: str, label: str, value: str) -> Sequence[Object]:
        return ()

    async def apply(self, obj: Mapping[str, Any], *, field_manager: str) -> Object:
        raise self._error()

    async def resize(self, pod: str, resources: Mapping[str, Mapping[str, Any]], *, field_manager: str) -> Object:
        raise self._error()

    async def annotate(
        self, kind: str, name: str, annotations: Mapping[str, str | None], *, field_manager: str
    ) -> Object:
        raise self._error()

    async def delete(self, kind: str, name: str, *, uid: str | None = None) -> bool:
        raise self._error()

    async def event(self, regarding: Mapping[str, Any], *, kind: Any, reason: str, message: str) -> None:
        _log.info("%s: %s", reason, message)

    def _error(self) -> MlsError:
        return MlsError(f"agent {self._agent.name} is not connected to a control plane")
