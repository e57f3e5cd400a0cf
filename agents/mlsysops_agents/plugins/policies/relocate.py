"""``relocateComponents``: moves a component whose node is gone, no longer fits, or keeps it from meeting its targets.

Haste and patience are both bounded: a reason must last for a while before anything moves (hysteresis), a move for the sake of
quality needs a node that is clearly better and the owner's permission, and nothing moves twice within the cool-down. The same
permission lets components move to better nodes that a search in the background has found, all at once and only where all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import eq, ge, gt, le, lt
from typing import Any, ClassVar

from mlsysops_core.contracts import PlacementOutcome, PluginHandle, Rejected
from mlsysops_core.permissions import is_permitted

__all__ = ["RelocateComponents"]

_MECHANISM = "fluidity"
#: Seconds a reason must last before a component is moved for it.
_GRACE_SECONDS = 5.0
_UNREADY_SECONDS = 15.0
_QUALITY_SECONDS = 60.0
#: Seconds between two moves of one component for the sake of quality.
_COOL_DOWN_SECONDS = 300.0
#: How much better (of 1) another node must score to be worth the disruption.
_MARGIN = 0.1
#: Filters that speak about new components; one that runs in spite of them is left in peace.
_FOR_NEWCOMERS = frozenset({"unschedulable", "taint", "cpu", "memory", "disk", "gpu"})
_PERMISSION = "component_relocation"

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "lower_or_equal": le,
    "greater_or_equal": ge,
    "equal": eq,
    "lower_than": lt,
    "greater_than": gt,
}


class RelocateComponents:
    """Policy of the cluster tier."""

    tiers: ClassVar[frozenset[str]] = frozenset({"cluster"})

    def __init__(self, handle: PluginHandle) -> None:
        self._handle = handle

    def initialize(self) -> dict[str, Any]:
        """Return the first context: since when what is wrong, and when what was moved."""
        return {
            "mechanisms": [_MECHANISM],
            "scope": "application",
            "core": True,
            "configuration": {},
            "since": {},
            "moved": {},
            "stuck": {},
        }

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """A plan is needed where a reason has lasted long enough and there is somewhere to go."""
        now = self._handle.clock.time()
        wrong: dict[str, tuple[float, str]] = {}
        for application in application_description:
            wrong.update(self._wrong(application, _state(mechanisms, application["name"])))
        # What is to come happened before the clock was set back: nobody is to wait until then.
        since = {key: min(context["since"].get(key, now), now) for key in wrong}
        context["since"] = since
        context["moved"] = {component: min(at, now) for component, at in context["moved"].items()}
        context["stuck"] = {key: text for key, text in context["stuck"].items() if key in wrong}
        due = [key for key, (grace, _) in wrong.items() if now - since[key] >= grace]
        later = [since[key] + grace - now for key, (grace, _) in wrong.items() if key not in due]
        # The next look is when the first of the reasons has lasted long enough; without any, only events wake us.
        context["configuration"] = {"analyze_interval": max(min(later), 0.1)} if later else {}
        for application in application_description:
            state = _state(mechanisms, application["name"])
            for key in due:
                found, text = self._target(application, key, context, state)
                # Without a way out there is still something to tell, once.
                if found.assignments or context["stuck"].get(key) != text:
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
        """Move what is due and has a better place."""
        now = self._handle.clock.time()
        for application in application_description:
            name = application["name"]
            state = _state(mechanisms, name)
            wrong = self._wrong(application, state)
            actions: dict[str, list[dict[str, Any]]] = {}
            for key, (grace, why) in wrong.items():
                component = key.partition(":")[2]
                if now - context["since"].get(key, now) < grace or component in actions:
                    continue
                found, text = self._target(application, key, context, state)
                self._handle.explain(rejected=[*found.rejected, *found.outscored()])
                if not found.assignments:
                    context["stuck"][key] = text
                    self._handle.explain(message=f"{component} stays: {why}; {text}", component=component)
                    continue
                self._handle.explain(message=f"{component}: {why}", component=component)
                for member, host in found.assignments.items():
                    present = state.get(member, {}).get("node_placed")
                    if present is not None and present != host:
                        actions[member] = [{"action": "move", "src_host": present, "target_host": host}]
                        if not key.startswith("place:"):
                            context["moved"][member] = now
            if actions:
                return {_MECHANISM: {"name": name, "deployment_plan": {"initial_plan": False, **actions}}}, context
        return {}, context

    def _wrong(self, application: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
        """Return what is wrong: ``kind:component`` to how long it must last, and why."""
        found: dict[str, tuple[float, str]] = {}
        for component, objection in self._handle.recheck(application["name"]).items():
            if objection.filter not in _FOR_NEWCOMERS:
                found[f"place:{component}"] = (_GRACE_SECONDS, _text(objection))
            elif not state.get(component, {}).get("ready"):
                found[f"place:{component}"] = (_UNREADY_SECONDS, f"does not start, {_text(objection)}")
        if is_permitted(_PERMISSION, application["spec"]):
            for component, why in self._unmet(application, state):
                found[f"quality:{component}"] = (_QUALITY_SECONDS, why)
            if not found and state and all(item.get("node_placed") and item.get("ready") for item in state.values()):
                better = self._handle.better(application["name"])
                for component in better.assignments if better is not None else ():
                    found[f"better:{component}"] = (0.0, "a better plan was found")
        return found

    def _unmet(self, application: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for component in application["spec"].get("components") or ():
            name = component["metadata"]["name"]
            if state.get(name, {}).get("node_placed") is None:
                continue
            for metric in component.get("qos_metrics") or ():
                relation, target = _RELATIONS.get(str(metric.get("relation"))), metric.get("target")
                if relation is None or target is None:
                    continue
                identifier = str(metric["application_metric_id"])
                sample = self._handle.telemetry.latest(identifier, service_name=name)
                if sample is not None and not relation(sample.value, float(target)):
                    yield name, f"{identifier} is {sample.value:g}, not {metric['relation']} {target:g}"

    def _target(
        self, application: Mapping[str, Any], key: str, context: Mapping[str, Any], state: Mapping[str, Any]
    ) -> tuple[PlacementOutcome, str]:
        """Return where the component (with those that share its node) should go; without a place, why it stays."""
        kind, _, component = key.partition(":")
        if kind == "better":
            return self._better(application, context)
        found = self._handle.alternatives(application["name"], component)
        host = found.assignments.get(component)
        if host is None:
            return found, found.explain.get(component, "no other node")
        if kind == "quality":
            stays = replace(found, assignments={})
            moved = context["moved"].get(component)
            if moved is not None and self._handle.clock.time() - moved < _COOL_DOWN_SECONDS:
                return stays, "it was moved a short while ago"
            scores = found.scores.get(component, {})
            present = scores.get(state[component]["node_placed"], 0.0)
            if scores.get(host, 0.0) < present + _MARGIN:
                return stays, "no other node is clearly better"
        return found, ""

    def _better(self, application: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[PlacementOutcome, str]:
        """Return all moves of the better plan; none where one of them would come too soon after another."""
        found = self._handle.better(application["name"])
        if found is None:
            return PlacementOutcome({}), "the plan is no longer better"
        now = self._handle.clock.time()
        if any(
            now - context["moved"].get(member, -_COOL_DOWN_SECONDS) < _COOL_DOWN_SECONDS for member in found.assignments
        ):
            return replace(found, assignments={}), "it was moved a short while ago"
        return found, ""


def _state(mechanisms: Mapping[str, Mapping[str, Any]], application: str) -> dict[str, Any]:
    applications = mechanisms[_MECHANISM]["state"]["applications"]
    return dict(applications.get(application, {"components": {}})["components"])


def _text(objection: Rejected) -> str:
    return f"node {objection.candidate} fails {objection.filter} ({objection.reason})"
