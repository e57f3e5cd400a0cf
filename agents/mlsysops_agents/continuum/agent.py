"""Composition of the continuum tier: gives applications to clusters and gathers what the clusters say of them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlsysops_core.contracts import Clock, Scope
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import PluginError

from mlsysops_agents.adapters.dirty import DirtySet
from mlsysops_agents.adapters.health import agents_of
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.adapters.leases import LeaseWatch
from mlsysops_agents.adapters.overlay import ReadYourWrites
from mlsysops_agents.adapters.statuses import Statuses
from mlsysops_agents.extension import TargetedInputs, make_extensions
from mlsysops_agents.loop import Engine, SqliteKnowledge, SystemClock, Trigger
from mlsysops_agents.loop.story import repeats, story
from mlsysops_agents.placement import Weights

from .changes import capacity, conditions, intent_changed, without_times
from .endpoints import EndpointsWriter, endpoints_text
from .failover import Failover
from .handle import ContinuumHandle
from .merge import MAX_DECISIONS, Reports, is_urgent, merged_status
from .summary import continuum_status
from .watch import FailoverWatch
from .world import APP, ContinuumWorld, karmada_ready

if TYPE_CHECKING:
    from mlsysops_agents.adapters.kubernetes import Informer
    from mlsysops_agents.process import Runtime

__all__ = ["ContinuumAgent", "run"]

_log = logging.getLogger(__name__)

_ASSET = "application/"
_CONTINUUM = "MLSysOpsContinuum"
_CLUSTER = "MLSysOpsCluster"
_NODE = "MLSysOpsNode"
#: Least seconds between status writes in which only measurements differ.
_APP_STATUS_SECONDS = 5.0
_INFRASTRUCTURE_STATUS_SECONDS = 15.0
_LAST_WORDS_SECONDS = 3.0
#: Outcomes of plans that are worth an Event, and its reason.
_BAD_OUTCOMES = {"failed": "PlanFailed", "rolled-back": "PlanRolledBack", "held": "Oscillation"}


async def run(runtime: Runtime) -> None:
    """Run the tier until cancelled.

    Raises:
        PluginError: A plug-in cannot be used; the continuum's conditions say so, too.
    """
    await ContinuumAgent(runtime).run()


class ContinuumAgent:
    """The one agent of the continuum.

    Args:
        runtime: What it is composed from.
        clock: Time; the machine's own where None.
    """

    def __init__(self, runtime: Runtime, *, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._identity = runtime.identity
        self._clock = clock or SystemClock()
        self._objects = ReadYourWrites(runtime.objects)
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
        self._handle = ContinuumHandle(runtime.identity, self._clock, self._objects, runtime.telemetry, self._world)
        client, namespace = runtime.objects.client, runtime.identity.namespace
        self._statuses = {
            APP: Statuses(client, APP, namespace, interval=_APP_STATUS_SECONDS),
            **{
                kind: Statuses(client, kind, namespace, interval=_INFRASTRUCTURE_STATUS_SECONDS)
                for kind in (_NODE, _CLUSTER, _CONTINUUM)
            },
        }
        self._endpoints = EndpointsWriter(APP, self._objects, self._clock)
        self._dirty = DirtySet(self._clock, self._look)
        self._decisions: dict[str, deque[Mapping[str, Any]]] = {}
        self._waiting: set[str] = set()
        self._inputs = TargetedInputs(self._world)
        self._world.targets = lambda: self._inputs.settings.targets
        self._mechanisms, self._manager = make_extensions(runtime, self._handle, self._inputs, self._message)
        self._plugin_fault = ""
        self._leases: Informer | None = None
        self._lease_watch = LeaseWatch(
            self._clock,
            lambda: self._leases.items() if self._leases else (),
            lambda: self._dirty.mark(f"{_CONTINUUM}/"),
        )
        self._engine: Engine | None = None
        self._knowledge: SqliteKnowledge | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        objects = self._runtime.objects
        for kind in (APP, _NODE, _CLUSTER, _CONTINUUM, "MLSysOpsDatacenter", "ResourceBinding", "Cluster"):
            objects.follow(kind)
        self._leases = objects.follow("Lease", namespace=self._identity.framework_namespace)
        objects.follow("ConfigMap", namespace=self._identity.framework_namespace)
        # Decisions need the whole picture: what is not in a cache yet would look like not there.
        await objects.wait_synced()
        async with (
            self._statuses[APP],
            self._statuses[_NODE],
            self._statuses[_CLUSTER],
            self._statuses[_CONTINUUM],
            asyncio.TaskGroup() as tasks,
        ):
            self._tasks = tasks
            tasks.create_task(self._dirty.run(), name="statuses")
            await self._loop()

    async def _loop(self) -> None:
        config = self._runtime.config
        try:
            mechanisms = await self._mechanisms.load()
            policies = await self._manager.load()
        except PluginError as exc:
            await self._last_words(str(exc))
            raise
        knowledge = self._knowledge = SqliteKnowledge(config.state_dir / "knowledge.sqlite")
        try:
            engine = self._engine = Engine(
                self._identity,
                clock=self._clock,
                knowledge=knowledge,
                inputs=self._inputs,
                policies=(),
                mechanisms=mechanisms,
                on_decision=self._decided,
            )
            engine.on_conditions = lambda _conditions: self._dirty.mark(f"{_CONTINUUM}/")
            self._manager.on_statuses = lambda: self._dirty.mark(f"{_CONTINUUM}/")
            self._handle.on_notify = lambda name, reason: engine.notify(_ASSET + name, Trigger("request", reason))
            _log.info(
                "policies: %s; mechanisms: %s",
                ", ".join(policy.name for policy in policies) or "none",
                ", ".join(mechanisms) or "none",
            )
            engine.add_asset(f"continuum/{self._identity.name}", Scope.CONTINUUM)
            engine.add_asset(f"system/{self._identity.name}", Scope.SYSTEM)
            self._subscribe(engine)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(engine.run(), name="engine")
                tasks.create_task(self._manager.run(engine), name="policies")
                tasks.create_task(self._lease_watch.run(), name="leases")
                tasks.create_task(self._failover.run(), name="failover")
                tasks.create_task(self._endpoints.run(), name="endpoints")
        finally:
            self._engine = None
            await self._mechanisms.close()
            knowledge.close()

    def _subscribe(self, engine: Engine) -> None:
        objects = self._runtime.objects
        objects.follow(APP, self._on_app)
        for kind in (_NODE, _CLUSTER, "MLSysOpsDatacenter"):
            objects.follow(kind, self._on_infrastructure)
        objects.follow("Cluster", self._on_karmada_cluster)
        objects.follow("ResourceBinding", self._on_binding)
        objects.follow(_CONTINUUM, self._on_continuum)
        objects.follow("ConfigMap", self._manager.on_config_map, namespace=self._identity.framework_namespace)
        objects.follow("Lease", self._lease_watch.poke, namespace=self._identity.framework_namespace)
        self._runtime.telemetry.subscribe(lambda samples: engine.observe(samples, lambda _sample: None))

    # -- what changes mean -------------------------------------------------------------------------------------

    def _on_app(self, change: Change) -> None:
        engine = self._engine
        if engine is None:
            return
        name = str(change.new["metadata"]["name"])
        asset = _ASSET + name
        if change.kind is ChangeKind.DELETED:
            engine.remove_asset(asset)
            self._waiting.discard(name)
            self._decisions.pop(name, None)
            self._statuses[APP].drop(name)
            self._world.descriptions.forget(change.new)
            self._world.failover.forget(name)
            self._room(f"{name} is gone")
        elif intent_changed(change):
            self._dirty.mark(f"{APP}/{name}")
            if asset in engine.assets:
                engine.notify(asset, Trigger("change", f"MLSysOpsApp {name}"))
            else:
                engine.add_asset(asset, Scope.APPLICATION, Trigger("change", f"MLSysOpsApp {name}"))

    def _on_continuum(self, change: Change) -> None:
        if not intent_changed(change):
            return
        self._dirty.mark(f"{_CONTINUUM}/")
        if change.new["metadata"]["name"] == self._identity.name:
            self._manager.on_own_object(change.new)

    def _on_infrastructure(self, change: Change) -> None:
        kind, name = str(change.new["kind"]), str(change.new["metadata"]["name"])
        self._dirty.mark(f"{_CONTINUUM}/")
        if change.kind is ChangeKind.DELETED:
            self._world.descriptions.forget(change.new)
            if kind in self._statuses:
                self._statuses[kind].drop(name)
        elif not intent_changed(change) and capacity(change.old) == capacity(change.new):
            return
        else:
            self._dirty.mark(f"{kind}/{name}")
        self._room(f"{kind} {name}")

    def _on_karmada_cluster(self, change: Change) -> None:
        if change.kind is ChangeKind.MODIFIED and karmada_ready(change.old) == karmada_ready(change.new):
            return
        name = str(change.new["metadata"]["name"])
        self._dirty.mark(f"{_CONTINUUM}/")
        for item in self._objects.items(APP):
            if name in self._world.placed(item["metadata"]["name"]).values():
                self._dirty.mark(f"{APP}/{item['metadata']['name']}")
        self._failover.poke()
        self._room(f"Cluster {name}")

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
            self._dirty.mark(f"{_CONTINUUM}/")

    def _message(self, message: Any) -> None:
        """Take what a module mechanism reports: it may matter to every application."""
        if self._engine is not None:
            for asset in self._engine.assets:
                self._engine.notify(asset, Trigger("change", "mechanism"))

    def _applications(self) -> list[str]:
        return [str(item["metadata"]["name"]) for item in self._objects.items(APP)]

    def _should_leave(self, name: str, why: str) -> None:
        self._dirty.mark(f"{APP}/{name}")
        if self._engine is not None:
            self._engine.notify(_ASSET + name, Trigger("timer", why))

    def _room(self, why: str) -> None:
        """Have another look at what found no place: that may have changed."""
        for name in self._waiting:
            self._dirty.mark(f"{APP}/{name}")
            if self._engine is not None:
                self._engine.notify(_ASSET + name, Trigger("change", why))

    # -- decisions ---------------------------------------------------------------------------------------------

    def _decided(self, decision: Mapping[str, Any]) -> None:
        name = str(decision["asset"]).removeprefix(_ASSET)
        obj = self._objects.get(APP, name)
        if decision["verdict"] == "no-change" or obj is None:
            return
        _log.info(
            "decision %s: %s on %s: %s, %s",
            decision["id"],
            decision["policy"],
            decision["asset"],
            decision["verdict"],
            decision["scheduler"] or decision["message"] or "nothing done",
        )
        known = self._decisions_of(name)
        # The first look into the knowledge store may have found it there already.
        if decision["id"] not in {item["id"] for item in known} and not repeats(decision, known):
            known.appendleft(decision)
        self._dirty.mark(f"{APP}/{name}")
        if decision["verdict"] == "no-plan" and decision["message"]:
            self._event(obj, "NoFit", str(decision["message"]))
        elif decision["outcome"] in _BAD_OUTCOMES:
            self._event(obj, _BAD_OUTCOMES[decision["outcome"]], str(decision["scheduler"] or decision["message"]))

    def _event(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        if self._tasks is not None:
            event = self._objects.event(obj, kind="Warning", reason=reason, message=message)
            self._tasks.create_task(event, name="event")

    def _decisions_of(self, name: str) -> deque[Mapping[str, Any]]:
        if name not in self._decisions:
            known = self._knowledge.decisions(_ASSET + name, limit=5 * MAX_DECISIONS) if self._knowledge else ()
            obj = self._objects.get(APP, name)
            since = str(obj["metadata"].get("creationTimestamp") or "") if obj is not None else ""
            self._decisions[name] = story(known, since=since, limit=MAX_DECISIONS)
        return self._decisions[name]

    # -- statuses ----------------------------------------------------------------------------------------------

    def _look(self, key: str) -> None:
        kind, _, name = key.partition("/")
        if kind == APP:
            self._look_at_application(name)
        elif kind == _CONTINUUM:
            self._look_at_continuum()
        else:
            self._mirror(kind, name)

    def _look_at_application(self, name: str) -> None:
        obj = self._objects.get(APP, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        application = self._world.application(name)
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
                decisions=list(self._decisions_of(name)),
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
        urgent = conditions(before) != conditions(said)
        self._statuses[kind].offer(obj, said, urgent=urgent)

    def _look_at_continuum(self) -> None:
        obj = self._objects.get(_CONTINUUM, self._identity.name)
        if obj is None or self._leases is None:
            return
        now = self._clock.time()
        names = [str(item["metadata"]["name"]) for item in self._objects.items(_CLUSTER)]
        before = self._statuses[_CONTINUUM].before(obj)
        status = continuum_status(
            before,
            generation=obj["metadata"].get("generation"),
            own_agents=agents_of(self._leases.items(), now),
            clusters={name: next(iter(self._world.reports(_CLUSTER, name)[0].values()), {}) for name in names},
            silent=self._silent(names),
            policies=[*self._engine.conditions(), *self._manager.conditions()] if self._engine is not None else (),
            plugin_fault=self._plugin_fault,
            now=now,
        )
        status["policies"] = self._manager.statuses()
        urgent = without_times(before) != without_times(status)
        self._statuses[_CONTINUUM].offer(obj, status, urgent=urgent)

    def _silent(self, names: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in names:
            ready, why = karmada_ready(self._objects.get("Cluster", name))
            if ready is False:
                found[name] = why
        return found

    async def _last_words(self, message: str) -> None:
        """Say in the continuum's status why the agent stops; as far as the API lets it."""
        self._plugin_fault = message[:1024]
        self._look_at_continuum()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._statuses[_CONTINUUM].flush()
        except (MlsError, TimeoutError) as exc:
            _log.warning("the continuum's status does not tell that the agent stops: %s", exc)
