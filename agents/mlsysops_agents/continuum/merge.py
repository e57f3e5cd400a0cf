"""One status of an application out of what each of its clusters says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlsysops_core.model import Application
from mlsysops_core.model.status import MAX_DECISIONS

from mlsysops_agents.adapters.health import condition, rfc3339
from mlsysops_agents.loop import status_entry
from mlsysops_agents.placement import satisfaction

from .reach import reachability

__all__ = ["Reports", "merged_status"]


@dataclass(frozen=True, slots=True)
class Reports:
    """What the status of one application is made from.

    Attributes:
        obj: The MLSysOpsApp.
        before: Its status so far.
        application: Its description; None where it does not validate.
        fault: Why it does not.
        placed: Component to cluster.
        unplaced: Component to why no cluster fits.
        statuses: Cluster to what it says.
        silent: Clusters that are out of reach, and why.
        problems: Cluster to why the application could not be brought there.
        decisions: Decisions of the continuum, newest first.
        now: Seconds since the Unix epoch.
    """

    obj: Mapping[str, Any]
    before: Mapping[str, Any]
    application: Application | None
    fault: str
    placed: Mapping[str, str]
    unplaced: Mapping[str, str]
    statuses: Mapping[str, Mapping[str, Any]]
    silent: Mapping[str, str]
    problems: Mapping[str, str]
    decisions: Sequence[Mapping[str, Any]]
    now: float


def merged_status(reports: Reports) -> dict[str, Any]:
    """Return the whole status."""
    generation = reports.obj["metadata"].get("generation")
    if reports.application is None:
        return {
            "observedGeneration": generation,
            "phase": "Failed",
            "conditions": [_made(reports, kind, False, "Invalid", reports.fault) for kind in ("Ready", "Placed")],
            "components": [],
        }
    components = [_component(reports, component.name) for component in reports.application.components]
    performance = _performance(reports)
    happy = satisfaction(reports.application, performance)
    decisions = [
        *(status_entry(item) for item in reports.decisions),
        *(item for status in reports.statuses.values() for item in status.get("decisions") or ()),
    ]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "phase": _phase(reports, components),
        "conditions": [
            _ready(reports, components),
            _placed(reports, components),
            _targets_met(reports, performance, happy),
            *_reachable(reports),
        ],
        "components": components,
        "performance": performance,
        "decisions": sorted(decisions, key=lambda item: str(item.get("time")), reverse=True)[:MAX_DECISIONS],
    }
    if happy is not None:
        status["satisfaction"] = happy
    return status


def _component(reports: Reports, name: str) -> dict[str, Any]:
    cluster = reports.placed.get(name)
    said = (reports.statuses.get(cluster) or {}) if cluster is not None else {}
    entry = next((item for item in said.get("components") or () if item.get("name") == name), None)
    if entry is not None and cluster is not None:
        found = {**entry, "cluster": cluster}
        if cluster in reports.silent:
            found["message"] = f"as last heard of: {reports.silent[cluster]}"
        return found
    last: Mapping[str, Any] = next(
        (item for item in reports.before.get("components") or () if item.get("name") == name), {}
    )
    same = last.get("phase") == "Pending" and last.get("cluster") == cluster and last.get("since")
    return {
        "name": name,
        **({"cluster": cluster} if cluster is not None else {}),
        "phase": "Pending",
        "ready": False,
        "restarts": 0,
        "message": _why_pending(reports, name, cluster),
        "since": last["since"] if same else rfc3339(reports.now),
    }


def _why_pending(reports: Reports, name: str, cluster: str | None) -> str:
    if name in reports.unplaced:
        return reports.unplaced[name]
    if cluster is None:
        return "waits for a cluster"
    return reports.problems.get(cluster) or reports.silent.get(cluster) or f"waits for cluster {cluster}"


def _performance(reports: Reports) -> list[dict[str, Any]]:
    """Return the samples of all clusters, those still without a cluster's word included, in the description's order."""
    said = {
        (item.get("component"), item.get("metric")): dict(item)
        for status in reports.statuses.values()
        for item in status.get("performance") or ()
    }
    found: list[dict[str, Any]] = []
    for component in reports.application.components if reports.application is not None else ():
        for metric in component.qos_metrics:
            empty = {
                "component": component.name,
                "metric": metric.application_metric_id,
                "target": metric.target,
                "relation": metric.relation,
            }
            entry = said.get((component.name, metric.application_metric_id))
            found.append(entry or {key: value for key, value in empty.items() if value is not None})
    return found


def _phase(reports: Reports, components: Sequence[Mapping[str, Any]]) -> str:
    phases = {item["phase"] for item in components}
    if phases == {"Pending"}:
        return "Pending"
    if all(item["ready"] for item in components):
        return "Running"
    if "Failed" in phases:
        return "Degraded" if any(item["ready"] for item in components) else "Failed"
    return "Degraded" if reports.before.get("phase") in ("Running", "Degraded") else "Deploying"


def _made(reports: Reports, kind: str, status: bool | None, reason: str, message: str) -> dict[str, Any]:
    generation = reports.obj["metadata"].get("generation")
    return condition(reports.before, kind, status, reason, message, generation=generation, now=reports.now)


def _ready(reports: Reports, components: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    silent = sorted({str(item.get("cluster")) for item in components} & reports.silent.keys())
    if silent:
        message = "; ".join(f"cluster {name}: {reports.silent[name]}" for name in silent)
        return _made(reports, "Ready", None, "ClusterUnreachable", message)
    unready = [item for item in components if not item["ready"]]
    if not unready:
        return _made(reports, "Ready", True, "AllRunning", f"{len(components)} components run")
    message = "; ".join(
        f"{item['name']} is {item['phase']}" + (f" ({item['message']})" if item.get("message") else "")
        for item in unready
    )
    failed = any(item["phase"] == "Failed" for item in unready)
    return _made(reports, "Ready", False, "ComponentFailed" if failed else "NotRunning", message)


def _placed(reports: Reports, components: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if reports.unplaced:
        texts = dict.fromkeys(reports.unplaced.values())
        if len(texts) == 1:
            return _made(reports, "Placed", False, "NoFit", next(iter(texts)))
        return _made(
            reports, "Placed", False, "NoFit", "; ".join(f"{name}: {text}" for name, text in reports.unplaced.items())
        )
    said = [
        item
        for status in reports.statuses.values()
        for item in status.get("conditions") or ()
        if item.get("type") == "Placed"
    ]
    for reason in ("NoFit", "PlanFailed"):
        if messages := [str(item.get("message")) for item in said if item.get("reason") == reason]:
            return _made(reports, "Placed", False, reason, "; ".join(messages))
    waiting = [item["name"] for item in components if item["phase"] == "Pending"]
    if waiting:
        return _made(reports, "Placed", False, "Waiting", f"waiting: {', '.join(waiting)}")
    places = ", ".join(f"{item['name']} on {item.get('cluster')}/{item.get('node')}" for item in components)
    return _made(reports, "Placed", True, "Placed", places)


def _reachable(reports: Reports) -> list[dict[str, Any]]:
    """Return the condition ``Reachable``, of applications whose components talk and have clusters."""
    application = reports.application
    if application is None or not application.component_interactions or not reports.placed:
        return []
    return [_made(reports, "Reachable", *reachability(application, reports.placed, reports.statuses))]


def _targets_met(
    reports: Reports, performance: Sequence[Mapping[str, Any]], happy: Mapping[str, Any] | None
) -> dict[str, Any]:
    if not performance:
        return _made(reports, "TargetsMet", None, "NoTargets", "the description sets no targets")
    if happy is not None and happy.get("satisfied") is not None:
        text = f"satisfaction {happy['value']:g}, {happy.get('relation')} {happy.get('threshold'):g} wanted"
        reason = "Satisfied" if happy["satisfied"] else "NotSatisfied"
        return _made(reports, "TargetsMet", bool(happy["satisfied"]), reason, text)
    missed = [item["metric"] for item in performance if item.get("satisfied") is False]
    if missed:
        return _made(reports, "TargetsMet", False, "TargetsMissed", f"not met: {', '.join(missed)}")
    missing = [item["metric"] for item in performance if item.get("satisfied") is None]
    if missing:
        return _made(reports, "TargetsMet", None, "NoMetrics", f"no value yet: {', '.join(missing)}")
    return _made(reports, "TargetsMet", True, "TargetsMet", f"{len(performance)} targets are met")
