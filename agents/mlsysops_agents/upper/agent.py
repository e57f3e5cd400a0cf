"""The frame of an upper tier's agent: plug-ins in, a loop over their analyses, and a status that says how it goes."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mlsysops_core.contracts import Clock, Scope
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import PluginError

from mlsysops_agents.adapters.dirty import DirtySet
from mlsysops_agents.adapters.leases import LeaseWatch
from mlsysops_agents.adapters.overlay import ReadYourWrites
from mlsysops_agents.adapters.statuses import Statuses
from mlsysops_agents.extension import Concerns, Decisions, Mechanisms, PolicyManager, TargetedInputs, make_extensions
from mlsysops_agents.loop import Engine, SqliteKnowledge, SystemClock, Trigger

from .handle import UpperHandle
from .told import permitted
from .world import APP, ASSET, UpperWorld

if TYPE_CHECKING:
    from mlsysops_agents.adapters.kubernetes import Informer
    from mlsysops_agents.process import Runtime

__all__ = ["UpperAgent"]

_log = logging.getLogger(__name__)

_LAST_WORDS_SECONDS = 3.0


class UpperAgent(ABC):
    """Base of the cluster's and the continuum's agent.

    Args:
        runtime: What it is composed from.
        clock: Time; the machine's own where None.
    """

    #: What the agent looks after as a whole, and the kind of its object.
    scope: ClassVar[Scope]
    kind: ClassVar[str]

    _handle: UpperHandle
    _concerns: Concerns
    _inputs: TargetedInputs
    _mechanisms: Mechanisms
    _manager: PolicyManager

    def __init__(self, runtime: Runtime, clock: Clock | None) -> None:
        self._runtime = runtime
        self._identity = runtime.identity
        self._clock = clock or SystemClock()
        self._objects = ReadYourWrites(runtime.objects)
        self._dirty = DirtySet(self._clock, self._look)
        self._decisions = Decisions(self._objects, self._object_of, self._mark_asset)
        self._plugin_fault = ""
        #: Whether all caches have been there.
        self._complete = False
        self._leases: Informer | None = None
        self._lease_watch = LeaseWatch(
            self._clock, lambda: self._leases.items() if self._leases else (), self._mark_own
        )
        self._engine: Engine | None = None
        #: What the agent looks after as a whole: its own object, and targets of the system.
        self._own = (f"{self.scope.value}/{self._identity.name}", f"system/{self._identity.name}")

    # -- what a tier says ----------------------------------------------------------------------------------------

    @abstractmethod
    def _look(self, key: str) -> None:
        """Work out the status that a mark of the dirty set names."""

    @abstractmethod
    def _look_at_own(self) -> None:
        """Work out the status of the agent's own object."""

    @abstractmethod
    def _mark_own(self) -> None:
        """Mark the agent's own object."""

    @abstractmethod
    def _mark_application(self, name: str) -> None:
        """Mark an application."""

    @abstractmethod
    def _own_statuses(self) -> Statuses:
        """Return the writer of the own object's status."""

    @abstractmethod
    def _subscribe(self, engine: Engine) -> None:
        """Have changes and samples trigger analyses."""

    # -- the frame -------------------------------------------------------------------------------------------------

    def _extend(self, handle: UpperHandle, world: UpperWorld) -> None:
        """Make what needs the tier's own world: what policies are shown, and the plug-ins."""
        self._handle = handle
        self._concerns = Concerns(self._own, world.on_node)
        self._inputs = TargetedInputs(world)
        world.targets = lambda: self._inputs.settings.targets
        self._mechanisms, self._manager = make_extensions(self._runtime, handle, self._inputs, self._message)

    async def _follow_common(self) -> None:
        """Follow what both tiers look at, and wait until every cache is there."""
        objects = self._runtime.objects
        self._leases = objects.follow("Lease", namespace=self._identity.framework_namespace)
        objects.follow("ConfigMap", namespace=self._identity.framework_namespace)
        objects.permissions.on_change = self._permissions_changed
        # Decisions need the whole picture: what is not in a cache yet would look like not there.
        await objects.wait_synced()
        self._complete = True

    def _permissions_changed(self) -> None:
        """Have the own object say what the agent may not do, also before there is anything else to say."""
        refused = self._runtime.objects.permissions.refused()
        if refused:
            _log.warning("the agent may not %s", "; nor ".join(refused))
        else:
            _log.info("nothing is refused any more")
        if self._complete:
            self._mark_own()
            return
        obj = self._objects.get(self.kind, self._identity.name)
        if obj is not None and refused:
            before = self._own_statuses().before(obj)
            self._own_statuses().offer(obj, self._permitted(before, before), urgent=True)

    def _permitted(self, status: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        return permitted(status, before, self._runtime.objects.permissions.refused(), self._clock.time())

    async def _run_with(self, tasks: asyncio.TaskGroup, *helpers: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Work until cancelled.

        Args:
            tasks: Where Events and looks at statuses run.
            helpers: What runs beside the loop.
        """
        self._decisions.tasks = tasks
        tasks.create_task(self._dirty.run(), name="statuses")
        try:
            await self._loop(*helpers)
        finally:
            await self._mechanisms.close()

    async def _loop(self, *helpers: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            mechanisms = await self._mechanisms.load()
            policies = await self._manager.load()
        except PluginError as exc:
            await self._last_words(str(exc))
            raise
        knowledge = self._decisions.knowledge = SqliteKnowledge(self._runtime.config.state_dir / "knowledge.sqlite")
        try:
            engine = self._engine = Engine(
                self._identity,
                clock=self._clock,
                knowledge=knowledge,
                inputs=self._inputs,
                policies=(),
                mechanisms=mechanisms,
                on_decision=self._decisions.take,
            )
            engine.on_conditions = lambda _conditions: self._mark_own()
            self._manager.on_statuses = self._mark_own
            self._handle.on_notify = self._requested
            _log.info(
                "policies: %s; mechanisms: %s",
                ", ".join(policy.name for policy in policies) or "none",
                ", ".join(mechanisms) or "none",
            )
            for asset, scope in zip(self._own, (self.scope, Scope.SYSTEM), strict=True):
                engine.add_asset(asset, scope)
            self._subscribe(engine)
            self._subscribe_common()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(engine.run(), name="engine")
                tasks.create_task(self._manager.run(engine), name="policies")
                tasks.create_task(self._lease_watch.run(), name="leases")
                for helper in helpers:
                    tasks.create_task(helper())
        finally:
            self._engine = None
            knowledge.close()

    def _subscribe_common(self) -> None:
        objects, namespace = self._runtime.objects, self._identity.framework_namespace
        objects.follow("ConfigMap", self._manager.on_config_map, namespace=namespace)
        objects.follow("Lease", self._lease_watch.poke, namespace=namespace)

    def _notify_own(self, trigger: Trigger) -> None:
        """Have what the agent looks after as a whole analysed: something in it has changed."""
        if self._engine is not None:
            for asset in self._own:
                self._engine.notify(asset, trigger)

    def _object_of(self, asset: str) -> Mapping[str, Any] | None:
        if asset.startswith(ASSET):
            return self._objects.get(APP, asset.removeprefix(ASSET))
        return self._objects.get(self.kind, self._identity.name)

    def _mark_asset(self, asset: str) -> None:
        if asset.startswith(ASSET):
            self._mark_application(asset.removeprefix(ASSET))
        else:
            self._mark_own()

    def _requested(self, name: str, reason: str) -> None:
        if self._engine is not None:
            self._engine.notify(ASSET + name, Trigger("request", reason))

    def _message(self, message: Any) -> None:
        """Take what a module mechanism reports: it may matter to every application."""
        if self._engine is not None:
            for asset in self._engine.assets:
                self._engine.notify(asset, Trigger("change", "mechanism"))

    def _conditions(self) -> list[dict[str, str]]:
        """Return what is wrong with policies, as the own object's status tells it."""
        return [*self._engine.conditions(), *self._manager.conditions()] if self._engine is not None else []

    async def _last_words(self, message: str) -> None:
        """Say in the own object's status why the agent stops; as far as the API lets it."""
        self._plugin_fault = message[:1024]
        self._look_at_own()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._own_statuses().flush()
        except (MlsError, TimeoutError) as exc:
            _log.warning("the %s's status does not tell that the agent stops: %s", self.scope.value, exc)
