"""What nodes are and what of them is in use, worked out once for each version of an object: a thousand nodes change one at a time."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any

from mlsysops_core.contracts import Objects
from mlsysops_core.model import Node
from mlsysops_core.quantities import parse_bytes, parse_cpu

from mlsysops_agents.placement import Descriptions, NodeFacts, Resources

__all__ = ["Ledger", "requests_of"]

_GPU = "nvidia.com/gpu"


class Ledger:
    """Remembers facts of nodes and requests of pods by the versions of the objects that they come from.

    Args:
        objects: The agent's objects.
        descriptions: Reads descriptions.
    """

    def __init__(self, objects: Objects, descriptions: Descriptions) -> None:
        self._objects = objects
        self._descriptions = descriptions
        self._nodes: dict[str, tuple[tuple[Any, ...], NodeFacts]] = {}
        self._requests: dict[tuple[str, str], tuple[Any, Resources]] = {}

    def node(self, described: Mapping[str, Any], used: Resources | None) -> NodeFacts:
        """Return the facts of a described node.

        Args:
            described: The MLSysOpsNode.
            used: What is in use on it.
        """
        name = str(described["metadata"]["name"])
        kubernetes = self._objects.get("Node", name)
        version = (_version(described), _version(kubernetes))
        known = self._nodes.get(name)
        if known is None or known[0] != version or None in version[0]:
            facts = NodeFacts.gather(
                name,
                description=self._descriptions.get(described, Node),
                status=described.get("status"),
                kubernetes=kubernetes,
                must_have_joined=True,
            )
            known = self._nodes[name] = (version, facts)
        return replace(known[1], used=used) if used is not None else known[1]

    def requests(self, obj: Mapping[str, Any], pod: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Resources:
        """Return what the containers of an object's pod request.

        Args:
            obj: A Pod, or what has a pod's specification in it.
            pod: Returns that specification.
        """
        key, version = (str(obj.get("kind")), str(obj["metadata"]["name"])), _version(obj)
        known = self._requests.get(key)
        if known is None or known[0] != version or None in version:
            known = self._requests[key] = (version, requests_of(pod(obj)))
        return known[1]

    def forget(self, kind: str, name: str) -> None:
        """Drop what is known of an object that is gone."""
        self._requests.pop((kind, name), None)

    def keep(self, nodes: Container[str]) -> None:
        """Drop what is known of all nodes but these."""
        for name in [name for name in self._nodes if name not in nodes]:
            del self._nodes[name]


def requests_of(pod: Mapping[str, Any]) -> Resources:
    """Return what the containers of a pod's specification request."""
    total = Resources()
    for container in pod.get("containers") or ():
        resources = container.get("resources") or {}
        # What is not requested but limited is requested at the limit (Kubernetes, "Resource Management for Pods").
        wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        total = total + Resources(
            cpu=parse_cpu(wanted.get("cpu", 0)),
            memory=parse_bytes(wanted.get("memory", 0)),
            gpu=float(wanted.get(_GPU, 0)),
        )
    return total


def _version(obj: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """Return what changes whenever an object does; None in it where that is not known."""
    metadata = (obj or {}).get("metadata") or {}
    return ("", "") if obj is None else (metadata.get("uid"), metadata.get("resourceVersion"))
