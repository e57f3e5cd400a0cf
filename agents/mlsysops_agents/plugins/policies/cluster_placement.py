"""``clusterPlacement``: gives every component of an application a cluster, and keeps it there while it is allowed to be."""

from __future__ import annotations

from typing import Any, ClassVar

from mlsysops_core.contracts import PluginHandle

from .told import told_before

__all__ = ["ClusterPlacement"]

_MECHANISM = "clusterPlacement"


class ClusterPlacement:
    """Policy of the continuum tier. It is woken by changes of applications, nodes and clusters, never by a timer."""

    tiers: ClassVar[frozenset[str]] = frozenset({"continuum"})

    def __init__(self, handle: PluginHandle) -> None:
        self._handle = handle

    def initialize(self) -> dict[str, Any]:
        """Return the first context."""
        return {"mechanisms": [_MECHANISM], "scope": "application", "core": True}

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """A plan is needed where a component has no cluster or a wrong one; a refusal is told once."""
        for application in application_description:
            found = self._handle.place(application["name"])
            if found.unplaced:
                return not told_before(context, found), context
            if self._moves(application["name"], found.assignments, mechanisms):
                return True, context
        told_before(context, None)
        return False, context

    async def plan(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Assign all components, or none: half an application is of no use."""
        for application in application_description:
            name = application["name"]
            found = self._handle.place(name)
            self._handle.explain(rejected=[*found.rejected, *found.outscored()])
            if found.unplaced:
                self._handle.explain(message=found.explain[found.unplaced[0]], component=found.unplaced[0])
                continue
            moves = self._moves(name, found.assignments, mechanisms)
            if moves:
                initial = all(action[0]["action"] == "deploy" for action in moves.values())
                return {_MECHANISM: {"name": name, "deployment_plan": {"initial_plan": initial, **moves}}}, context
        return {}, context

    def _moves(
        self, application: str, assignments: Any, mechanisms: dict[str, dict[str, Any]]
    ) -> dict[str, list[dict[str, str]]]:
        state = mechanisms[_MECHANISM]["state"]["applications"].get(application, {"components": {}})["components"]
        moves: dict[str, list[dict[str, str]]] = {}
        for component, cluster in assignments.items():
            present = state.get(component, {}).get("cluster_placed")
            if present is None:
                moves[component] = [{"action": "deploy", "host": cluster}]
            elif present != cluster:
                moves[component] = [{"action": "move", "src_host": present, "target_host": cluster}]
        for component in state.keys() - assignments.keys():
            if (present := state[component].get("cluster_placed")) is not None:
                moves[component] = [{"action": "remove", "host": present}]
        return moves
