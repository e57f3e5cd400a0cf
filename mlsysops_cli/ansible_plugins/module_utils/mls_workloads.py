"""How far the rollout of a Deployment or DaemonSet is, and what its pods wait for."""

from __future__ import annotations

import urllib.parse
from typing import Any

__all__ = ["pod_reasons", "rollout_missing"]


def rollout_missing(obj: dict[str, Any]) -> str:
    """Return what of a rollout is not done (what ``kubectl rollout status`` looks at), or nothing."""
    status = obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "its controller has not seen it"
    if obj["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
        total = wanted
    else:
        wanted = (obj.get("spec") or {}).get("replicas", 1)
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        total = status.get("replicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if total > updated:
        return f"{total - updated} old pods are still there"
    return "" if available >= updated else f"{available} of {updated} pods are available"


def pod_reasons(api: Any, obj: dict[str, Any]) -> str:
    """Return what the pods of a workload wait for, or why it has none, each reason once, or nothing."""
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    query = urllib.parse.urlencode({"labelSelector": selector})
    pods = api.request("GET", f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods?{query}").get("items") or []
    reasons = [] if pods else _refusals(api, obj)
    for pod in pods:
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or []:
            state = container.get("state") or {}
            waiting = state.get("waiting") or state.get("terminated") or {}
            if waiting:
                reasons.append(": ".join(filter(None, (waiting.get("reason"), waiting.get("message")))))
        reasons += [
            str(condition.get("message") or condition.get("reason"))
            for condition in status.get("conditions") or []
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        ]
    return "; " + "; ".join(dict.fromkeys(reasons)) if reasons else ""


def _refusals(api: Any, obj: dict[str, Any]) -> list[str]:
    """Return why no pod of a workload could be made: by a quota, Pod Security or a webhook, say."""
    told = [
        str(condition.get("message"))
        for condition in (obj.get("status") or {}).get("conditions") or []
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
    ]
    if told:
        return told
    # A DaemonSet has no such condition; its controller tells in Events alone.
    metadata = obj["metadata"]
    selector = f"involvedObject.kind={obj['kind']},involvedObject.name={metadata['name']},reason=FailedCreate"
    query = urllib.parse.urlencode({"fieldSelector": selector})
    events = api.request("GET", f"/api/v1/namespaces/{metadata['namespace']}/events?{query}").get("items") or []
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return [str(events[-1].get("message"))] if events else []
