"""What pods ask for: the sum of their requests and their quality of service, as API server, scheduler and kubelet see them alike.

Source: Kubernetes ``component-helpers/resource/helpers.go`` (AggregateContainerRequests, determineEffectiveRequests) and
``pkg/apis/core/helper/qos``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_embedded.validation.quantities import parse_quantity

__all__ = ["held_requests", "pod_requests", "quality_of_service"]

Obj = Mapping[str, Any]
Amounts = dict[str, float]
_COMPUTE = ("cpu", "memory")


def pod_requests(spec: Obj) -> Amounts:
    """Resources a pod's spec asks for: the sum of its containers, or its largest init container where that is more, plus overhead."""
    return _sum(spec, _requests)


def held_requests(pod: Obj) -> Amounts:
    """Resources that a pod has on its node: while it is resized, the most of what it asks for, was promised and has.

    What a node refuses for good counts for nothing.
    """
    status = pod.get("status") or {}
    statuses = {
        item["name"]: item
        for field in ("containerStatuses", "initContainerStatuses")
        for item in status.get(field) or ()
        if item.get("resources") is not None
    }
    if not statuses:
        return pod_requests(pod["spec"])
    infeasible = any(
        c.get("type") == "PodResizePending" and c.get("reason") == "Infeasible" for c in status.get("conditions") or ()
    )

    def held(container: Obj) -> Amounts:
        wanted = _requests(container)
        found = statuses.get(container["name"])
        if found is None:
            return wanted
        present = _largest(_numbers(found["resources"].get("requests")), _numbers(found.get("allocatedResources")))
        return present if infeasible else _largest(wanted, present)

    return _sum(pod["spec"], held)


def quality_of_service(spec: Obj) -> str:
    """``Guaranteed`` where every container's limits of CPU and memory are its requests, ``BestEffort`` where none has any."""
    guaranteed, anything = True, False
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        limits, requests = _numbers(resources.get("limits")), _numbers(resources.get("requests"))
        for name in _COMPUTE:
            limit = limits.get(name, 0.0)
            request = requests.get(name, limit)
            anything = anything or request > 0 or limit > 0
            guaranteed = guaranteed and limit > 0 and request == limit
    return "Guaranteed" if guaranteed else "Burstable" if anything else "BestEffort"


def _sum(spec: Obj, amounts: Callable[[Obj], Amounts]) -> Amounts:
    total: Amounts = {}
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, amounts(container))
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(sidecars, amounts(container))
            wanted = dict(sidecars)
        else:
            wanted = _requests(container)
            _add(wanted, sidecars)
        peak = _largest(peak, wanted)
    _add(total, sidecars)
    result = _largest(total, peak)
    _add(result, _numbers(spec.get("overhead")))
    return result


def _requests(container: Obj) -> Amounts:
    resources = container.get("resources") or {}
    return _numbers({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _numbers(quantities: Obj | None) -> Amounts:
    return {name: parse_quantity(value) for name, value in (quantities or {}).items()}


def _largest(left: Amounts, right: Amounts) -> Amounts:
    return {name: max(left.get(name, 0.0), right.get(name, 0.0)) for name in left.keys() | right.keys()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0.0) + amount
