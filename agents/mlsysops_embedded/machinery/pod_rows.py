"""What `kubectl get pods` shows: how many containers are ready, what keeps a pod, how often it began anew.

Source: kubernetes `pkg/printers/internalversion/printers.go`, `printPod`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_embedded.machinery.cells import age, created, dig

__all__ = ["pod_row"]

Obj = Mapping[str, Any]


def _sidecars(pod: Obj) -> set[str]:
    return {c["name"] for c in dig(pod, "spec", "initContainers", default=[]) if c.get("restartPolicy") == "Always"}


def _init_reason(pod: Obj, total: int) -> str | None:
    sidecars = _sidecars(pod)
    for index, status in enumerate(dig(pod, "status", "initContainerStatuses", default=[])):
        terminated, waiting = dig(status, "state", "terminated"), dig(status, "state", "waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        if terminated is not None:
            if terminated.get("reason"):
                return f"Init:{terminated['reason']}"
            return (
                f"Init:Signal:{terminated['signal']}"
                if terminated.get("signal")
                else f"Init:ExitCode:{terminated.get('exitCode')}"
            )
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _initializing(pod: Obj) -> str | None:
    """Why the containers of a pod do not run yet."""
    conditions = {c.get("type"): c.get("status") for c in dig(pod, "status", "conditions", default=[])}
    if conditions.get("Initialized") == "True":
        return None
    return _init_reason(pod, len(dig(pod, "spec", "initContainers", default=[])))


def _pod_reason(pod: Obj) -> str:
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    init = _initializing(pod)
    if init:
        reason = init
    else:
        running, failed = False, ""
        for item in reversed(status.get("containerStatuses") or ()):
            state = item.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = terminated.get("reason") or (
                    f"Signal:{terminated['signal']}"
                    if terminated.get("signal")
                    else f"ExitCode:{terminated.get('exitCode', 0)}"
                )
                failed = reason if terminated.get("exitCode") else failed
            elif item.get("ready") and "running" in state:
                running = True
        if reason == "Completed":
            ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
            reason = "Running" if running and ready else failed or ("NotReady" if running else reason)
    if dig(pod, "metadata", "deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(reason)


def pod_row(pod: Obj) -> list[Any]:
    """The cells of a pod."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    sidecars = _sidecars(pod)
    before = status.get("initContainerStatuses") or []
    besides = [item for item in before if item.get("name") in sidecars]
    statuses = before if _initializing(pod) else besides + (status.get("containerStatuses") or [])
    ready = sum(bool(item.get("ready") and item.get("started")) for item in besides)
    ready += sum(bool(i.get("ready") and "running" in i["state"]) for i in status.get("containerStatuses") or ())
    restarts = sum(item.get("restartCount") or 0 for item in statuses)
    last = max((dig(item, "lastState", "terminated", "finishedAt", default="") for item in statuses), default="")
    text = f"{restarts} ({age(last)} ago)" if restarts and last else str(restarts)
    gates = spec.get("readinessGates") or []
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    gate = f"{sum(conditions.get(g.get('conditionType')) == 'True' for g in gates)}/{len(gates)}" if gates else "<none>"
    return [
        pod["metadata"]["name"], f"{ready}/{len(spec.get('containers') or ()) + len(sidecars)}", _pod_reason(pod), text, created(pod),
        status.get("podIP") or "<none>", spec.get("nodeName") or "<none>", status.get("nominatedNodeName") or "<none>", gate,
    ]  # fmt: skip
