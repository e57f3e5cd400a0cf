"""Pods on their way in: defaults, admission, quality of service, what may change later.

Source: kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/registry/core/pod/strategy.go`, and the admission plug-ins
DefaultTolerationSeconds, Priority and ServiceAccount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.validation.amounts import pod_requests, quality_of_service
from mlsysops_embedded.validation.quantities import parse_quantity

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.reading import Reader

__all__ = [
    "admit_resize",
    "complete_pod",
    "complete_status",
    "default_pod_spec",
    "keep_all_but_resources",
    "keep_bound",
]

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
        ApiError: 403 where its ServiceAccount or its PriorityClass does not exist, or it has overhead: no runtime class has.
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
    if spec.get("overhead"):
        why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        raise ApiError.forbidden("pods", pod["metadata"].get("name", ""), why)
    spec.setdefault("enableServiceLinks", True)
    _priority(pod, spec)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in _DEFAULT_TOLERATIONS:
        if not any((t.get("key") in (key, None)) and t.get("effect") in ("NoExecute", None) for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )
    pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}


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


def keep_all_but_resources(old: Obj, new: Obj) -> None:
    """What a resize changes: resources of containers, and of these no more than validation then lets pass.

    Source: `pkg/registry/core/pod/strategy.go`, `dropNonResizeUpdates`. Containers that came, went or changed places stay
    in the new pod, for validation to tell.
    """
    wanted, kept = new["spec"], meta.clone(old["spec"])
    for name in ("labels", "annotations", "finalizers", "ownerReferences"):
        new["metadata"].pop(name, None)
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]
    for group in ("containers", "initContainers"):
        given, before = wanted.get(group) or [], kept.get(group) or []
        if [c.get("name") for c in given] != [c["name"] for c in before]:
            kept[group] = given
            continue
        for container, present in zip(given, before, strict=True):
            for name in ("resources", "resizePolicy"):
                present.pop(name, None)
                if name in container:
                    present[name] = container[name]
    new["spec"] = kept
    _default_requests(kept)


def admit_resize(old: Obj, new: Obj, reader: Reader) -> None:
    """What the admission plug-in PodResizeValidator does: no pod may ask for more than its node has in all.

    Raises:
        ApiError: 403.
    """
    name, node_name = new["metadata"]["name"], new["spec"].get("nodeName")
    if not node_name or new["spec"] == old["spec"]:
        return
    node = reader.read("nodes", "", node_name)
    if node is None:
        raise ApiError.forbidden("pods", name, f'node "{node_name}" not found')
    system = (node["metadata"].get("labels") or {}).get("kubernetes.io/os", "linux")
    if system != "linux":
        why = f'pod resize is only supported on linux nodes, node "{node_name}" is "{system}"'
        raise _refused_resize(name, why, "UnsupportedPlatform")
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    requests = pod_requests(new["spec"])
    short = [
        f"{resource}, requested: {round(requests[resource] * scale)}, allocatable: {round(has * scale)}"
        for resource, scale in (("cpu", 1000), ("memory", 1))
        if requests.get(resource, 0.0) > (has := parse_quantity(allocatable.get(resource, 0)))
    ]
    if short:
        why = f"node didn't have enough allocatable resources: {'; '.join(short)}"
        raise _refused_resize(name, why, "NodeCapacity")


def _refused_resize(name: str, why: str, cause: str) -> ApiError:
    error = ApiError.forbidden("pods", name, why)
    error.status["details"]["causes"] = [{"reason": cause}]
    return error
