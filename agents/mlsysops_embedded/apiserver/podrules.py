"""Pods on their way in: defaults, admission, quality of service, what may change later.

Source: kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/pod/strategy.go`, and the admission plug-ins
DefaultTolerationSeconds, Priority and ServiceAccount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.reading import Reader

__all__ = ["complete_pod", "complete_status", "default_pod_spec", "keep_bound"]

Obj = dict[str, Any]
_DEFAULT_TOLERATIONS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_SECONDS: Final = 300
_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def _pull_policy(image: str) -> str:
    name = image.rsplit("/", 1)[-1]
    if "@" in name:
        return "IfNotPresent"
    return "Always" if name.endswith(":latest") or ":" not in name else "IfNotPresent"


def default_pod_spec(spec: Obj) -> None:
    """Defaults that depend on other fields, in place."""
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for volume in spec.get("volumes") or ():
        if len(volume) == 1:
            volume["emptyDir"] = {}


def _default_requests(spec: Obj) -> None:
    """Of pods alone, not of templates (`SetDefaults_Pod`)."""
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            resources = container.get("resources") or {}
            for name, value in (resources.get("limits") or {}).items():
                resources.setdefault("requests", {}).setdefault(name, value)


def complete_status(old: Obj, new: Obj) -> None:
    """What a written status holds besides: the quality of service that never changes, and the address as a list."""
    status = new.setdefault("status", {})
    if quality := (old.get("status") or {}).get("qosClass"):
        status.setdefault("qosClass", quality)
    for one, several in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        if status.get(one) and not status.get(several):
            status[several] = [{"ip": status[one]}]


def _quality(spec: Obj) -> str:
    resources = [
        c.get("resources") or {} for c in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    ]
    wanted = [(r.get("requests") or {}, r.get("limits") or {}) for r in resources]
    if not any(requests or limits for requests, limits in wanted):
        return "BestEffort"
    guaranteed = all(
        name in limits and requests.get(name, limits[name]) == limits[name]
        for requests, limits in wanted
        for name in ("cpu", "memory")
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _priority(pod: Obj, spec: Obj) -> None:
    """What the admission plug-in Priority does, where there are no classes but the two of the system."""
    name = spec.get("priorityClassName", "")
    refused = ""
    if name and name not in _PRIORITIES:
        refused = f"no PriorityClass with name {name} was found"
    elif spec.get("priority") not in (None, _PRIORITIES.get(name, 0)):
        refused = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {_PRIORITIES.get(name, 0)} from the given PriorityClass name"
        )
    if refused:
        raise ApiError.forbidden("pods", pod["metadata"].get("name", ""), refused)
    spec["priority"] = _PRIORITIES.get(name, 0)


def complete_pod(pod: Obj, reader: Reader | None) -> None:
    """Completes a new pod in place.

    Raises:
        ApiError: 403 where its ServiceAccount or its PriorityClass does not exist.
    """
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    _default_requests(spec)
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    elif reader is not None and spec["serviceAccountName"] != "default":
        metadata, name = pod["metadata"], spec["serviceAccountName"]
        if reader.read("serviceaccounts", metadata["namespace"], name) is None:
            why = f'error looking up service account {metadata["namespace"]}/{name}: serviceaccount "{name}" not found'
            raise ApiError.forbidden("pods", metadata.get("name", ""), why)
    spec.setdefault("enableServiceLinks", True)
    _priority(pod, spec)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in _DEFAULT_TOLERATIONS:
        if not any((t.get("key") in (key, None)) and t.get("effect") in ("NoExecute", None) for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def keep_bound(old: Obj, new: Obj) -> None:
    """What an update leaves out but cannot take away."""
    for name in (
        "nodeName",
        "serviceAccountName",
        "serviceAccount",
        "priority",
        "preemptionPolicy",
        "enableServiceLinks",
    ):
        if name in old["spec"]:
            new["spec"].setdefault(name, old["spec"][name])
    default_pod_spec(new["spec"])
    _default_requests(new["spec"])
