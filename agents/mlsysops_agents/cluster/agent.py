"""Composition of the cluster tier: caches and telemetry in, analyses of what they concern, statuses out.

Everything is worked out from what the API holds, so an agent that was killed goes on where it was: what is deployed is found
deployed, what is half done is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mlsysops_core.contracts import Clock, Sample, Scope
from mlsysops_core.model import Application

from mlsysops_agents.adapters.dirty import DirtySet
from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.adapters.statuses import Statuses
from mlsysops_agents.loop import Engine, Trigger, status_entry
from mlsysops_agents.placement import Weights
from mlsysops_agents.upper import APP, ASSET, UpperAgent
from mlsysops_agents.upper.told import is_urgent, without_times

from .changes import app_changed, deployment_changed, may_have_room, newly_decided, node_changed, spec_changed
from .handle import ClusterHandle
from .health import cluster_status
from .optimiser import Optimiser
from .reach import Partner, Reach
from .status import Evidence, application_status
from .world import LABEL_APPLICATION, LABEL_COMPONENT, ClusterWorld, node_of

if TYPE_CHECKING:
    from mlsysops_agents.process import Runtime

__all__ = ["ClusterAgent", "run"]

_MANAGED = "app.kubernetes.io/managed-by=mlsysops"
_CLUSTER = "cluster"
#: Least seconds between status writes in which only measurements differ.
_APP_STATUS_SECONDS = 10.0
_CLUSTER_STATUS_SECONDS = 30.0
#: For how long changes that may make room are gathered, and how many of them a trigger names.
_ROOM_SECONDS = 0.3
_ROOMS_TOLD = 3


async def run(runtime: Runtime) -> None:
    """Run the tier until cancelled.

    Raises:
        PluginError: A plug-in cannot be used; the cluster's conditions say so, too.
    """
    await ClusterAgent(runtime).run()


class ClusterAgent(UpperAgent):
    """One cluster's agent.

    Args:
        runtime: What it is composed from.
        clock: Time; the machine's own where None.
    """

    scope: ClassVar[Scope] = Scope.CLUSTER
    kind: ClassVar[str] = "MLSysOpsCluster"

    def __init__(self, runtime: Runtime, *, clock: Clock | None = None) -> None:
        super().__init__(runtime, clock)
        settings = runtime.config.placement
        self._world = ClusterWorld(
            runtime.identity,
            self._objects,
            runtime.telemetry,
            weights=Weights(**settings.weights),
            clock=self._clock,
            grace=runtime.config.lease.duration,
        )
        handle = ClusterHandle(runtime.identity, self._clock, self._objects, runtime.telemetry, self._world)
        self._optimiser = handle.optimiser = Optimiser(
            self._world, self._clock, seconds=settings.exact_seconds, workers=settings.exact_workers
        )
        self._extend(handle, self._world)
        client, namespace = runtime.objects.client, runtime.identity.namespace
        self._app_statuses = Statuses(client, APP, namespace, interval=_APP_STATUS_SECONDS)
        self._cluster_statuses = Statuses(client, "MLSysOpsCluster", namespace, interval=_CLUSTER_STATUS_SECONDS)
        self._reach = Reach(self._clock, self._partners, lambda name: self._dirty.mark(name))
        self._waiting: set[str] = set()
        self._changed_room: dict[str, None] = {}
        self._rooms = DirtySet(self._clock, self._offer_room, delay=_ROOM_SECONDS)
        #: Metric with a target to the applications that have one, and application to its metrics.
        self._metrics: dict[str, set[str]] = {}
        self._measured: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        objects = self._runtime.objects
        for kind in ("MLSysOpsCluster", "MLSysOpsNode", "Node", "Service", "Pod", APP):
            objects.follow(kind)
        for kind in ("Deployment", "ReplicaSet", "ConfigMap", "EndpointSlice"):
            objects.follow(kind, label_selector=_MANAGED)
        brake = self._world.brake
        async with self._app_statuses, self._cluster_statuses, asyncio.TaskGroup() as tasks:
            await self._follow_common()
            helpers = (self._optimiser.run, self._reach.run, self._rooms.run, lambda: brake.run(self._left))
            await self._run_with(tasks, *helpers)

    def _subscribe(self, engine: Engine) -> None:
        self._optimiser.on_found = lambda name: engine.notify(
            ASSET + name, Trigger("request", "better places were found")
        )
        objects = self._runtime.objects
        objects.follow(APP, self._on_app)
        objects.follow("MLSysOpsNode", self._on_node)
        objects.follow("Node", self._on_node)
        objects.follow("Deployment", self._on_deployment, label_selector=_MANAGED)
        objects.follow("Pod", self._on_pod)
        objects.follow("MLSysOpsCluster", self._on_cluster)
        self._runtime.telemetry.subscribe(self._on_samples)

    # -- what changes mean -------------------------------------------------------------------------------------

    def _on_app(self, change: Change) -> None:
        engine = self._engine
        if engine is None:
            return
        name = str(change.new["metadata"]["name"])
        asset = ASSET + name
        if change.kind is ChangeKind.DELETED:
            engine.remove_asset(asset)
            self._forget(name, change.new)
            self._room(f"{name} is gone")
            self._notify_own(Trigger("change", f"MLSysOpsApp {name}"))
            return
        if not app_changed(change):
            return
        self._notify_own(Trigger("change", f"MLSysOpsApp {name}"))
        if (
            not self._world.assigned(name)
            and not self._world.deployments(name)
            and not self._world.descriptions.fault(change.new)
        ):
            engine.remove_asset(asset)
            return
        self._dirty.mark(name)
        self._reach.poke()
        if self._world.descriptions.fault(change.new):
            return  # its status says so; policies could only fail at it, and would be held back once it is mended
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
            self._notify_own(Trigger("change", f"MLSysOpsCluster {self._identity.name}"))

    def _on_node(self, change: Change) -> None:
        for application in newly_decided(change):
            self._dirty.mark(application)
        if not node_changed(change):
            return
        name = str(change.new["metadata"]["name"])
        self._dirty.mark(_CLUSTER)
        why = f"{change.new['kind']} {name}"
        self._notify(self._world.on_node(name), Trigger("change", why))
        self._notify_own(Trigger("change", why))
        if may_have_room(change):
            self._room(why)
        for freed in self._world.brake.freed():
            self._left(freed)

    def _left(self, node: str) -> None:
        self._notify(self._world.on_node(node), Trigger("timer", f"components may leave node {node}"))

    def _on_deployment(self, change: Change) -> None:
        labels = change.new["metadata"].get("labels") or {}
        name = labels.get(LABEL_APPLICATION)
        if name is None:
            return
        self._dirty.mark(name)
        if deployment_changed(change):
            trigger = Trigger("change", f"Deployment {change.new['metadata']['name']}")
            self._notify({name}, trigger)
            self._notify_own(trigger)
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
        engine.observe(samples, self._concerns.assets)
        for sample in samples:
            measured = self._metrics.get(sample.metric)
            if measured:
                about = self._concerns.applications(sample)
                for name in measured if about is None else measured.intersection(about):
                    self._dirty.mark(name)

    def _room(self, why: str) -> None:
        """Have those who wait look for room soon, together: after an outage a thousand nodes come back one by one."""
        self._changed_room[why] = None
        self._rooms.mark("")

    def _offer_room(self, _: str) -> None:
        why, more = list(self._changed_room)[:_ROOMS_TOLD], len(self._changed_room) - _ROOMS_TOLD
        self._changed_room.clear()
        self._notify(set(self._waiting), Trigger("change", ", ".join(why) + (f" and {more} more" if more > 0 else "")))

    def _notify(self, names: Iterable[str], trigger: Trigger) -> None:
        for name in names:
            self._dirty.mark(name)
            if self._engine is not None:
                self._engine.notify(ASSET + name, trigger)

    def _forget(self, name: str, obj: Mapping[str, Any]) -> None:
        self._waiting.discard(name)
        self._decisions.forget(ASSET + name)
        self._app_statuses.drop(name)
        self._world.forget(obj)
        self._optimiser.forget(name)
        self._concerns.forget(name)
        self._forget_metrics(name, self._measured.pop(name, set()))

    # -- statuses ----------------------------------------------------------------------------------------------

    def _look(self, name: str) -> None:
        if name == _CLUSTER:
            self._look_at_own()
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
            if any(component not in deployments for component in assigned) and not self._world.fits(name):
                outcome = self._world.place(name)
                unplaced = {component: outcome.explain[component] for component in outcome.unplaced}
            unfit = {
                component: f"node {rejected.candidate} fails {rejected.filter} ({rejected.reason})"
                for component, rejected in self._world.recheck(name).items()
            }
        pods: dict[str, list[Mapping[str, Any]]] = {}
        for pod in self._objects.labelled("Pod", LABEL_APPLICATION, name):
            labels = pod["metadata"].get("labels") or {}
            if LABEL_COMPONENT in labels:
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
                decisions=list(self._decisions.of(ASSET + name)),
                of_nodes=self._decided_on_nodes(name, deployments.values()),
                now=self._clock.time(),
                reach=self._reach.known(self._world.partners(name)),
            )
        )
        self._app_statuses.offer(obj, status, urgent=is_urgent(before, status))

    def _decided_on_nodes(self, name: str, deployments: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return what the agents of an application's nodes say that they decided about it."""
        nodes = {node for item in deployments if (node := node_of(item)) is not None}
        said = [self._objects.get("MLSysOpsNode", node) or {} for node in sorted(nodes)]
        return [
            decision
            for node in said
            for decision in (node.get("status") or {}).get("decisions") or ()
            if decision.get("asset") == ASSET + name
        ]

    def _partners(self) -> dict[str, list[Partner]]:
        """Return the applications that have components in other clusters, and those."""
        names = [str(item["metadata"]["name"]) for item in self._objects.items(APP)]
        return {name: partners for name in names if (partners := self._world.partners(name))}

    def _note_metrics(self, name: str, application: Application) -> None:
        wanted = {
            metric.application_metric_id for component in application.components for metric in component.qos_metrics
        }
        self._concerns.note(name, [component.name for component in application.components])
        for metric in wanted:
            self._metrics.setdefault(metric, set()).add(name)
        self._forget_metrics(name, self._measured.get(name, set()) - wanted)
        self._measured[name] = wanted

    def _forget_metrics(self, name: str, metrics: Iterable[str]) -> None:
        for metric in metrics:
            self._metrics[metric].discard(name)
            if not self._metrics[metric]:
                del self._metrics[metric]

    def _mark_own(self) -> None:
        self._dirty.mark(_CLUSTER)

    def _mark_application(self, name: str) -> None:
        self._dirty.mark(name)

    def _own_statuses(self) -> Statuses:
        return self._cluster_statuses

    def _look_at_own(self) -> None:
        obj = self._objects.get("MLSysOpsCluster", self._identity.name)
        if obj is None or self._leases is None:
            return
        now = self._clock.time()
        before = self._cluster_statuses.before(obj)
        status = cluster_status(
            before,
            generation=obj["metadata"].get("generation"),
            agents=self._lease_watch.agents(),
            wanted=[str(name) for name in (obj.get("spec") or {}).get("nodes") or ()],
            # A device behind a gateway joins through it, and is no node of the cluster before.
            nodes={
                facts.name: facts.ready is True
                for facts in self._world.facts()
                if facts.description is None or facts.description.continuum_layer != "far_edge"
            },
            policies=self._conditions(),
            plugin_fault=self._plugin_fault,
            now=now,
            placement_fault=self._optimiser.fault,
        )
        status["policies"] = self._manager.statuses()
        status["decisions"] = [status_entry(item) for item in self._decisions.newest(self._own)]
        status = self._permitted(status, before)
        urgent = without_times(before) != without_times(status)
        self._cluster_statuses.offer(obj, status, urgent=urgent)
