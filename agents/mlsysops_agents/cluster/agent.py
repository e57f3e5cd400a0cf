"""Composition of the cluster tier: caches and telemetry in, analyses of what they concern, statuses out.

Everything is worked out from what the API holds, so an agent that was killed goes on where it was: what is deployed is found
deployed, what is half done is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysops_core.contracts import Clock, Sample, Scope
from mlsysops_core.errors import MlsError
from mlsysops_core.model import Application
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

from .changes import app_changed, deployment_changed, node_changed, spec_changed
from .handle import ClusterHandle
from .health import cluster_status
from .optimiser import Optimiser
from .reach import Partner, Reach
from .status import MAX_DECISIONS, Evidence, application_status, is_urgent
from .world import APP, LABEL_APPLICATION, LABEL_COMPONENT, ClusterWorld, node_of

if TYPE_CHECKING:
    from mlsysops_agents.adapters.kubernetes import Informer
    from mlsysops_agents.process import Runtime

__all__ = ["ClusterAgent", "run"]

_log = logging.getLogger(__name__)

_MANAGED = "app.kubernetes.io/managed-by=mlsysops"
_ASSET = "application/"
_CLUSTER = "cluster"
#: Least seconds between status writes in which only measurements differ.
_APP_STATUS_SECONDS = 10.0
_CLUSTER_STATUS_SECONDS = 30.0
_LAST_WORDS_SECONDS = 3.0
#: Outcomes of plans that are worth an Event, and its reason.
_BAD_OUTCOMES = {"failed": "PlanFailed", "rolled-back": "PlanRolledBack", "held": "Oscillation"}


async def run(runtime: Runtime) -> None:
    """Run the tier until cancelled.

    Raises:
        PluginError: A plug-in cannot be used; the cluster's conditions say so, too.
    """
    await ClusterAgent(runtime).run()


class ClusterAgent:
    """One cluster's agent.

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
        self._world = ClusterWorld(
            runtime.identity,
            self._objects,
            runtime.telemetry,
            weights=Weights(**settings.weights),
        )
        self._handle = ClusterHandle(runtime.identity, self._clock, self._objects, runtime.telemetry, self._world)
        self._optimiser = self._handle.optimiser = Optimiser(
            self._world, self._clock, seconds=settings.exact_seconds, workers=settings.exact_workers
        )
        client, namespace = runtime.objects.client, runtime.identity.namespace
        self._app_statuses = Statuses(client, APP, namespace, interval=_APP_STATUS_SECONDS)
        self._cluster_statuses = Statuses(client, "MLSysOpsCluster", namespace, interval=_CLUSTER_STATUS_SECONDS)
        self._reach = Reach(self._clock, self._partners, lambda name: self._dirty.mark(name))
        self._dirty = DirtySet(self._clock, self._look)
        self._decisions: dict[str, deque[Mapping[str, Any]]] = {}
        self._waiting: set[str] = set()
        self._metrics: dict[str, set[str]] = {}
        self._inputs = TargetedInputs(self._world)
        self._world.targets = lambda: self._inputs.settings.targets
        self._mechanisms, self._manager = make_extensions(runtime, self._handle, self._inputs, self._message)
        self._plugin_fault = ""
        self._leases: Informer | None = None
        self._lease_watch = LeaseWatch(
            self._clock, lambda: self._leases.items() if self._leases else (), lambda: self._dirty.mark(_CLUSTER)
        )
        self._engine: Engine | None = None
        self._knowledge: SqliteKnowledge | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        objects = self._runtime.objects
        for kind in ("MLSysOpsCluster", "MLSysOpsNode", "Node", "Service", "Pod", APP):
            objects.follow(kind)
        for kind in ("Deployment", "ConfigMap", "EndpointSlice"):
            objects.follow(kind, label_selector=_MANAGED)
        self._leases = objects.follow("Lease", namespace=self._identity.framework_namespace)
        objects.follow("ConfigMap", namespace=self._identity.framework_namespace)
        # Decisions need the whole picture: what is not in a cache yet would look like not deployed.
        await objects.wait_synced()
        async with self._app_statuses, self._cluster_statuses, asyncio.TaskGroup() as tasks:
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
            engine.on_conditions = lambda _conditions: self._dirty.mark(_CLUSTER)
            self._manager.on_statuses = lambda: self._dirty.mark(_CLUSTER)
            self._handle.on_notify = lambda name, reason: engine.notify(_ASSET + name, Trigger("request", reason))
            _log.info(
                "policies: %s; mechanisms: %s",
                ", ".join(policy.name for policy in policies) or "none",
                ", ".join(mechanisms) or "none",
            )
            self._optimiser.on_found = lambda name: engine.notify(
                _ASSET + name, Trigger("request", "better places were found")
            )
            engine.add_asset(f"cluster/{self._identity.name}", Scope.CLUSTER)
            engine.add_asset(f"system/{self._identity.name}", Scope.SYSTEM)
            self._subscribe(engine)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(engine.run(), name="engine")
                tasks.create_task(self._manager.run(engine), name="policies")
                tasks.create_task(self._lease_watch.run(), name="leases")
                tasks.create_task(self._optimiser.run(), name="optimiser")
                tasks.create_task(self._reach.run(), name="reach")
        finally:
            self._engine = None
            await self._mechanisms.close()
            knowledge.close()

    def _subscribe(self, engine: Engine) -> None:
        objects = self._runtime.objects
        objects.follow(APP, self._on_app)
        objects.follow("MLSysOpsNode", self._on_node)
        objects.follow("Node", self._on_node)
        objects.follow("Deployment", self._on_deployment, label_selector=_MANAGED)
        objects.follow("Pod", self._on_pod)
        objects.follow("MLSysOpsCluster", self._on_cluster)
        objects.follow("ConfigMap", self._manager.on_config_map, namespace=self._identity.framework_namespace)
        objects.follow("Lease", self._lease_watch.poke, namespace=self._identity.framework_namespace)
        self._runtime.telemetry.subscribe(self._on_samples)

    # -- what changes mean -------------------------------------------------------------------------------------

    def _on_app(self, change: Change) -> None:
        engine = self._engine
        if engine is None:
            return
        name = str(change.new["metadata"]["name"])
        asset = _ASSET + name
        if change.kind is ChangeKind.DELETED:
            engine.remove_asset(asset)
            self._forget(name, change.new)
            self._room(f"{name} is gone")
            return
        if not app_changed(change):
            return
        if (
            not self._world.assigned(name)
            and not self._world.deployments(name)
            and not self._world.descriptions.fault(change.new)
        ):
            engine.remove_asset(asset)
            return
        self._dirty.mark(name)
        self._reach.poke()
        if asset in engine.assets:
            engine.notify(asset, Trigger("change", f"MLSysOpsApp {name}"))
        else:
            engine.add_asset(asset, Scope.APPLICATION, Trigger("change", f"MLSysOpsApp {name}"))

    def _on_cluster(self, change: Change) -> None:
        if not spec_changed(change):
            return
        self._dirty.mark(_CLUSTER)
        if change.new["metadata"]["name"] == self._identity.name:
            self._manager.on_own_object(change.new)

    def _on_node(self, change: Change) -> None:
        if not node_changed(change):
            return
        name = str(change.new["metadata"]["name"])
        self._dirty.mark(_CLUSTER)
        trigger = Trigger("change", f"{change.new['kind']} {name}")
        concerned = {
            deployment["metadata"]["labels"][LABEL_APPLICATION]
            for deployment in self._world.deployments()
            if node_of(deployment) == name
        }
        self._notify(concerned | self._waiting, trigger)

    def _on_deployment(self, change: Change) -> None:
        labels = change.new["metadata"].get("labels") or {}
        name = labels.get(LABEL_APPLICATION)
        if name is None:
            return
        self._dirty.mark(name)
        if deployment_changed(change):
            self._notify({name}, Trigger("change", f"Deployment {change.new['metadata']['name']}"))
        if change.kind is ChangeKind.DELETED:
            self._room(f"Deployment {change.new['metadata']['name']} is gone")

    def _on_pod(self, change: Change) -> None:
        labels = change.new["metadata"].get("labels") or {}
        name = labels.get(LABEL_APPLICATION)
        if name is not None and LABEL_COMPONENT in labels:
            self._dirty.mark(name)
        elif change.kind is ChangeKind.DELETED:
            self._room(f"Pod {change.new['metadata']['name']} is gone")

    def _on_samples(self, samples: Sequence[Sample]) -> None:
        engine = self._engine
        if engine is None:
            return
        engine.observe(samples, self._concerned)
        for sample in samples:
            for name in self._metrics.get(sample.metric, ()):
                self._dirty.mark(name)

    def _concerned(self, sample: Sample) -> Iterable[str] | None:
        """Return the applications whose component sent a sample; None (any) where it is not a component's."""
        names = self._metrics.get(sample.metric)
        return [_ASSET + name for name in names] if names else None

    def _message(self, message: Any) -> None:
        """Take what a module mechanism reports: it may matter to every application."""
        if self._engine is not None:
            for asset in self._engine.assets:
                self._engine.notify(asset, Trigger("change", "mechanism"))

    def _room(self, why: str) -> None:
        self._notify(set(self._waiting), Trigger("change", why))

    def _notify(self, names: Iterable[str], trigger: Trigger) -> None:
        for name in names:
            self._dirty.mark(name)
            if self._engine is not None:
                self._engine.notify(_ASSET + name, trigger)

    def _forget(self, name: str, obj: Mapping[str, Any]) -> None:
        self._waiting.discard(name)
        self._decisions.pop(name, None)
        self._app_statuses.drop(name)
        self._world.descriptions.forget(obj)
        self._optimiser.forget(name)
        for names in self._metrics.values():
            names.discard(name)

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
        self._dirty.mark(name)
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

    def _look(self, name: str) -> None:
        if name == _CLUSTER:
            self._look_at_cluster()
        else:
            self._look_at_application(name)

    def _look_at_application(self, name: str) -> None:
        obj = self._objects.get(APP, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        application = self._world.application(name)
        assigned = self._world.assigned(name)
        fault = self._world.descriptions.fault(obj)
        deployments = {item["metadata"]["labels"][LABEL_COMPONENT]: item for item in self._world.deployments(name)}
        if not assigned and not fault and not deployments:
            self._waiting.discard(name)
            return
        unplaced: Mapping[str, str] = {}
        unfit: dict[str, str] = {}
        if application is not None:
            self._note_metrics(name, application)
            if any(component not in deployments for component in assigned):
                outcome = self._world.place(name)
                unplaced = {component: outcome.explain[component] for component in outcome.unplaced}
            unfit = {
                component: f"node {rejected.candidate} fails {rejected.filter} ({rejected.reason})"
                for component, rejected in self._world.recheck(name).items()
            }
        pods: dict[str, list[Mapping[str, Any]]] = {}
        for pod in self._objects.items("Pod"):
            labels = pod["metadata"].get("labels") or {}
            if labels.get(LABEL_APPLICATION) == name and LABEL_COMPONENT in labels:
                pods.setdefault(labels[LABEL_COMPONENT], []).append(pod)
        # Apps with a component without a node, or on one that fails, are those whom room elsewhere concerns.
        (self._waiting.add if unplaced or unfit else self._waiting.discard)(name)
        before = self._app_statuses.before(obj)
        status = application_status(
            Evidence(
                obj=obj,
                before=before,
                application=application,
                fault=fault,
                cluster=self._identity.name,
                assigned=assigned,
                deployments=deployments,
                pods=pods,
                nodes={
                    component: node for component, item in deployments.items() if (node := node_of(item)) is not None
                },
                unplaced=unplaced,
                unfit=unfit,
                telemetry=self._runtime.telemetry,
                decisions=list(self._decisions_of(name)),
                now=self._clock.time(),
                reach=self._reach.known(self._world.partners(name)),
            )
        )
        self._app_statuses.offer(obj, status, urgent=is_urgent(before, status))

    def _partners(self) -> dict[str, list[Partner]]:
        """Return the applications that have components in other clusters, and those."""
        names = [str(item["metadata"]["name"]) for item in self._objects.items(APP)]
        return {name: partners for name in names if (partners := self._world.partners(name))}

    def _note_metrics(self, name: str, application: Application) -> None:
        wanted = {
            metric.application_metric_id for component in application.components for metric in component.qos_metrics
        }
        for metric in wanted:
            self._metrics.setdefault(metric, set()).add(name)
        for metric in self._metrics.keys() - wanted:
            self._metrics[metric].discard(name)

    def _look_at_cluster(self) -> None:
        obj = self._objects.get("MLSysOpsCluster", self._identity.name)
        if obj is None or self._leases is None:
            return
        now = self._clock.time()
        before = self._cluster_statuses.before(obj)
        status = cluster_status(
            before,
            generation=obj["metadata"].get("generation"),
            agents=agents_of(self._leases.items(), now),
            wanted=[str(name) for name in (obj.get("spec") or {}).get("nodes") or ()],
            # A device behind a gateway joins through it, and is no node of the cluster before.
            nodes={
                facts.name: facts.ready is True
                for facts in self._world.facts()
                if facts.description is None or facts.description.continuum_layer != "far_edge"
            },
            policies=[*self._engine.conditions(), *self._manager.conditions()] if self._engine is not None else (),
            plugin_fault=self._plugin_fault,
            now=now,
        )
        status["policies"] = self._manager.statuses()
        urgent = _without_times(before) != _without_times(status)
        self._cluster_statuses.offer(obj, status, urgent=urgent)

    async def _last_words(self, message: str) -> None:
        """Say in the cluster's status why the agent stops; as far as the API lets it."""
        self._plugin_fault = message[:1024]
        self._look_at_cluster()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._cluster_statuses.flush()
        except (MlsError, TimeoutError) as exc:
            _log.warning("the cluster's status does not tell that the agent stops: %s", exc)


def _without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    agents = [{**agent, "lastSeen": ""} for agent in status.get("agents") or ()]
    return {**status, "agents": agents}
