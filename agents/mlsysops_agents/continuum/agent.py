"""Composition of the continuum tier: gives applications to clusters and gathers what the clusters say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from mlsysops_core.contracts import Clock, Scope

from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.adapters.statuses import Statuses
from mlsysops_agents.loop import Engine, Trigger, status_entry
from mlsysops_agents.placement import Weights
from mlsysops_agents.upper import APP, ASSET, UpperAgent
from mlsysops_agents.upper.told import is_urgent, without_times

from .changes import awaited, capacity, intent_changed
from .endpoints import EndpointsWriter, endpoints_text
from .failover import Failover
from .handle import ContinuumHandle
from .merge import Reports, merged_status
from .summary import continuum_status
from .watch import FailoverWatch
from .world import ContinuumWorld, karmada_ready

if TYPE_CHECKING:
    from mlsysops_agents.process import Runtime

__all__ = ["ContinuumAgent", "run"]

_CONTINUUM = "MLSysOpsContinuum"
_CLUSTER = "MLSysOpsCluster"
_NODE = "MLSysOpsNode"
#: Least seconds between status writes in which only measurements differ.
_APP_STATUS_SECONDS = 5.0
_INFRASTRUCTURE_STATUS_SECONDS = 15.0


async def run(runtime: Runtime) -> None:
    """Run the tier until cancelled.

    Raises:
        PluginError: A plug-in cannot be used; the continuum's conditions say so, too.
    """
    await ContinuumAgent(runtime).run()


class ContinuumAgent(UpperAgent):
    """The one agent of the continuum.

    Args:
        runtime: What it is composed from.
        clock: Time; the machine's own where None.
    """

    scope: ClassVar[Scope] = Scope.CONTINUUM
    kind: ClassVar[str] = _CONTINUUM

    def __init__(self, runtime: Runtime, *, clock: Clock | None = None) -> None:
        super().__init__(runtime, clock)
        settings = runtime.config.placement
        self._world = ContinuumWorld(
            runtime.identity,
            self._objects,
            runtime.telemetry,
            clock=self._clock,
            weights=Weights(**settings.weights),
            failover=Failover(gone_seconds=settings.cluster_gone_after, refusal_seconds=settings.refusal_after),
        )
        self._failover = FailoverWatch(self._world, self._clock, self._applications, self._should_leave)
        handle = ContinuumHandle(runtime.identity, self._clock, self._objects, runtime.telemetry, self._world)
        self._extend(handle, self._world)
        client, namespace = runtime.objects.client, runtime.identity.namespace
        self._statuses = {
            APP: Statuses(client, APP, namespace, interval=_APP_STATUS_SECONDS),
            **{
                kind: Statuses(client, kind, namespace, interval=_INFRASTRUCTURE_STATUS_SECONDS)
                for kind in (_NODE, _CLUSTER, _CONTINUUM)
            },
        }
        self._endpoints = EndpointsWriter(APP, self._objects, self._clock)
        self._waiting: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        objects = self._runtime.objects
        for kind in (APP, _NODE, _CLUSTER, _CONTINUUM, "MLSysOpsDatacenter", "ResourceBinding", "Cluster"):
            objects.follow(kind)
        async with (
            self._statuses[APP],
            self._statuses[_NODE],
            self._statuses[_CLUSTER],
            self._statuses[_CONTINUUM],
            asyncio.TaskGroup() as tasks,
        ):
            await self._follow_common()
            await self._run_with(tasks, self._failover.run, self._endpoints.run)

    def _subscribe(self, engine: Engine) -> None:
        objects = self._runtime.objects
        objects.follow(APP, self._on_app)
        for kind in (_NODE, _CLUSTER, "MLSysOpsDatacenter"):
            objects.follow(kind, self._on_infrastructure)
        objects.follow("Cluster", self._on_karmada_cluster)
        objects.follow("ResourceBinding", self._on_binding)
        objects.follow(_CONTINUUM, self._on_continuum)
        self._runtime.telemetry.subscribe(lambda samples: engine.observe(samples, self._concerns.assets))

    # -- what changes mean -------------------------------------------------------------------------------------

    def _on_app(self, change: Change) -> None:
        engine = self._engine
        if engine is None:
            return
        name = str(change.new["metadata"]["name"])
        asset = ASSET + name
        if change.kind is ChangeKind.DELETED:
            engine.remove_asset(asset)
            self._waiting.discard(name)
            self._decisions.forget(asset)
            self._statuses[APP].drop(name)
            self._world.forget(change.new)
            self._world.failover.forget(name)
            self._concerns.forget(name)
            self._room(f"{name} is gone")
            self._notify_own(Trigger("change", f"MLSysOpsApp {name}"))
        elif intent_changed(change):
            self._dirty.mark(f"{APP}/{name}")
            self._notify_own(Trigger("change", f"MLSysOpsApp {name}"))
            if self._world.descriptions.fault(change.new):
                return  # its status says so; policies could only fail at it, and would be held back once it is mended
            if asset in engine.assets:
                engine.notify(asset, Trigger("change", f"MLSysOpsApp {name}"))
            else:
                engine.add_asset(asset, Scope.APPLICATION, Trigger("change", f"MLSysOpsApp {name}"))

    def _on_continuum(self, change: Change) -> None:
        if not intent_changed(change):
            return
        self._mark_own()
        if change.new["metadata"]["name"] == self._identity.name:
            self._manager.on_own_object(change.new)
            self._notify_own(Trigger("change", f"{_CONTINUUM} {self._identity.name}"))

    def _on_infrastructure(self, change: Change) -> None:
        kind, name = str(change.new["kind"]), str(change.new["metadata"]["name"])
        self._mark_own()
        if change.kind is ChangeKind.DELETED:
            self._world.forget(change.new)
            if kind in self._statuses:
                self._statuses[kind].drop(name)
        elif not intent_changed(change) and capacity(change.old) == capacity(change.new):
            return
        else:
            self._dirty.mark(f"{kind}/{name}")
        self._room(f"{kind} {name}")
        self._notify_own(Trigger("change", f"{kind} {name}"))

    def _on_karmada_cluster(self, change: Change) -> None:
        if change.kind is ChangeKind.MODIFIED and karmada_ready(change.old) == karmada_ready(change.new):
            return
        name = str(change.new["metadata"]["name"])
        self._mark_own()
        for item in self._objects.items(APP):
            if name in self._world.placed(item["metadata"]["name"]).values():
                self._dirty.mark(f"{APP}/{item['metadata']['name']}")
        self._failover.poke()
        self._room(f"Cluster {name}")
        self._notify_own(Trigger("change", f"Cluster {name}"))

    def _on_binding(self, change: Change) -> None:
        resource = (change.new.get("spec") or {}).get("resource") or {}
        kind, name = str(resource.get("kind")), str(resource.get("name"))
        if kind not in self._statuses:
            return
        old = ((change.old or {}).get("status") or {}).get("aggregatedStatus")
        if change.kind is ChangeKind.MODIFIED and old == (change.new.get("status") or {}).get("aggregatedStatus"):
            return
        self._dirty.mark(f"{kind}/{name}")
        if kind == APP:
            self._failover.poke(name)
        if kind == _CLUSTER:
            self._mark_own()

    def _applications(self) -> list[str]:
        return [str(item["metadata"]["name"]) for item in self._objects.items(APP)]

    def _should_leave(self, name: str, why: str) -> None:
        self._dirty.mark(f"{APP}/{name}")
        if self._engine is not None:
            self._engine.notify(ASSET + name, Trigger("timer", why))

    def _room(self, why: str) -> None:
        """Have another look at what found no place: that may have changed."""
        for name in self._waiting:
            self._dirty.mark(f"{APP}/{name}")
            if self._engine is not None:
                self._engine.notify(ASSET + name, Trigger("change", why))

    # -- statuses ----------------------------------------------------------------------------------------------

    def _look(self, key: str) -> None:
        kind, _, name = key.partition("/")
        if kind == APP:
            self._look_at_application(name)
        elif kind == _CONTINUUM:
            self._look_at_own()
        else:
            self._mirror(kind, name)

    def _look_at_application(self, name: str) -> None:
        obj = self._objects.get(APP, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        application = self._world.application(name)
        if application is not None:
            self._concerns.note(name, [component.name for component in application.components])
        placed = self._world.placed(name)
        unplaced: Mapping[str, str] = {}
        if application is not None and any(component.name not in placed for component in application.components):
            outcome = self._world.place(name)
            unplaced = {component: outcome.explain[component] for component in outcome.unplaced}
        (self._waiting.add if unplaced else self._waiting.discard)(name)
        statuses, problems = self._world.reports(APP, name)
        before = self._statuses[APP].before(obj)
        status = merged_status(
            Reports(
                obj=obj,
                before=before,
                application=application,
                fault=self._world.descriptions.fault(obj),
                placed=placed,
                unplaced=unplaced,
                statuses={cluster: said for cluster, said in statuses.items() if cluster in placed.values()},
                silent=self._silent(set(placed.values())),
                problems=problems,
                decisions=list(self._decisions.of(ASSET + name)),
                now=self._clock.time(),
            )
        )
        self._statuses[APP].offer(obj, status, urgent=is_urgent(before, status))
        if application is not None:
            self._endpoints.offer(obj, endpoints_text(application, status["components"]))

    def _mirror(self, kind: str, name: str) -> None:
        """Show in the continuum's object what its cluster says of it."""
        obj = self._objects.get(kind, name)
        statuses, _ = self._world.reports(kind, name)
        if obj is None or not statuses:
            return
        said = next(iter(statuses.values()))
        before = self._statuses[kind].before(obj)
        urgent = awaited(before) != awaited(said)
        self._statuses[kind].offer(obj, said, urgent=urgent)

    def _mark_own(self) -> None:
        self._dirty.mark(f"{_CONTINUUM}/")

    def _mark_application(self, name: str) -> None:
        self._dirty.mark(f"{APP}/{name}")

    def _own_statuses(self) -> Statuses:
        return self._statuses[_CONTINUUM]

    def _look_at_own(self) -> None:
        obj = self._objects.get(_CONTINUUM, self._identity.name)
        if obj is None or self._leases is None:
            return
        now = self._clock.time()
        names = [str(item["metadata"]["name"]) for item in self._objects.items(_CLUSTER)]
        before = self._statuses[_CONTINUUM].before(obj)
        status = continuum_status(
            before,
            generation=obj["metadata"].get("generation"),
            own_agents=self._lease_watch.agents(),
            clusters={name: next(iter(self._world.reports(_CLUSTER, name)[0].values()), {}) for name in names},
            silent=self._silent(names),
            policies=self._conditions(),
            plugin_fault=self._plugin_fault,
            now=now,
        )
        status["policies"] = self._manager.statuses()
        status["decisions"] = [status_entry(item) for item in self._decisions.newest(self._own)]
        status = self._permitted(status, before)
        urgent = without_times(before) != without_times(status)
        self._statuses[_CONTINUUM].offer(obj, status, urgent=urgent)

    def _silent(self, names: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in names:
            ready, why = karmada_ready(self._objects.get("Cluster", name))
            if ready is False:
                found[name] = why
        return found
