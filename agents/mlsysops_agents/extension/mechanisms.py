"""Which mechanisms an agent has: typed ones in its own process, module files of its plug-in directories in a process each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Mechanism, PluginHandle
from mlsysops_core.plugins import PluginError, load_mechanisms
from mlsysops_core.plugins.modules import gives_way, mechanism_name_of, plugin_files

from mlsysops_agents.adapters.worker import PackageEnvironments, WorkerLimits, WorkerMechanism, load_mechanism_in_worker

__all__ = ["Mechanisms"]

_log = logging.getLogger(__name__)

_DIRECTORY = "workers"


class Mechanisms:
    """Loads mechanisms, and ends the processes of those that have one.

    Args:
        handle: What typed mechanisms get to reach the agent.
        directories: Where ``mechanism-<name>.py`` files are; ``mechanisms/<name>.py`` below them count, too.
        state_dir: Where the agent keeps its state; workers run below it.
        limits: What a worker may use.
        packages: Gives module mechanisms the packages that they need; None where they have to do with the agent's own.
        listener: Takes each message that a module mechanism puts on its queue.
    """

    def __init__(
        self,
        handle: PluginHandle,
        directories: Iterable[Path],
        state_dir: Path,
        *,
        limits: WorkerLimits | None = None,
        packages: PackageEnvironments | None = None,
        listener: Callable[[Any], None] | None = None,
    ) -> None:
        self._handle = handle
        self._directories = tuple(directories)
        self._scratch = state_dir / _DIRECTORY
        self._limits = limits or WorkerLimits()
        self._packages = packages
        self._listener = listener
        self._workers: list[WorkerMechanism] = []

    async def load(self) -> dict[str, Mechanism]:
        """Load them, by name; a file takes the place of a typed one of its name.

        Raises:
            PluginError: One of them cannot be used; it names all that are wrong.
        """
        faults: list[str] = []
        found: dict[str, Mechanism] = {}
        try:
            found = {loaded.name: loaded.mechanism for loaded in load_mechanisms(self._handle)}
        except PluginError as exc:
            faults.append(str(exc))
        facts, built_in = _facts(self._handle, found), frozenset(found)
        for path in await asyncio.to_thread(self._files):
            if gives_way(path, built_in):
                _log.info("%s is left aside: mechanism %s is built in", path, mechanism_name_of(path))
                continue
            try:
                name, worker = await self._load_file(path, facts)
            except PluginError as exc:
                faults.append(str(exc))
            else:
                found[name] = worker
        if faults:
            await self.close()
            raise PluginError("; ".join(faults))
        return found

    async def close(self) -> None:
        """End all workers."""
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)

    def _files(self) -> list[Path]:
        # A directory that is not there is told of by whoever looks for policies in it.
        return [path for directory in self._directories for path in plugin_files(directory, "mechanism")]

    async def _load_file(self, path: Path, facts: Mapping[str, Any]) -> tuple[str, WorkerMechanism]:
        name = mechanism_name_of(path)
        try:
            source = await asyncio.to_thread(path.read_bytes)
        except OSError as exc:
            raise PluginError(f"mechanism {name}: cannot read {path}: {exc.strerror}") from exc
        _, worker = await load_mechanism_in_worker(
            name,
            path,
            source,
            limits=self._limits,
            directory=self._scratch / f"mechanism-{name}",
            packages=self._packages,
            facts=facts,
            listener=self._listener,
        )
        self._workers.append(worker)
        return name, worker


def _facts(handle: PluginHandle, mechanisms: Iterable[str]) -> dict[str, Any]:
    """Return what a module's `initialize` is told of the agent."""
    agent = handle.agent
    return {
        "node": agent.name,
        "cluster": agent.name if agent.tier == "cluster" else "",
        "continuum_layer": agent.tier,
        "system_description": _description(handle, agent),
        "mechanisms": sorted(mechanisms),
    }


def _description(handle: PluginHandle, agent: AgentIdentity) -> dict[str, Any]:
    kind = {"continuum": "MLSysOpsContinuum", "cluster": "MLSysOpsCluster"}.get(agent.tier, "MLSysOpsNode")
    described = handle.objects.get(kind, agent.name) or {}
    return {kind: dict(described.get("spec") or {})}
