"""Composition of the node tier: measures its worker, says so, and runs the node's policies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysops_core.contracts import Clock, Mechanism, Scope
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import PluginError

from mlsysops_agents.adapters.kubernetes import Change, ChangeKind, StatusWriter
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES
from mlsysops_agents.adapters.telemetry import HostMetrics, HostSnapshot
from mlsysops_agents.extension import Concerns, Decisions, PolicyManager, TargetedInputs, make_extensions
from mlsysops_agents.loop import Engine, SqliteKnowledge, SystemClock, Trigger, status_entry

from .farewell import Farewell
from .settings import UNINSTALL, is_uninstalled, put_back, put_back_orphans, restore_node, tidy
from .status import NodeReport
from .world import NodeHandle, NodeWorld, components_here

if TYPE_CHECKING:
    from mlsysops_agents.process import Runtime

__all__ = ["NodeAgent", "run"]

_log = logging.getLogger(__name__)

_STATUS_SECONDS = 30.0
_LAST_WORDS_SECONDS = 3.0


async def run(runtime: Runtime) -> None:
    """Run the tier until cancelled.

    Raises:
        PluginError: A plug-in of this node cannot be used; the node's Ready condition says so, too.
    """
    await NodeAgent(runtime).run()


class NodeAgent:
    """One node's agent.

    Args:
        runtime: What it is composed from.
        host: Measures the machine.
    """

    def __init__(self, runtime: Runtime, *, host: HostMetrics | None = None) -> None:
        self._runtime = runtime
        self._name = runtime.identity.name
        self._host = host or HostMetrics()
        self._snapshot: HostSnapshot | None = None
        self._report: NodeReport | None = None  # None while there is no MLSysOpsNode to report to
        self._writer = StatusWriter(
            runtime.objects.client,
            MLSYSOPS_NODES,
            self._name,
            runtime.identity.namespace,
            interval=_STATUS_SECONDS,
        )
        self._appeared = asyncio.Event()
        self._engine: Engine | None = None
        self._handle: NodeHandle | None = None
        self._manager: PolicyManager | None = None
        self._mechanisms: Mapping[str, Mechanism] = {}
        self._settling: set[asyncio.Task[bool]] = set()
        self._resists = asyncio.Event()
        self._own = (self._name, f"system/{self._name}")
        self._concerns = Concerns(self._own)
        self._decisions = Decisions(
            runtime.objects,
            lambda _asset: runtime.objects.get("MLSysOpsNode", self._name),
            lambda _asset: self._publish(),
        )
        self._ready = (True, "AgentRunning", "")
        self._farewell = Farewell(runtime.heartbeat, self._name)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._decisions.tasks = tasks
            tasks.create_task(self._measure(), name="host-metrics")
            tasks.create_task(self._writer.run(), name="status")
            self._runtime.objects.permissions.on_change = self._permissions_changed
            cache = self._runtime.objects.follow("MLSysOpsNode", self._on_node, name=self._name)
            await cache.wait_synced()
            if not self._appeared.is_set():
                _log.info("waiting for MLSysOpsNode %s to be registered", self._name)
            await self._appeared.wait()
            told = self._runtime.objects.follow(
                "ConfigMap", self._farewell.on_config_map, namespace=self._runtime.identity.framework_namespace
            )
            await told.wait_synced()
            await self._until_uninstalled()
            self._ready = (False, "Uninstalled", "settings are put back, and no policy runs")
            self._publish(urgent=True)
            await self._farewell.serve(lambda: restore_node(self._runtime.config))
            # Whoever keeps the process starts it anew; nothing of it is left then that could decide by accident.
            raise MlsError("the agent is not uninstalled after all: it has to start anew")

    async def _until_uninstalled(self) -> None:
        """Run the loop until it ends, or the agent is told that it is uninstalled."""
        if self._farewell.said:
            return
        loop = asyncio.create_task(self._loop(), name="loop")
        told = asyncio.create_task(self._farewell.wait(), name="farewell")
        try:
            await asyncio.wait({loop, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            loop.cancel()
            await asyncio.wait({loop})
        if not loop.cancelled():
            loop.result()
            raise MlsError("the loop of the node's agent ended by itself")

    # -- the node's object ---------------------------------------------------------------------------------------

    def _on_node(self, change: Change) -> None:
        if change.kind is ChangeKind.DELETED:
            _log.warning("MLSysOpsNode %s is gone; waiting for it to be registered again", self._name)
            self._report = None
            # What was permitted by a description that is no more is permitted no longer.
            self._later(f"node {self._name} is unregistered", put_back(self._mechanisms))
            return
        before = (change.old or {}).get("metadata", {})
        now = change.new["metadata"]
        made_anew = self._report is None or before.get("uid") != now.get("uid")
        if made_anew:
            _log.info("found MLSysOpsNode %s", self._name)
            self._report = NodeReport(change.new.get("status"))
        if made_anew or before.get("generation") != now.get("generation"):
            self._appeared.set()
            self._publish(urgent=True)
            self._notify_own(Trigger("change", f"MLSysOpsNode {self._name}"))
            if self._manager is not None:
                self._manager.on_own_object(change.new)
        if made_anew:
            self._writer.invalidate()

    def _publish(self, *, urgent: bool = False) -> None:
        if self._report is None:
            return
        node = self._runtime.objects.get("MLSysOpsNode", self._name)
        if node is not None:
            self._report.observed(node["metadata"].get("generation"))
        refused = self._runtime.objects.permissions.refused()
        missing = (False, "Forbidden", f"the agent may not {'; nor '.join(refused)}"[:1024])
        changed = self._report.ready(*(missing if refused and self._ready[0] else self._ready))
        if self._engine is not None:
            told = self._decisions.newest([*self._own, *(self._engine.assets - set(self._own))])
            changed |= self._report.decisions([status_entry(item) for item in told])
            broken = self._manager.conditions() if self._manager is not None else []
            changed |= self._report.policies([*self._engine.conditions(), *broken])
        if self._manager is not None:
            changed |= self._report.policy_statuses(self._manager.statuses())
        if self._handle is not None:
            changed |= self._report.requests(self._handle.requests())
        self._writer.offer(self._report.status(self._snapshot), urgent=urgent or changed)

    def _permissions_changed(self) -> None:
        if refused := self._runtime.objects.permissions.refused():
            _log.warning("the agent may not %s", "; nor ".join(refused))
        self._publish(urgent=True)

    async def _measure(self) -> None:
        resource = {"service.name": "mlsysops-node-agent", "k8s.node.name": self._name}
        while True:
            self._snapshot = await asyncio.to_thread(self._host.measure)
            self._runtime.telemetry.ingest(self._host.points(self._snapshot, resource))
            self._publish()
            await asyncio.sleep(self._runtime.config.telemetry.interval)

    # -- the loop ------------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        runtime = self._runtime
        clock = SystemClock()
        config = runtime.config
        handle = self._handle = NodeHandle(
            runtime.identity,
            clock,
            runtime.objects,
            runtime.telemetry,
            root=config.host_root,
            state_dir=config.state_dir,
        )
        node = runtime.objects.get("MLSysOpsNode", self._name) or {}
        handle.remember((node.get("status") or {}).get("requests") or ())
        loop = asyncio.get_running_loop()

        def requested() -> None:
            loop.call_soon_threadsafe(self._publish)

        handle.on_requests = requested
        inputs = TargetedInputs(NodeWorld(runtime.identity, runtime.objects, runtime.telemetry))
        loader, manager = make_extensions(runtime, handle, inputs, self._message)
        self._manager = manager
        try:
            mechanisms = self._mechanisms = await loader.load()
            policies = await manager.load()
        except PluginError as exc:
            await self._last_words("PluginUnusable", str(exc))
            raise
        # An agent that starts is not on its way out, whatever its predecessor was told.
        (config.state_dir / UNINSTALL).unlink(missing_ok=True)
        knowledge = self._decisions.knowledge = SqliteKnowledge(runtime.config.state_dir / "knowledge.sqlite")
        try:
            engine = Engine(
                runtime.identity,
                clock=clock,
                knowledge=knowledge,
                inputs=inputs,
                policies=(),
                mechanisms=self._mechanisms,
                on_decision=self._decisions.take,
            )
            self._engine = engine
            engine.on_conditions = lambda _: self._publish()
            handle.on_notify = lambda asset, reason: engine.notify(asset, Trigger("request", reason))
            _log.info(
                "policies: %s; mechanisms: %s",
                ", ".join(policy.name for policy in policies) or "none",
                ", ".join(mechanisms) or "none",
            )

            def watch() -> None:
                runtime.objects.follow("MLSysOpsApp", self._on_application)
                runtime.objects.follow("Pod", self._on_pod, field_selector=f"spec.nodeName={self._name}")
                runtime.telemetry.subscribe(lambda samples: engine.observe(samples, self._concerns.assets))

            # A node without policies need not know of applications.
            manager.on_first = watch
            manager.on_removed = self.policy_removed
            manager.on_statuses = lambda: self._publish(urgent=True)
            manager.on_own_object(node)
            settings = runtime.objects.follow(
                "ConfigMap", manager.on_config_map, namespace=runtime.identity.framework_namespace
            )
            await settings.wait_synced()
            for asset, scope in zip(self._own, (Scope.NODE, Scope.SYSTEM), strict=True):
                engine.add_asset(asset, scope)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(engine.run(), name="engine")
                tasks.create_task(manager.run(engine), name="policies")
                tasks.create_task(self._put_back_orphans(manager, clock), name="orphans")
        finally:
            self._engine = None
            if self._farewell.said or is_uninstalled(config.state_dir):
                await self._settle("uninstalled", put_back(self._mechanisms))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS_SECONDS):
                        await self._writer.flush()
            await loader.close()
            knowledge.close()

    def _message(self, message: Any) -> None:
        """Take what a module mechanism reports: it may matter to every asset."""
        if self._engine is not None:
            for asset in self._engine.assets:
                self._engine.notify(asset, Trigger("change", "mechanism"))

    # -- what mechanisms have set --------------------------------------------------------------------------------

    async def _put_back_orphans(self, manager: PolicyManager, clock: Clock) -> None:
        """Put back what policies had set that were taken away, also while the agent was not running."""
        await manager.settled()
        await put_back_orphans(self._mechanisms, lambda: manager.known, clock, self._policy_gone, self._resists)

    async def policy_removed(self, name: str) -> None:
        """Put back what a policy that no longer runs had set."""
        if not await self._policy_gone(name):
            self._resists.set()

    async def _policy_gone(self, name: str) -> bool:
        return await self._settle(f"policy {name} is removed", put_back(self._mechanisms, policy=name))

    async def _settle(self, why: str, work: Awaitable[Sequence[str]]) -> bool:
        try:
            for line in await work:
                _log.info("%s: %s", why, line)
        except MlsError as exc:
            # It stays on record: the next occasion, or the next process, tries again.
            _log.error("%s: %s", why, exc)
            return False
        return True

    def _later(self, why: str, work: Coroutine[Any, Any, Sequence[str]]) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(why, work))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _on_pod(self, change: Change) -> None:
        """What was set for a pod's containers and addresses must not befall those who get them next."""
        if change.kind is ChangeKind.DELETED:
            self._later(f"pod {change.new['metadata']['name']} is gone", tidy(self._mechanisms))

    def _components_left(self, change: Change) -> None:
        name = str(change.new["metadata"]["name"])
        before = components_here(change.old or change.new, self._name)
        now = [] if change.kind is ChangeKind.DELETED else components_here(change.new, self._name)
        left = frozenset(f"application/{name}/{component}" for component in set(before) - set(now))
        if left:
            self._later(f"{', '.join(sorted(left))} left", put_back(self._mechanisms, assets=left))

    def _on_application(self, change: Change) -> None:
        engine = self._engine
        if engine is None:
            return
        self._components_left(change)
        name = str(change.new["metadata"]["name"])
        asset, trigger = f"application/{name}", Trigger("change", f"MLSysOpsApp {name}")
        here = [] if change.kind is ChangeKind.DELETED else components_here(change.new, self._name)
        if not here:
            self._concerns.forget(name)
            if asset in engine.assets:
                engine.remove_asset(asset)
                self._decisions.forget(asset)
                self._notify_own(trigger)
            return
        self._concerns.note(name, here)
        if asset not in engine.assets:
            engine.add_asset(asset, Scope.APPLICATION)
        elif (change.old or {}).get("metadata", {}).get("generation") != change.new["metadata"].get("generation"):
            engine.notify(asset, trigger)
        else:
            return
        self._notify_own(trigger)

    def _notify_own(self, trigger: Trigger) -> None:
        """Have what the agent looks after as a whole analysed: something in it has changed."""
        if self._engine is not None:
            for asset in self._own:
                self._engine.notify(asset, trigger)

    async def _last_words(self, reason: str, message: str) -> None:
        """Say in the node's status why the agent stops; as far as the API lets it."""
        self._ready = (False, reason, message[:1024])
        self._publish(urgent=True)
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._writer.flush()
        except (MlsError, TimeoutError) as exc:
            _log.warning("the node's status does not tell that the agent stops: %s", str(exc) or type(exc).__name__)
