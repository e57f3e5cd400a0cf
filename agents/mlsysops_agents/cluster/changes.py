"""Which changes of objects matter: a watch tells of every write, most of which are heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_agents.adapters.kubernetes import Change, ChangeKind
from mlsysops_agents.upper import ASSET

__all__ = ["app_changed", "deployment_changed", "may_have_room", "newly_decided", "node_changed", "spec_changed"]


def spec_changed(change: Change) -> bool:
    """Say whether anything but the status changed."""
    return change.kind is not ChangeKind.MODIFIED or change.old is None or _intent(change.old) != _intent(change.new)


def app_changed(change: Change) -> bool:
    """Say whether an application's description or its assignment changed."""
    return spec_changed(change)


def node_changed(change: Change) -> bool:
    """Say whether a node (ours or Kubernetes') changed in what placement looks at."""
    if change.kind is not ChangeKind.MODIFIED or change.old is None:
        return True
    return _node(change.old) != _node(change.new)


def newly_decided(change: Change) -> set[str]:
    """Return the applications of which a node's agent tells a decision that it did not tell before."""
    old, new = _decisions(change.old), _decisions(change.new)
    return {asset.removeprefix(ASSET) for key, asset in new.items() if key not in old and asset.startswith(ASSET)}


def may_have_room(change: Change) -> bool:
    """Say whether a node that changed may take what it did not take before; one that is not ready takes nothing."""
    if change.kind is ChangeKind.DELETED:
        return False
    if change.new.get("kind") != "Node":
        return True
    conditions = (change.new.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def deployment_changed(change: Change) -> bool:
    """Say whether a Deployment changed in what policies look at: its place, its version, its readiness."""
    if change.kind is not ChangeKind.MODIFIED or change.old is None:
        return True
    return _intent(change.old) != _intent(change.new) or _available(change.old) != _available(change.new)


def _intent(obj: Mapping[str, Any]) -> tuple[Any, ...]:
    metadata = obj["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        obj.get("spec") if metadata.get("generation") is None else None,
        metadata.get("annotations"),
        metadata.get("labels"),
        bool(metadata.get("deletionTimestamp")),
    )


def _node(obj: Mapping[str, Any]) -> tuple[Any, ...]:
    status = obj.get("status") or {}
    conditions = [
        (item.get("type"), item.get("status")) for item in status.get("conditions") or () if item.get("type") == "Ready"
    ]
    return (
        obj.get("spec"),
        obj["metadata"].get("labels"),
        bool(obj["metadata"].get("deletionTimestamp")),
        conditions,
        status.get("allocatable"),
        status.get("capacity"),
        status.get("runtimeHandlers"),
        status.get("requests") or [],
    )


def _decisions(obj: Mapping[str, Any] | None) -> dict[str, str]:
    told = ((obj or {}).get("status") or {}).get("decisions") or ()
    return {str(item.get("id")): str(item.get("asset") or "") for item in told}


def _available(deployment: Mapping[str, Any]) -> tuple[Any, ...]:
    status = deployment.get("status") or {}
    return (
        status.get("observedGeneration"),
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
    )
