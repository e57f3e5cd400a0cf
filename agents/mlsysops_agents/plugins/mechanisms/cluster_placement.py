"""Mechanism ``clusterPlacement``: writes which cluster hosts which component, as Karmada understands it.

The annotation on the application says it a component at a time; the PropagationPolicy brings the application to the clusters
that the annotation names. The annotation travels with the application, so each cluster knows its own components.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from mlsysops_core.contracts import Outcome, PluginHandle
from mlsysops_core.errors import NotFound
from mlsysops_core.permissions import is_permitted

from .actions import Action, Command, read_command

__all__ = ["ANNOTATION", "ClusterPlacementMechanism"]

ANNOTATION = "mlsysops.eu/component-clusters"
_MANAGER = "mlsysops-cluster-placement"


class ClusterPlacementMechanism:
    """Acts for the continuum tier; the fluidity command, with clusters for hosts."""

    tiers: ClassVar[frozenset[str]] = frozenset({"continuum"})

    def __init__(self, handle: PluginHandle) -> None:
        self._handle = handle

    async def apply(self, command: Mapping[str, Any]) -> Outcome:
        """Write annotation and policy.

        Raises:
            InvalidInput: The command has another form.
            NotFound: The application is gone.
        """
        read = _read(command)
        application = self._handle.objects.get("MLSysOpsApp", read.application)
        if application is None:
            raise NotFound(f"application {read.application} is gone")
        before = component_clusters(application)
        clusters = dict(before)
        for action in read.actions:
            if action.verb == "remove":
                clusters.pop(action.component, None)
            elif action.host is not None:
                clusters[action.component] = action.host
        text = json.dumps(clusters, sort_keys=True)
        # The annotation first: a cluster that gets the application must find in it what is its own.
        if before != clusters:
            await self._handle.objects.annotate(
                "MLSysOpsApp", read.application, {ANNOTATION: text}, field_manager=_MANAGER
            )
        names = sorted(set(clusters.values()))
        await self._handle.objects.apply(_policy(application, names), field_manager=_MANAGER)
        message = f"{read.application} placed on {', '.join(names)}"
        await self._handle.objects.event(application, kind="Normal", reason="ClusterAssigned", message=message)
        return Outcome(
            ok=True, message=message, details={"clusters": clusters}, undo=_undo(read.application, before, clusters)
        )

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the application: its annotation is one value."""
        return frozenset({f"application/{_read(command).application}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Say why a command no longer makes sense: things moved on, or the description forbids it."""
        read = _read(command)
        application = self._handle.objects.get("MLSysOpsApp", read.application)
        if application is None or application["metadata"].get("deletionTimestamp"):
            return f"application {read.application} is gone"
        registered = sorted(item["metadata"]["name"] for item in self._handle.objects.items("MLSysOpsCluster"))
        for action in read.actions:
            if objection := _objection(application, action, registered):
                return objection
        return ""

    def get_state(self) -> dict[str, Any]:
        """Return where each component is assigned."""
        return {
            "applications": {
                application["metadata"]["name"]: {"components": _components(application)}
                for application in self._handle.objects.items("MLSysOpsApp")
            }
        }

    def get_status(self) -> dict[str, Any]:
        """Return nothing: this mechanism has no health of its own."""
        return {}

    def get_options(self) -> dict[str, Any]:
        """Return the actions and hosts there are."""
        hosts = [item["metadata"]["name"] for item in self._handle.objects.items("MLSysOpsCluster")]
        return {"actions": ["deploy", "move", "remove"], "hosts": hosts}


def component_clusters(application: Mapping[str, Any]) -> dict[str, str]:
    """Return component to cluster as the annotation has it; what is no mapping counts as nothing."""
    text = (application["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(name): str(cluster) for name, cluster in value.items()} if isinstance(value, dict) else {}


def _objection(application: Mapping[str, Any], action: Action, registered: list[str]) -> str:
    component, present = action.component, component_clusters(application).get(action.component)
    if action.verb == "remove":
        # Else a policy could move anything: take it away here, and it is assigned anew elsewhere.
        described = {item["metadata"]["name"] for item in (application.get("spec") or {}).get("components") or ()}
        leaves = component in described and present is not None and _runs(application, component, present)
        return _forbidden(application) if leaves else ""
    if action.host not in registered:
        return f"there is no cluster {action.host} for component {component}: clusters are {', '.join(registered) or 'none'}"
    if action.verb == "move" and action.source is not None and action.source != present:
        return f"component {component} is assigned to {present}, not to {action.source}"
    # What runs may leave its cluster only where its owner permits it; what a cluster has no place for loses nothing.
    leaves = present not in (None, action.host) and _runs(application, component, str(present))
    return _forbidden(application) if leaves else ""


def _forbidden(application: Mapping[str, Any]) -> str:
    if is_permitted("component_relocation", application.get("spec") or {}):
        return ""
    return f"component_relocation is not among the permitted_actions of {application['metadata']['name']}"


def _runs(application: Mapping[str, Any], component: str, cluster: str) -> bool:
    """Whether a component is on a node of a cluster, as far as the application's status tells."""
    told = (application.get("status") or {}).get("components") or ()
    return any(item.get("name") == component and item.get("cluster") == cluster and item.get("node") for item in told)


def _undo(application: str, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the command that assigns components as before; None where nothing changed."""
    plan = {
        name: [{"action": "deploy", "host": before[name]} if name in before else {"action": "remove"}]
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    return {"name": application, "deployment_plan": plan} if plan else None


def _components(application: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    clusters = component_clusters(application)
    names = [item["metadata"]["name"] for item in (application.get("spec") or {}).get("components") or ()]
    return {name: {"cluster_placed": clusters.get(name)} for name in dict.fromkeys([*names, *clusters])}


def _read(command: Mapping[str, Any]) -> Command:
    """Read a command; also the form of the MLSysOps framework, ``{"action": {component: cluster}, "app": [description]}``."""
    applications = command.get("app")
    if "deployment_plan" in command or not applications:
        return read_command(command)
    application = applications[0] if isinstance(applications, list) else applications
    known = [item["metadata"]["name"] for item in application["spec"]["components"]]
    plan: dict[str, Any] = {}
    for component, cluster in dict(command.get("action") or {}).items():
        # The framework's own policy writes the word "component" and means all of them.
        for name in [component] if component in known else known:
            plan[name] = [{"action": "deploy", "host": cluster}]
    return read_command({"name": application["name"], "deployment_plan": plan})


def _policy(application: Mapping[str, Any], clusters: list[str]) -> dict[str, Any]:
    """Return the PropagationPolicy (policy.karmada.io/v1alpha1) for one application."""
    metadata = application["metadata"]
    owner = {
        "apiVersion": application["apiVersion"],
        "kind": application["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "policy.karmada.io/v1alpha1",
        "kind": "PropagationPolicy",
        "metadata": {
            "name": f"app-{metadata['name']}",
            "namespace": metadata["namespace"],
            "labels": {"app.kubernetes.io/part-of": metadata["name"], "app.kubernetes.io/managed-by": "mlsysops"},
            "ownerReferences": [owner],
        },
        "spec": {
            "resourceSelectors": [
                {
                    "apiVersion": application["apiVersion"],
                    "kind": application["kind"],
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                }
            ],
            "placement": {"clusterAffinity": {"clusterNames": clusters}},
        },
    }
