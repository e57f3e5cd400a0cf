"""What a cluster agent knows: its nodes with what is free of them, its applications and where their components are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlsysops_core.contracts import AgentIdentity, Clock, PlacementOutcome, Rejected, Telemetry
from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Application

from mlsysops_agents.adapters.journal import WatchedObjects
from mlsysops_agents.placement import (
    Demand,
    Fleet,
    Search,
    Weights,
    demands_of,
    first_objection,
    interactions_of,
    place,
    place_elsewhere,
)
from mlsysops_agents.placement.build import Built, build
from mlsysops_agents.plugins.mechanisms.partners import component_endpoints
from mlsysops_agents.upper import APP, ASSET, UpperWorld, component_clusters

from .brake import Brake
from .ledger import Ledger
from .nodes import Nodes
from .plans import Asked, Plans, has_room
from .reach import Partner
from .usage import LABEL_APPLICATION, LABEL_COMPONENT, Usage, node_of

__all__ = ["LABEL_APPLICATION", "LABEL_COMPONENT", "ClusterWorld", "node_of"]


class ClusterWorld(UpperWorld):
    """Everything here is read from caches; nothing waits.

    Args:
        agent: The cluster agent.
        objects: Its caches.
        telemetry: The metrics that reach it.
        weights: What counts how much.
        search: How hard to look for a plan.
        clock: Its time; None stands still.
        grace: Seconds that nodes get to be heard of after nobody was.
    """

    def __init__(
        self,
        agent: AgentIdentity,
        objects: WatchedObjects,
        telemetry: Telemetry,
        *,
        weights: Weights | None = None,
        search: Search | None = None,
        clock: Clock | None = None,
        grace: float = 40.0,
    ) -> None:
        super().__init__(agent, objects, telemetry, weights=weights)
        self.brake = Brake(objects, clock, grace=grace)
        self._search = search or Search()
        ledger = Ledger(objects, self.descriptions)
        self._nodes = Nodes(objects, ledger, Usage(objects, ledger, self.application))
        self._plans = Plans()
        self._fitted: dict[str, Application | None] = {}
        self._demands: dict[str, tuple[Application, dict[str, Demand]]] = {}
        self._assigned: dict[str, tuple[tuple[Any, Any], list[str]]] = {}

    # -- applications ------------------------------------------------------------------------------------------

    def assigned(self, name: str) -> list[str]:
        """Return the components that the continuum gave to this cluster."""
        application, obj = self.application(name), self._objects.get(APP, name)
        if application is None or obj is None:
            return []
        version = (obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion"))
        known = self._assigned.get(name)
        if known is None or known[0] != version or None in version:
            clusters = component_clusters(obj)
            mine = [item.name for item in application.components if clusters.get(item.name) == self._agent.name]
            known = self._assigned[name] = (version, mine)
        return list(known[1])

    def forget(self, obj: Mapping[str, Any]) -> None:
        """Drop what is known of an application that is gone."""
        self.descriptions.forget(obj)
        name = str(obj["metadata"]["name"])
        self._assigned.pop(name, None)
        self._fitted.pop(name, None)
        self._demands.pop(name, None)
        self._plans.forget(name)

    def placed(self, name: str) -> dict[str, str]:
        """Return component to node of what is deployed."""
        found: dict[str, str] = {}
        for deployment in self.deployments(name):
            node = node_of(deployment)
            if node is not None:
                found[deployment["metadata"]["labels"][LABEL_COMPONENT]] = node
        return found

    def deployments(self, application: str | None = None) -> list[dict[str, Any]]:
        """Return our Deployments, of one application or of all."""
        found = (
            self._objects.items("Deployment")
            if application is None
            else self._objects.labelled("Deployment", LABEL_APPLICATION, application)
        )
        return [
            item
            for item in found
            if LABEL_COMPONENT in (labels := item["metadata"].get("labels") or {}) and LABEL_APPLICATION in labels
        ]

    def partners(self, name: str) -> list[Partner]:
        """Return an application's components in other clusters that others may connect to, where any of it is here."""
        application, obj = self.application(name), self._objects.get(APP, name)
        here = self.assigned(name)
        if application is None or obj is None or not here:
            return []
        said, clusters = component_endpoints(obj), component_clusters(obj)
        found: list[Partner] = []
        for component in application.components:
            ports = [port for container in component.containers for port in container.ports]
            if component.name not in here and ports:
                tcp = tuple(port.container_port for port in ports if (port.protocol or "TCP") == "TCP")
                address = said.get(component.name, {}).get("address", "")
                found.append(Partner(component.name, clusters.get(component.name, ""), address, tcp))
        return found

    # -- nodes -------------------------------------------------------------------------------------------------

    def facts(self, *, without: Iterable[tuple[str, str]] = ()) -> Fleet:
        """Return the described nodes.

        Args:
            without: ``(application, component)`` pairs whose use does not count.
        """
        return self._nodes.fleet(without)

    def on_node(self, node: str) -> set[str]:
        """Return the applications with a component on a node."""
        return self._nodes.applications(node)

    # -- placement ---------------------------------------------------------------------------------------------

    def place(self, name: str) -> PlacementOutcome:
        """Find nodes for the components that have none; the others keep theirs."""
        application = self.must_have(name)
        fixed = self.placed(name)
        assigned = self.assigned(name)
        asked = Asked(application, tuple(assigned), tuple(sorted(fixed.items())), self.weights())
        found = self._plans.known(name, asked, self.facts())
        if found is None:
            demands = demands_of(application, assigned, fixed=fixed)
            found = place(
                demands,
                self.facts(),
                fixed=fixed,
                interactions=interactions_of(application),
                weights=asked.weights,
                search=self._search,
            )
            self._plans.keep(name, asked, self.facts(), demands, found)
        self._fitted[name] = None if found.unplaced else application
        return found

    def fits(self, name: str) -> bool:
        """Say whether everything of an application found a place when that was looked for last, its description being the same.

        Policies look for it whenever something may have changed, so a status need not do it again.
        """
        application = self._fitted.get(name)
        return application is not None and application is self.application(name)

    def whole(self, name: str) -> Built:
        """Return an application with the nodes that it could be on if it started anew, and where it is now."""
        application = self.must_have(name)
        demands = demands_of(application, self.assigned(name))
        members = [member for demand in demands for member in demand.members]
        return build(
            demands,
            self.facts(without=[(name, member) for member in members]),
            current=self.placed(name),
            fixed={},
            interactions=interactions_of(application),
            weights=self.weights(),
        )

    def have_room(self, name: str, moves: Mapping[str, str]) -> bool:
        """Say whether nodes have room for components beside all that runs: one starts elsewhere before it stops."""
        application = self.must_have(name)
        return has_room(self.facts(), demands_of(application, sorted(moves)), moves)

    def recheck(self, name: str) -> dict[str, Rejected]:
        """Return the placed components whose node no longer fits, and why."""
        found: dict[str, Rejected] = {}
        assigned = set(self.assigned(name))
        for component, node in self.placed(name).items():
            if component in assigned and (rejected := self.objection(name, component, node)) is not None:
                found[component] = rejected
        return found

    def objection(self, name: str, component: str, host: str) -> Rejected | None:
        """Say why a node cannot take a component, beside what else runs there."""
        demand = self._demand(self.must_have(name), component)
        node = self._nodes.facts(host, [(name, component)])
        if node is None:
            return Rejected(host, "ready", "is not a node of this cluster", component)
        objection = first_objection(demand, node)
        return Rejected(host, *objection, component) if objection is not None else None

    def _demand(self, application: Application, component: str) -> Demand:
        """Return what a component by itself demands, which is worked out once a description."""
        known = self._demands.get(application.name)
        if known is None or known[0] is not application:
            known = self._demands[application.name] = (application, {})
        if component not in known[1]:
            known[1][component] = _demand_of(application, [component], component)
        return known[1][component]

    def alternatives(self, name: str, component: str) -> PlacementOutcome:
        """Find another node for a placed component and those that must share its node.

        Where several components have to leave their nodes, each is told its part of one plan for all of them: asked one by one
        they would all be sent to the same room.
        """
        application = self.must_have(name)
        placed = self.placed(name)
        demands = demands_of(application, self.assigned(name))
        demand = _demand_of(application, self.assigned(name), component)
        homeless = {item for item, rejected in self.recheck(name).items() if rejected.filter == "ready"}
        held = {item: text for item in homeless if (text := self.brake.hold(placed[item]))}
        if component in held:
            return PlacementOutcome({}, explain={component: held[component]})
        homeless -= held.keys()
        leaving = [other for other in demands if homeless & set(other.members)]
        interactions = interactions_of(application)
        if component not in homeless or len(leaving) < 2:
            facts = self.facts(without=[(name, member) for member in demand.members])
            present = placed.get(component, "")
            return place_elsewhere(
                demand, facts, present=present, placed=placed, interactions=interactions, weights=self.weights()
            )
        members = {member for other in leaving for member in other.members}
        found = place(
            leaving,
            self.facts(without=[(name, member) for member in sorted(members)]),
            fixed={item: node for item, node in placed.items() if item not in members},
            interactions=interactions,
            weights=self.weights(),
        )
        return PlacementOutcome(
            assignments={item: node for item, node in found.assignments.items() if item in demand.members},
            rejected=[item for item in found.rejected if item.component == demand.members[0]],
            explain={item: text for item, text in found.explain.items() if item in demand.members},
            scores={item: table for item, table in found.scores.items() if item in demand.members},
        )

    # -- what policies are shown -------------------------------------------------------------------------------

    def system_description(self, asset: str) -> dict[str, Any]:
        """Return the cluster's description, with the nodes that are there."""
        described = self._objects.get("MLSysOpsCluster", self._agent.name) or {}
        nodes = list(self.facts().hosts)
        spec = {"name": self._agent.name, "cluster_id": self._agent.name, **(described.get("spec") or {})}
        return {"MLSysOpsCluster": {**spec, "nodes": nodes}}

    def snapshot(self, asset: str, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """Return the places and metric values that a decision was made from."""
        name = asset.removeprefix(ASSET)
        return {
            "placed": self.placed(name) if asset.startswith(ASSET) else {},
            "metrics": self.measured(asset, metrics),
        }


def _demand_of(application: Application, only: Sequence[str], component: str) -> Demand:
    """Return the demand that a component is part of."""
    for demand in demands_of(application, only):
        if component in demand.members:
            return demand
    raise InvalidInput(f"application {application.name} has no component {component} in this cluster")
