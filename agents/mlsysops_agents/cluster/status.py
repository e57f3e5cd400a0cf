"""The status of an application in this cluster, worked out anew from what is there; nothing of it is remembered elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlsysops_core.contracts import Telemetry
from mlsysops_core.model import Application
from mlsysops_core.model.status import MAX_DECISIONS

from mlsysops_agents.adapters.health import condition, rfc3339
from mlsysops_agents.loop import status_entry
from mlsysops_agents.placement import is_satisfied, satisfaction

from .reach import Partner, reach_condition

__all__ = ["Evidence", "application_status"]


#: Reasons of a waiting container after which the kubelet needs help (kubelet, images and container types).
_BROKEN = frozenset(
    {
        "CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
_RESTART_POLICY = "mlsysops.eu/restart-policy"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the status of one application is made from.

    Attributes:
        obj: The MLSysOpsApp.
        before: Its status so far.
        application: Its description; None where it does not validate.
        fault: Why it does not.
        cluster: This cluster.
        assigned: Components of this cluster.
        deployments: Component to Deployment.
        pods: Component to its pods.
        nodes: Component to the node it is pinned to.
        unplaced: Component to why it fits nowhere.
        unfit: Component to why its node no longer fits.
        telemetry: The metrics.
        decisions: Decisions about the application, newest first.
        of_nodes: What agents of its nodes say that they decided about it.
        reach: Component in another cluster to why it is not reached; empty where it is, None where that is not known.
        now: Seconds since the Unix epoch.
    """

    obj: Mapping[str, Any]
    before: Mapping[str, Any]
    application: Application | None
    fault: str
    cluster: str
    assigned: Sequence[str]
    deployments: Mapping[str, Mapping[str, Any]]
    pods: Mapping[str, Sequence[Mapping[str, Any]]]
    nodes: Mapping[str, str]
    unplaced: Mapping[str, str]
    unfit: Mapping[str, str]
    telemetry: Telemetry
    decisions: Sequence[Mapping[str, Any]]
    now: float
    reach: Mapping[Partner, str | None] = field(default_factory=dict)
    of_nodes: Sequence[Mapping[str, Any]] = ()


def application_status(evidence: Evidence) -> dict[str, Any]:
    """Return the whole status."""
    before = evidence.before
    generation = evidence.obj["metadata"].get("generation")
    if evidence.application is None:
        conditions = [
            _condition(before, "Ready", False, "Invalid", evidence.fault, generation, evidence.now),
            _condition(before, "Placed", False, "Invalid", evidence.fault, generation, evidence.now),
        ]
        return {"observedGeneration": generation, "phase": "Failed", "conditions": conditions, "components": []}
    components = [_component(evidence, name, before) for name in evidence.assigned]
    performance = _performance(evidence)
    happy = satisfaction(evidence.application, performance)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "phase": _phase(components, str(before.get("phase") or "")),
        "conditions": [
            _ready(before, components, generation, evidence.now),
            _placed(before, evidence, components, generation),
            _targets_met(before, performance, happy, generation, evidence.now),
            *_reachable(before, evidence, generation),
        ],
        "components": components,
        "performance": performance,
        "decisions": _decisions(evidence),
    }
    if happy is not None:
        status["satisfaction"] = happy
    return status


def _decisions(evidence: Evidence) -> list[dict[str, Any]]:
    together = [*(status_entry(item) for item in evidence.decisions), *map(dict, evidence.of_nodes)]
    return sorted(together, key=lambda item: str(item.get("time")), reverse=True)[:MAX_DECISIONS]


# -- components ------------------------------------------------------------------------------------------------


def _component(evidence: Evidence, name: str, before: Mapping[str, Any]) -> dict[str, Any]:
    deployment = evidence.deployments.get(name)
    pod = _newest(evidence.pods.get(name, ()))
    found: dict[str, Any] = {"name": name, "cluster": evidence.cluster, "ready": False, "restarts": 0}
    if deployment is None:
        found |= {"phase": "Pending", "message": evidence.unplaced.get(name) or _waits(evidence, name)}
    else:
        phase, ready, message = _pod_state(pod, deployment)
        found |= {"phase": phase, "ready": ready, "node": evidence.nodes.get(name)}
        notes = [message, evidence.unfit.get(name, ""), _note(deployment)]
        found["message"] = "; ".join(note for note in notes if note)
        if pod is not None:
            found["pod"] = pod["metadata"]["name"]
            found["address"] = (pod.get("status") or {}).get("podIP") if ready else None
            found["restarts"] = sum(
                int(item.get("restartCount") or 0) for item in pod.get("status", {}).get("containerStatuses") or ()
            )
    last: Mapping[str, Any] = next((item for item in before.get("components") or () if item.get("name") == name), {})
    same = last.get("phase") == found["phase"] and last.get("node") == found.get("node")
    found["since"] = last["since"] if same and last.get("since") else rfc3339(evidence.now)
    return {key: value for key, value in found.items() if value is not None and value != ""}


def _waits(evidence: Evidence, name: str) -> str:
    description = evidence.application.component(name) if evidence.application is not None else None
    needs = [item for item in (description.depends_on if description is not None else ()) if item in evidence.assigned]
    if needs and not evidence.unplaced:
        return f"waits for {', '.join(needs)}"
    if evidence.unplaced:
        return f"waits until {', '.join(evidence.unplaced)} fits"
    return _in_vain(evidence) or "waits for placement"


def _in_vain(evidence: Evidence) -> str:
    """Return what became of the newest plan, where it failed."""
    last = next((item for item in evidence.decisions if item.get("plan")), {})
    return str(last.get("scheduler") or last.get("message") or "") if last.get("outcome") == "failed" else ""


def _newest(pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return max(
        alive or pods,
        key=lambda pod: (str(pod["metadata"].get("creationTimestamp")), str(pod["metadata"]["name"])),
        default=None,
    )


def _in_name_only(status: Mapping[str, Any]) -> str:
    """Return what the embedded engine says of a pod behind which there is no program; empty on any other."""
    for item in status.get("conditions") or ():
        if item.get("type") == "embedded.kubernetes.local/Simulated" and item.get("status") == "True":
            return str(item.get("message") or item.get("reason") or "")
    return ""


def _pod_state(pod: Mapping[str, Any] | None, deployment: Mapping[str, Any]) -> tuple[str, bool, str]:
    """Return phase, readiness and message of a component with a Deployment."""
    if pod is None:
        return "Deploying", False, _failure_of(deployment)
    status = pod.get("status") or {}
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in status.get("conditions") or ())
    for item in status.get("containerStatuses") or ():
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _BROKEN:
            return "Failed", False, f"{waiting['reason']}: {waiting.get('message') or 'no message'}"
    if status.get("phase") == "Failed":
        return "Failed", False, str(status.get("message") or status.get("reason") or "pod failed")
    if pod["metadata"].get("deletionTimestamp"):
        return "Deploying", False, "pod is being replaced"
    if ready and status.get("phase") == "Running":
        return "Running", True, str(status.get("message") or _in_name_only(status))
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return "Deploying", False, str(item.get("message") or item.get("reason") or "")
    return "Deploying", False, str(status.get("message") or status.get("reason") or "")


def _failure_of(deployment: Mapping[str, Any]) -> str:
    for item in (deployment.get("status") or {}).get("conditions") or ():
        if item.get("type") == "ReplicaFailure" and item.get("status") == "True":
            return str(item.get("message") or item.get("reason") or "")
    return ""


def _note(deployment: Mapping[str, Any]) -> str:
    wanted = (deployment["metadata"].get("annotations") or {}).get(_RESTART_POLICY)
    return f"restart policy {wanted} runs as Always: pods of a Deployment have no other" if wanted else ""


def _phase(components: Sequence[Mapping[str, Any]], before: str) -> str:
    phases = {item["phase"] for item in components}
    if not components or phases == {"Pending"}:
        return "Pending"
    if all(item["ready"] for item in components):
        return "Running"
    if "Failed" in phases:
        return "Degraded" if any(item["ready"] for item in components) else "Failed"
    return "Degraded" if before in {"Running", "Degraded"} else "Deploying"


# -- conditions ------------------------------------------------------------------------------------------------


def _condition(
    before: Mapping[str, Any], kind: str, status: bool | None, reason: str, message: str, generation: Any, now: float
) -> dict[str, Any]:
    return condition(before, kind, status, reason, message, generation=generation, now=now)


def _ready(
    before: Mapping[str, Any], components: Sequence[Mapping[str, Any]], generation: Any, now: float
) -> dict[str, Any]:
    unready = [item for item in components if not item["ready"]]
    if not components:
        return _condition(before, "Ready", False, "NotAssigned", "no component is assigned here", generation, now)
    if not unready:
        return _condition(before, "Ready", True, "AllRunning", f"{len(components)} components run", generation, now)
    message = "; ".join(
        f"{item['name']} is {item['phase']}" + (f" ({item['message']})" if item.get("message") else "")
        for item in unready
    )
    failed = any(item["phase"] == "Failed" for item in unready)
    return _condition(before, "Ready", False, "ComponentFailed" if failed else "NotRunning", message, generation, now)


def _placed(
    before: Mapping[str, Any], evidence: Evidence, components: Sequence[Mapping[str, Any]], generation: Any
) -> dict[str, Any]:
    waiting = [item["name"] for item in components if item["phase"] == "Pending"]
    if evidence.unplaced:
        message = "; ".join(f"{name}: {text}" for name, text in evidence.unplaced.items())
        if len(evidence.assigned) == 1:
            message = next(iter(evidence.unplaced.values()))
        return _condition(before, "Placed", False, "NoFit", message, generation, evidence.now)
    if waiting or not components:
        message = f"waiting: {', '.join(waiting)}" if waiting else "no component is assigned here"
        if waiting and (failure := _in_vain(evidence)):
            return _condition(before, "Placed", False, "PlanFailed", f"{message}: {failure}", generation, evidence.now)
        return _condition(before, "Placed", False, "Waiting", message, generation, evidence.now)
    places = ", ".join(f"{item['name']} on {item.get('node')}" for item in components)
    return _condition(before, "Placed", True, "Placed", places, generation, evidence.now)


def _reachable(before: Mapping[str, Any], evidence: Evidence, generation: Any) -> list[dict[str, Any]]:
    if not evidence.reach:
        return []
    return [_condition(before, "Reachable", *reach_condition(evidence.reach), generation, evidence.now)]


def _targets_met(
    before: Mapping[str, Any],
    performance: Sequence[Mapping[str, Any]],
    happy: Mapping[str, Any] | None,
    generation: Any,
    now: float,
) -> dict[str, Any]:
    def make(status: bool | None, reason: str, message: str) -> dict[str, Any]:
        return _condition(before, "TargetsMet", status, reason, message, generation, now)

    if not performance:
        return make(None, "NoTargets", "the description sets no targets")
    missing = [item["metric"] for item in performance if item.get("satisfied") is None]
    missed = [item["metric"] for item in performance if item.get("satisfied") is False]
    if happy is not None and happy.get("satisfied") is not None:
        text = f"satisfaction {happy['value']:g}, {happy.get('relation')} {happy.get('threshold'):g} wanted"
        return make(happy["satisfied"], "Satisfied" if happy["satisfied"] else "NotSatisfied", text)
    if missed:
        return make(False, "TargetsMissed", f"not met: {', '.join(missed)}")
    if missing:
        return make(None, "NoMetrics", f"no value yet: {', '.join(missing)}")
    return make(True, "TargetsMet", f"{len(performance)} targets are met")


# -- performance ---------------------------------------------------------------------------------


def _performance(evidence: Evidence) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in evidence.assigned:
        component = evidence.application.component(name) if evidence.application is not None else None
        for metric in component.qos_metrics if component is not None else ():
            sample = None
            # The pod knows best; several applications may have a component of one name, so without a pod it is theirs.
            if (pod := _newest(evidence.pods.get(name, ()))) is not None:
                key = metric.application_metric_id
                sample = evidence.telemetry.latest(key, k8s_pod_name=pod["metadata"]["name"])
                sample = sample or evidence.telemetry.latest(key, service_name=name)
            value = sample.value if sample is not None else None
            entry = {
                "component": name,
                "metric": metric.application_metric_id,
                "value": value,
                "target": metric.target,
                "relation": metric.relation,
                "satisfied": is_satisfied(value, metric.relation, metric.target),
                "observedAt": rfc3339(sample.time) if sample is not None else None,
            }
            found.append({key: item for key, item in entry.items() if item is not None})
    return found
