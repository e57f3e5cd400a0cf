"""``staticPlacedComponents`` and ``dynamicPlacedComponents``: bring the components of this cluster onto nodes.

They share the work: the first looks after components whose description names their node, the second after all others and
after what is no longer wanted. Both place the whole application in their minds, so neither takes room that the other needs,
and nothing is started of an application of which a part fits nowhere. The second also has components in other clusters connected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mlsysops_core.contracts import PluginHandle

from .told import told_before

__all__ = ["DynamicPlacedComponents", "StaticPlacedComponents"]

_MECHANISM = "fluidity"

Actions = dict[str, list[dict[str, Any]]]


class _PlacedComponents:
    """What the two policies share."""

    tiers: ClassVar[frozenset[str]] = frozenset({"cluster"})
    _static: ClassVar[bool]

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
        """A plan is needed where the state differs from the description; a refusal is told once."""
        for application in application_description:
            state = _state(mechanisms, application["name"])
            waiting = self._waiting(application, state)
            if waiting:
                found = self._handle.place(application["name"])
                if found.unplaced:
                    mine = set(waiting) & set(found.unplaced)
                    if mine and not told_before(context, found):
                        return True, context
                    waiting = []
                else:
                    told_before(context, None)
            else:
                told_before(context, None)
            if waiting or self._corrections(application, state, _disconnected(mechanisms, application["name"])):
                return True, context
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
        """Deploy what can start now, change what is outdated, remove what is not wanted."""
        for application in application_description:
            name = application["name"]
            state = _state(mechanisms, name)
            actions = self._corrections(application, state, _disconnected(mechanisms, name))
            waiting = self._waiting(application, state)
            if waiting:
                found = self._handle.place(name)
                self._handle.explain(
                    rejected=[item for item in [*found.rejected, *found.outscored()] if item.component in waiting]
                )
                if found.unplaced:
                    first = found.unplaced[0]
                    self._handle.explain(message=found.explain[first], component=first)
                else:
                    actions |= {item: [{"action": "deploy", "host": found.assignments[item]}] for item in waiting}
            if actions:
                initial = all(item.get("node_placed") is None for item in state.values())
                return {_MECHANISM: {"name": name, "deployment_plan": {"initial_plan": initial, **actions}}}, context
        return {}, context

    def _waiting(self, application: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
        """Return the components of this policy that have no node and whose dependencies run."""
        return [
            name
            for name, component in self._mine(application)
            if state.get(name, {}).get("node_placed") is None
            and all(state[item].get("ready") for item in component.get("depends_on") or () if item in state)
        ]

    def _corrections(
        self, application: Mapping[str, Any], state: Mapping[str, Any], disconnected: Sequence[str]
    ) -> Actions:
        actions: Actions = {
            name: [{"action": "change_spec", "new_spec": dict(component), "host": state[name]["node_placed"]}]
            for name, component in self._mine(application)
            if state.get(name, {}).get("outdated")
        }
        for name, _ in self._mine(application):
            if name not in actions and state.get(name, {}).get("unfinished"):
                actions[name] = [{"action": "deploy", "host": state[name]["node_placed"]}]
        if not self._static:
            actions |= {name: [{"action": "connect"}] for name in disconnected}
            for name, item in state.items():
                if item.get("unwanted"):
                    actions[name] = [{"action": "remove", "host": item.get("node_placed")}]
        return actions

    def _mine(self, application: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        assigned = set(self._handle.assigned(application["name"]))
        pinned = {
            member
            for group in application["spec"].get("single_node") or ()
            if group.get("node")
            for member in group.get("components") or ()
        }
        for component in application["spec"].get("components") or ():
            name = component["metadata"]["name"]
            static = bool((component.get("node_placement") or {}).get("node")) or name in pinned
            if name in assigned and static == self._static:
                yield name, component


class StaticPlacedComponents(_PlacedComponents):
    """Components whose description names their node."""

    _static = True


class DynamicPlacedComponents(_PlacedComponents):
    """All other components."""

    _static = False


def _disconnected(mechanisms: Mapping[str, Mapping[str, Any]], application: str) -> list[str]:
    applications = mechanisms[_MECHANISM]["state"]["applications"]
    return list(applications.get(application, {}).get("disconnected") or ())


def _state(mechanisms: Mapping[str, Mapping[str, Any]], application: str) -> dict[str, Any]:
    applications = mechanisms[_MECHANISM]["state"]["applications"]
    return dict(applications.get(application, {"components": {}})["components"])
