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

from .actions import Command, read_command

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
        clusters = component_clusters(application)
        for action in read.actions:
            if action.verb == "remove":
                clusters.pop(action.component, None)
            elif action.host is not None:
                clusters[action.component] = action.host
        text = json.dumps(clusters, sort_keys=True)
        # The annotation first: a cluster that gets the application must find in it what is its own.
        if component_clusters(application) != clusters:
            await self._handle.objects.annotate(
                "MLSysOpsApp", read.application, {ANNOTATION: text}, field_manager=_MANAGER
            )
        names = sorted(set(clusters.values()))
        await self._handle.objects.apply(_policy(application, names), field_manager=_MANAGER)
        message = f"{read.application} placed on {', '.join(names)}"
        await self._handle.objects.event(application, kind="Normal", reason="ClusterAssigned", message=message)
        return Outcome(ok=True, message=message, details={"clusters": clusters})

    def assets(self, command: Mapping[str, Any]) -> frozenset[str]:
        """Return the application: its annotation is one value."""
        return frozenset({f"application/{_read(command).application}"})

    def check(self, command: Mapping[str, Any]) -> str:
        """Say whether the application is gone."""
        name = _read(command).application
        application = self._handle.objects.get("MLSysOpsApp", name)
        if application is None or application["metadata"].get("deletionTimestamp"):
            return f"application {name} is gone"
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
