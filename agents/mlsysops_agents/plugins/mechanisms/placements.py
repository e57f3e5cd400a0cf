"""Where the components of every application are: what ``fluidity`` shows to policies.

It is shown at every analysis, so that what nobody looks at, or has not changed since, is not worked out again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mlsysops_core.contracts import PluginHandle
from mlsysops_core.errors import InvalidInput
from mlsysops_core.lazy import LazyDict
from mlsysops_core.model import Application, from_resource

from .inplace import RESIZING
from .partners import outdated, partners
from .workloads import HASH, LABEL_APPLICATION, LABEL_COMPONENT, component_hash, workload_name

__all__ = ["Placements", "described", "node_of", "raw_component"]

_HOSTNAME = "kubernetes.io/hostname"

_Components = dict[str, dict[str, Any]]


class Placements:
    """Reads Deployments and applications.

    Args:
        handle: The plug-in's handle.
        busy: Names of the Deployments that are being written at the moment.
    """

    def __init__(self, handle: PluginHandle, busy: Collection[str] = ()) -> None:
        self._handle = handle
        self._busy = busy
        self._known: dict[str, tuple[tuple[Any, ...], _Components]] = {}

    def show(self) -> dict[str, Any]:
        """Return where every component is, and the nodes there are; it is the caller's to change.

        What nobody looks at is not worked out: most policies look at one application, and at no node.
        """
        objects = self._handle.objects

        def application(name: str) -> dict[str, Any]:
            found = {
                str(labels[LABEL_COMPONENT]): item
                for item in objects.labelled("Deployment", LABEL_APPLICATION, name)
                if LABEL_COMPONENT in (labels := item["metadata"]["labels"])
            }
            owner = objects.get("MLSysOpsApp", name)
            return self._application(owner, found) if owner is not None else {"components": {}, "disconnected": []}

        def node(name: str) -> dict[str, Any]:
            return {"spec": (objects.get("MLSysOpsNode", name) or {}).get("spec") or {}}

        def names(kind: str) -> list[str]:
            return [str(item["metadata"]["name"]) for item in objects.items(kind)]

        def look(what: str) -> dict[str, Any]:
            if what == "nodes":
                return LazyDict(names("MLSysOpsNode"), node)
            applications = names("MLSysOpsApp")
            if len(self._known) > 2 * len(applications):
                self._known.clear()
            return LazyDict(applications, application)

        return LazyDict(("applications", "nodes"), look)

    def _application(self, owner: Mapping[str, Any], deployments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        name = str(owner["metadata"]["name"])
        assigned = self._handle.assigned(name)
        version = (_version(owner), tuple(assigned), *(_version(item) for item in deployments.values()))
        known = self._known.get(name)
        if known is None or known[0] != version:
            known = self._known[name] = (version, _components(owner, assigned, deployments))
        return {
            "components": {
                component: {
                    key: value
                    for key, value in entry.items()
                    if key != "unfinished" or not self._is_busy(name, component)
                }
                for component, entry in known[1].items()
            },
            "disconnected": self._disconnected(owner, assigned),
        }

    def _is_busy(self, application: str, component: str) -> bool:
        return workload_name(application, component) in self._busy

    def _disconnected(self, owner: Mapping[str, Any], assigned: Sequence[str]) -> list[str]:
        """Return the components in other clusters whose Service here does not lead to where they are."""
        if not assigned or len(assigned) == len((owner.get("spec") or {}).get("components") or ()):
            return []
        description = described(owner)
        elsewhere = partners(description, assigned)
        return [name for name in elsewhere if outdated(self._handle.objects, owner, description, [name])]


def described(owner: Mapping[str, Any]) -> Application:
    """Return the description of an MLSysOpsApp.

    Raises:
        InvalidInput: It is none.
    """
    description = from_resource(owner)
    if not isinstance(description, Application):
        raise InvalidInput(f"{owner.get('kind')} is no application")
    return description


def raw_component(owner: Mapping[str, Any], component: str) -> dict[str, Any]:
    """Return a component's description as it was written; empty where there is none."""
    for item in (owner.get("spec") or {}).get("components") or ():
        if item["metadata"]["name"] == component:
            return dict(item)
    return {}


def node_of(deployment: Mapping[str, Any] | None) -> str | None:
    """Return the node that a Deployment is pinned to."""
    if deployment is None:
        return None
    pod = deployment["spec"]["template"]["spec"]
    node = (pod.get("nodeSelector") or {}).get(_HOSTNAME)
    return str(node) if node is not None else None


def _components(
    owner: Mapping[str, Any], assigned: Sequence[str], deployments: Mapping[str, Mapping[str, Any]]
) -> _Components:
    found: _Components = {}
    for name in dict.fromkeys([*assigned, *deployments]):
        deployment = deployments.get(name)
        raw = raw_component(owner, name)
        annotations = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
        found[name] = {
            "node_placed": node_of(deployment),
            "ready": _ready(deployment),
            "outdated": deployment is not None and bool(raw) and annotations.get(HASH) != component_hash(raw),
            "unwanted": name not in assigned,
            # An agent that was killed while it resized the component left it so.
            **({"unfinished": True} if RESIZING in annotations else {}),
        }
    return found


def _ready(deployment: Mapping[str, Any] | None) -> bool:
    """Say whether the newest pods serve (as ``kubectl rollout status`` sees it)."""
    if deployment is None:
        return False
    status = deployment.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(deployment["metadata"].get("generation") or 0):
        return False
    wanted = int(deployment["spec"].get("replicas", 1))
    return min(int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)) >= wanted


def _version(obj: Mapping[str, Any]) -> tuple[Any, ...]:
    metadata = obj["metadata"]
    # Without a version nothing tells of a change but the object itself.
    version = metadata.get("resourceVersion")
    return (metadata.get("name"), metadata.get("uid"), version if version is not None else id(obj))
