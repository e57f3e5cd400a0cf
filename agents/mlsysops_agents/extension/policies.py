"""Which policies an agent runs now: its built-in ones, those of its directories, and those that people send it.

Everything is worked out anew from what there is whenever something changes. A policy that was sent is loaded in a process of
its own first; only when that works does it take the place of what ran before, so a broken one breaks nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import AgentIdentity, PluginHandle
from mlsysops_core.model.agents import CONFIG, FOR_AGENTS, POLICY, AgentSettings, own_labels
from mlsysops_core.plugins import LoadedPolicy, PluginError, load_policies
from mlsysops_core.plugins.loader import policy_entries
from mlsysops_core.plugins.modules import plugin_files, policy_name_of

from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.adapters.worker import (
    PackageEnvironments,
    WorkerClass,
    WorkerLimits,
    WorkerPolicy,
    load_class_in_worker,
    load_in_worker,
)
from mlsysops_agents.loop import Engine, Trigger

from .sent import SentPolicies
from .settings import SETTINGS, SliceSettings, TargetedInputs, read_settings
from .trust import Trust
from .wanted import Wanted

__all__ = ["PolicyManager"]

_log = logging.getLogger(__name__)


class PolicyManager:
    """Keeps an engine's policies as they are wanted.

    Args:
        handle: What typed policies get to reach the agent.
        directories: Where ``policy-<name>.py`` files are.
        state_dir: Where the agent keeps its state; workers run below it.
        inputs: Gets the slice's settings.
        limits: What a worker may use.
        trust: Which policies may run, from the agent's own configuration; any where None.
        packages: Gives policies the packages that they ask for; None where they have to do with the agent's own.
    """

    def __init__(
        self,
        handle: PluginHandle,
        directories: Iterable[Path],
        state_dir: Path,
        inputs: TargetedInputs,
        *,
        limits: WorkerLimits | None = None,
        trust: Trust | None = None,
        packages: PackageEnvironments | None = None,
    ) -> None:
        self._packages = packages
        self._handle = handle
        self._agent: AgentIdentity = handle.agent
        self._directories = tuple(directories)
        self._scratch = state_dir / "workers"
        self._inputs = inputs
        self._limits = limits or WorkerLimits()
        self._own: dict[str, LoadedPolicy] = {}
        self._own_workers: list[WorkerPolicy] = []
        self._sent = SentPolicies(
            self._load, trust or Trust("agent's configuration"), self._own_workers.append, self._notice
        )
        self._objects: dict[str, Mapping[str, Any]] = {}
        self._faults: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._running: dict[str, LoadedPolicy] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._level = logging.getLogger().level
        #: Called with a metric that a policy pushes: its name, value and attributes.
        self.on_metric: Callable[[str, float, Mapping[str, str]], None] | None = None
        #: Called when `statuses` changed.
        self.on_statuses: Callable[[], None] = lambda: None
        #: Called with the name of a policy that decides no longer and hands nothing over: its settings may be put back.
        self.on_removed: Callable[[str], Awaitable[None]] | None = None
        #: Called when a policy is there for the first time.
        self.on_first: Callable[[], None] = lambda: None

    # -- what there is -----------------------------------------------------------------------------------------

    async def load(self) -> list[LoadedPolicy]:
        """Load the agent's own policies: built-in ones here, installed ones and module files in a process each.

        Raises:
            PluginError: One of them cannot be used; it names all that are wrong.
        """
        faults: list[str] = []
        try:
            self._own = {policy.name: policy for policy in load_policies(self._handle)}
        except PluginError as exc:
            faults.append(str(exc))
        for entry in policy_entries()[1]:
            try:
                await self._load_installed(entry)
            except PluginError as exc:
                faults.append(str(exc))
        for directory in self._directories:
            if not directory.is_dir():
                faults.append(f"plug-in directory {directory} does not exist")
            for path in plugin_files(directory, "policy"):
                try:
                    loaded = await self._load_file(path)
                except PluginError as exc:
                    faults.append(str(exc))
                else:
                    if loaded.declaration.node_name in (None, self._agent.name):
                        self._own[loaded.name] = loaded
        if faults:
            await self.close()
            raise PluginError("; ".join(faults))
        return list(self._own.values())

    async def _load_installed(self, entry: EntryPoint) -> None:
        directory = self._scratch / entry.name.replace("/", "_")
        made = await load_class_in_worker(entry, self._handle, limits=self._limits, directory=directory)
        if made is not None:
            loaded, worker = made
            worker.on_metric = self.on_metric
            self._own_workers.append(worker)
            self._own[loaded.name] = loaded

    async def _load_file(self, path: Path) -> LoadedPolicy:
        name = policy_name_of(path)
        try:
            source = await asyncio.to_thread(path.read_bytes)
        except OSError as exc:
            raise PluginError(f"policy {name}: cannot read {path}: {exc.strerror}") from exc
        loaded, worker = await self._load(name, str(path), source)
        self._own_workers.append(worker)
        return loaded

    def _notice(self) -> None:
        self._changed.set()

    async def _load(self, name: str, path: str, source: bytes) -> tuple[LoadedPolicy, WorkerPolicy]:
        loaded, worker = await load_in_worker(
            name, path, source, limits=self._limits, directory=self._scratch / name, packages=self._packages
        )
        worker.on_metric = self.on_metric
        return loaded, worker

    def on_config_map(self, change: Change) -> None:
        """Take note of a ConfigMap of the framework's namespace."""
        name = str(change.new["metadata"]["name"])
        labels = change.new["metadata"].get("labels") or {}
        if name == SETTINGS or labels.get(FOR_AGENTS) in (POLICY, CONFIG):
            if change.kind is ChangeKind.DELETED:
                self._objects.pop(name, None)
            else:
                self._objects[name] = change.new
            self._changed.set()

    def on_own_object(self, obj: Mapping[str, Any] | None) -> None:
        """Take note of the agent's own description: selectors look at its labels."""
        labels = own_labels(self._agent.tier, self._agent.name, obj)
        if labels != self._labels:
            self._labels = labels
            self._changed.set()

    # -- what follows from it ----------------------------------------------------------------------------------

    async def run(self, engine: Engine) -> None:
        """Keep the engine's policies as they are wanted until cancelled."""
        self._running = dict(engine.policies)
        self._labels = self._labels or own_labels(self._agent.tier, self._agent.name, None)
        try:
            while True:
                self._changed.clear()
                await self._reconcile(engine)
                self._settled.set()
                await self._changed.wait()
        finally:
            await self.close()

    @property
    def known(self) -> frozenset[str]:
        """Names of the policies there are, also of those that do not decide now."""
        return frozenset({*self._own, *self._sent})

    async def settled(self) -> None:
        """Return when what was there at the start is in force."""
        await self._settled.wait()

    async def close(self) -> None:
        """End all workers."""
        await self._sent.close()
        await asyncio.gather(*(worker.close() for worker in self._own_workers), return_exceptions=True)
        self._own_workers.clear()

    async def _reconcile(self, engine: Engine) -> None:
        before = self.statuses()
        settings = read_settings((self._objects.get(SETTINGS) or {}).get("data"))
        changed = settings != self._inputs.settings
        self._inputs.settings = settings
        wanted = Wanted.read(self._objects, self._agent, self._labels)
        policies, told, self._faults = wanted.policies, wanted.settings, wanted.faults
        logging.getLogger().setLevel(told.log_level or self._level)
        # What can decide already does, before what was sent is loaded: that may take a while, and may fail.
        waiting = frozenset(name for name in policies if name not in self._sent)
        await self._enforce(engine, self._active(settings, told, without=waiting), settings)
        await self._sent.follow(policies, settings.trust)
        await self._enforce(engine, self._active(settings, told), settings)
        await self._end_unused()
        if changed:
            for asset in engine.assets:
                if asset.startswith("system/"):
                    engine.notify(asset, Trigger("change", "settings of the slice"))
        if self.statuses() != before:
            self.on_statuses()

    async def _enforce(self, engine: Engine, active: dict[str, LoadedPolicy], settings: SliceSettings) -> None:
        """Have the engine run these policies and no other."""
        first = bool(active) and not self._running
        gone = [name for name in self._running if name not in active]
        for name, policy in active.items():
            if self._running.get(name) != policy:
                engine.set_policy(policy)
        candidates = self._candidates()
        for name in gone:
            learned = name in candidates and candidates[name].declaration.machine_learning
            handed_over = learned and not settings.machine_learning
            engine.remove_policy(
                name,
                handed_over=f"the slice's mode is {settings.mode}" if handed_over else "",
                keep=name in candidates,
            )
        self._running = active
        for name in gone:
            if name not in candidates and self.on_removed is not None:
                await self.on_removed(name)
        if first:
            self.on_first()
        if gone:
            self.on_statuses()

    async def _end_unused(self) -> None:
        used = {id(policy.policy) for policy in (*self._own.values(), *self._candidates().values())}
        for worker in [item for item in self._own_workers if id(item) not in used]:
            self._own_workers.remove(worker)
            await worker.close()

    def _candidates(self) -> dict[str, LoadedPolicy]:
        return {**self._own, **self._sent.loaded()}

    def _active(
        self, settings: SliceSettings, told: AgentSettings, *, without: frozenset[str] = frozenset()
    ) -> dict[str, LoadedPolicy]:
        active: dict[str, LoadedPolicy] = {}
        for name, policy in self._candidates().items():
            if name in without and name not in self._running:
                continue
            given = told.policies.get(name)
            if given is not None and given.enabled is False:
                continue
            if policy.declaration.machine_learning and not settings.machine_learning:
                continue
            if policy.declaration.node_name not in (None, self._agent.name):
                continue
            configuration = dict(given.configuration) if given is not None else {}
            active[name] = replace(policy, configuration=configuration) if configuration else policy
        return active

    def conditions(self) -> list[dict[str, str]]:
        """Return one entry for each policy that cannot be used, as `Engine.conditions` does."""
        return [
            {
                "policy": item["name"],
                "asset": "this agent",
                "reason": f"Policy{item['state']}",
                "message": item["message"],
            }
            for item in self.statuses()
            if item["state"] in {"Failed", "Refused"}
        ]

    # -- what is told ------------------------------------------------------------------------------------------

    def statuses(self) -> list[dict[str, Any]]:
        """Return what the agent says of each policy (`mlsysops_core.model.status.PolicyStatus`), by name."""
        found: list[dict[str, Any]] = []
        candidates = self._candidates()
        for name in sorted({*candidates, *self._sent}):
            policy, sent = candidates.get(name), self._sent.get(name)
            state = "Running" if name in self._running else "Off"
            message = ""
            if sent is not None and sent.message:
                state, message = sent.state, sent.message
            elif name not in self._running:
                learned = policy is not None and policy.declaration.machine_learning
                off = learned and not self._inputs.settings.machine_learning
                message = "off in heuristic mode" if off else "switched off by settings"
            entry: dict[str, Any] = {
                "name": name,
                "state": state,
                "source": "sent" if sent is not None else _origin(policy),
                "version": policy.version if policy is not None else "",
                "message": message[:1024],
            }
            if sent is not None:
                entry |= {
                    "revision": sent.revision,
                    "wantedRevision": sent.wanted.current.revision,
                    "target": sent.wanted.target,
                }
            found.append(entry)
        found += [
            {"name": name, "state": "Failed", "source": "settings", "version": "", "message": message[:1024]}
            for name, message in sorted(self._faults.items())
        ]
        return found


def _origin(policy: LoadedPolicy | None) -> str:
    if policy is not None and isinstance(policy.policy, WorkerClass):
        return "installed"
    return "file" if policy is not None and isinstance(policy.policy, WorkerPolicy) else "built-in"
