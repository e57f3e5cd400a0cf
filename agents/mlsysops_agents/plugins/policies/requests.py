"""``componentRequests``: gives components the image, runtime class, resources or environment that their node asks for.

A node says what it wants in the status of its MLSysOpsNode. A request counts while the component is on that node and both the
node's and the application's descriptions permit it; when it no longer does, the component goes back to its description.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mlsysops_core.contracts import PluginHandle, Rejected
from mlsysops_core.errors import MlsError
from mlsysops_core.permissions import refusal
from pydantic import ValidationError

from mlsysops_agents.plugins.mechanisms.component_changes import changed_component
from mlsysops_agents.plugins.mechanisms.workloads import OVERRIDE, workload_name

__all__ = ["ComponentRequests"]

_MECHANISM = "fluidity"
#: Keys of a component that a request may change.
_PARTS = ("containers", "runtime_class_name")


class ComponentRequests:
    """Policy of the cluster tier."""

    tiers: ClassVar[frozenset[str]] = frozenset({"cluster"})

    def __init__(self, handle: PluginHandle) -> None:
        self._handle = handle

    def initialize(self) -> dict[str, Any]:
        """Return the first context: which components run as their node asked, and which refusals were told."""
        return {"mechanisms": [_MECHANISM], "scope": "application", "core": True, "made": {}, "told": {}}

    async def analyze(
        self,
        context: dict[str, Any],
        application_description: list[dict[str, Any]],
        system_description: dict[str, Any],
        mechanisms: dict[str, dict[str, Any]],
        telemetry: dict[str, Any],
        ml_connector: Any,
    ) -> tuple[bool, dict[str, Any]]:
        """A plan is needed where a component does not run as its node asks, or a refusal is new."""
        for application in application_description:
            refused: dict[str, str] = {}
            actions = self._actions(application, _state(mechanisms, application["name"]), context, refused)
            if actions or refused != context["told"]:
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
        """Change what differs."""
        for application in application_description:
            name = application["name"]
            refused: dict[str, str] = {}
            actions = self._actions(application, _state(mechanisms, name), context, refused)
            for key, reason in refused.items():
                if context["told"].get(key) != reason:
                    self._handle.explain(
                        rejected=[Rejected(key, "permission", reason)], message=f"request {key} is refused: {reason}"
                    )
            context["told"] = refused
            if actions:
                for component, (_, digest) in actions.items():
                    if digest:
                        context["made"][component] = digest
                    else:
                        context["made"].pop(component, None)
                plan = {component: [action] for component, (action, _) in actions.items()}
                return {_MECHANISM: {"name": name, "deployment_plan": {"initial_plan": False, **plan}}}, context
        return {}, context

    def _actions(
        self,
        application: Mapping[str, Any],
        state: Mapping[str, Any],
        context: Mapping[str, Any],
        refused: dict[str, str],
    ) -> dict[str, tuple[dict[str, Any], str]]:
        """Return component to action, and the digest of what it makes; what is refused is put into ``refused``."""
        found: dict[str, tuple[dict[str, Any], str]] = {}
        for component in application["spec"].get("components") or ():
            name = str(component["metadata"]["name"])
            node = state.get(name, {}).get("node_placed")
            if node is None:
                continue
            requests = list(self._requests(application["name"], name, str(node), refused))
            present = self._override(application["name"], name)
            try:
                wanted = changed_component(component, requests)
            except ValidationError as exc:
                refused[f"{application['name']}/{name}"] = f"not valid: {exc.errors(include_url=False)[0]['msg']}"
                continue
            if wanted != component:
                if present is None or _digest(present) != _digest(wanted):
                    new_spec = {key: wanted[key] for key in _PARTS if key in wanted}
                    found[name] = ({"action": "change_spec", "new_spec": new_spec, "host": node}, _digest(wanted))
            elif present is not None and context["made"].get(name) == _digest(present):
                # Back to the description; what another policy made is not ours to undo.
                found[name] = ({"action": "change_spec", "new_spec": {}, "host": node}, "")
        return found

    def _requests(
        self, application: str, component: str, node: str, refused: dict[str, str]
    ) -> Iterator[Mapping[str, Any]]:
        described = self._handle.objects.get("MLSysOpsNode", node)
        owner = self._handle.objects.get("MLSysOpsApp", application)
        if described is None or owner is None:
            return
        for request in (described.get("status") or {}).get("requests") or ():
            if request.get("application") != application or request.get("component") != component:
                continue
            try:
                reason = refusal(str(request.get("action")), node=described, application=owner)
            except MlsError as exc:
                reason = str(exc)
            if not reason and not _is_what_it_says(request):
                reason = f"{request.get('action')} does not cover what it changes"
            if reason:
                refused[str(request.get("key"))] = reason
            else:
                yield request

    def _override(self, application: str, component: str) -> dict[str, Any] | None:
        deployment = self._handle.objects.get("Deployment", workload_name(application, component))
        text = ((deployment or {"metadata": {}})["metadata"].get("annotations") or {}).get(OVERRIDE)
        return dict(json.loads(text)) if text else None


#: Kinds of change to the word that permits them.
_WORDS = {
    "image": "change_container_image",
    "runtimeClassName": "change_container_runtime_class",
    "resources": "change_container_resource_requirements",
    "environment": "acceleration",
}


def _is_what_it_says(request: Mapping[str, Any]) -> bool:
    """A node may not get one thing permitted and another one done."""
    given = {kind for kind in _WORDS if request.get(kind) is not None}
    if {_WORDS[kind] for kind in given} != {request.get("action")}:
        return False
    return all(str(name).startswith("VACCEL_") for name in request.get("environment") or ())


def _digest(component: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(component, sort_keys=True).encode()).hexdigest()[:16]


def _state(mechanisms: Mapping[str, Mapping[str, Any]], application: str) -> dict[str, Any]:
    applications = mechanisms[_MECHANISM]["state"]["applications"]
    return dict(applications.get(application, {"components": {}})["components"])
