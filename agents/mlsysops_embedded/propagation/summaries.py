"""The status of a workload's template, summed up from what clusters report of it. Pure functions.

A control plane that propagates runs no workloads, so nobody else writes that status, and ``kubectl rollout status`` waits on
it. Source: Karmada's default resource interpreter (``pkg/resourceinterpreter/default/native``, reflection and aggregation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.propagation import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_embedded.client import Object

__all__ = ["reflected_status", "template_status"]

#: What is added up, by apiVersion and kind.
_COUNTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "Deployment"): (
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ),
    ("apps/v1", "ReplicaSet"): ("replicas", "readyReplicas", "availableReplicas"),
    ("apps/v1", "DaemonSet"): (
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "updatedNumberScheduled",
        "numberReady",
        "numberAvailable",
        "numberUnavailable",
        "numberMisscheduled",
    ),
}
_POD = ("v1", "Pod")
#: Phases of pods, the one that decides first.
_PHASES = ("Failed", "Pending", "Running", "Succeeded")
_CONTAINER = ("name", "image", "imageID", "ready", "restartCount", "state")


def reflected_status(live: Object) -> Object | None:
    """What a member reports of an object: its status and, of workloads, which generations it tells of.

    Args:
        live: The object in the member.
    """
    status = live.get("status")
    if not status or (live.get("apiVersion"), live.get("kind")) not in _COUNTS:
        return status or None
    metadata = live["metadata"]
    mark = (metadata.get("annotations") or {}).get(names.TEMPLATE_GENERATION, "")
    return {
        **status,
        "generation": metadata.get("generation", 0),
        "resourceTemplateGeneration": int(mark) if mark.isdecimal() else 0,
    }


def template_status(template: Object, items: Sequence[Object]) -> Object | None:
    """The part of a template's status that follows from its clusters'; None for kinds that have no such sum.

    Args:
        template: With apiVersion and kind.
        items: ``aggregatedStatus`` of its binding.
    """
    kind = (template["apiVersion"], template["kind"])
    if kind == _POD:
        return _pod(items)
    if kind not in _COUNTS:
        return None
    reports = [item.get("status") or {} for item in items]
    result: Object = {field: sum(int(report.get(field) or 0) for report in reports) for field in _COUNTS[kind]}
    generation = template["metadata"].get("generation", 0)
    # Only then do the numbers speak of the template as it is now.
    if all(_is_current(report, generation) for report in reports):
        result["observedGeneration"] = generation
    return result


def _is_current(report: Object, generation: int) -> bool:
    seen, own, template = (
        int(report.get(field) or 0) for field in ("observedGeneration", "generation", "resourceTemplateGeneration")
    )
    return bool(report) and seen >= own and template >= generation


def _pod(items: Sequence[Object]) -> Object | None:
    if not items:
        return None
    reports = [item.get("status") or {"phase": "Pending"} for item in items]
    phases = {report.get("phase") for report in reports}
    result: Object = {"phase": next((phase for phase in _PHASES if phase in phases), "Pending")}
    for field in ("initContainerStatuses", "containerStatuses"):
        if found := [c for report in reports for c in report.get(field) or ()]:
            result[field] = [{key: c[key] for key in _CONTAINER if key in c} for c in found]
    return result
