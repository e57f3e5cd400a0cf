"""A pod's status worked out from its containers: phase and conditions. Pure functions.

Source: Kubernetes ``pkg/kubelet/kubelet_pods.go`` (getPhase) and ``pkg/kubelet/status/generate.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import condition, set_condition
from mlsysops_embedded.validation.amounts import quality_of_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.resizing import Mark

__all__ = ["SIMULATED", "conditions", "initialized", "phase", "pod_status"]

SIMULATED = "embedded.kubernetes.local/Simulated"
#: Conditions that the kubelet works out anew each time.
_OWN = frozenset(("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", SIMULATED))


def initialized(containers: Iterable[Container]) -> bool:
    """Whether every init container has done its work (sidecars: has started)."""
    return all(
        c.started if c.sidecar else (c.last is not None and not c.running and c.last.exit_code == 0)
        for c in containers
        if c.init
    )


def phase(restart_policy: str, containers: Sequence[Container], *, terminated: bool) -> str:
    """The pod's phase.

    Args:
        restart_policy: Of the pod.
        containers: All of them.
        terminated: The pod was stopped for good, so that ended containers will not come back.
    """
    inits = [c for c in containers if c.init and not c.sidecar]
    mains = [c for c in containers if not c.init]
    if not terminated and any(
        c.last is not None and not c.running and c.last.exit_code != 0 and restart_policy == "Never" for c in inits
    ):
        return "Failed"
    if not terminated and not initialized(containers):
        return "Pending"
    if any(c.running for c in mains):
        return "Running"
    ended = [c.last for c in mains if c.last is not None]
    if len(ended) < len(mains):
        if terminated:
            return "Failed"
        return "Running" if ended else "Pending"
    success = all(end.exit_code == 0 for end in ended)
    if terminated:
        return "Succeeded" if success else "Failed"
    if restart_policy == "Always":
        return "Running"
    if success:
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def conditions(
    known: Iterable[Object] | None,
    containers: Sequence[Container],
    pod_phase: str,
    *,
    simulated: Sequence[str],
    generation: int | None = None,
) -> list[Object]:
    """The pod's conditions as of a generation of it, those of others kept."""
    result = [dict(c) for c in known or ()]
    names = [c.name for c in containers if not c.init]
    unready = [c.name for c in containers if not c.init and not c.ready]
    if condition(result, "PodScheduled") is None or not _is(result, "PodScheduled", "True"):
        result = set_condition(result, "PodScheduled", "True")
    result = set_condition(result, "PodReadyToStartContainers", "True")
    done = initialized(containers)
    if done:
        reason = "PodCompleted" if pod_phase == "Succeeded" else ""
        result = set_condition(result, "Initialized", "True", reason)
    else:
        waiting = [c.name for c in containers if c.init and not initialized([c])]
        text = f"containers with incomplete status: [{' '.join(waiting)}]"
        result = set_condition(result, "Initialized", "False", "ContainersNotInitialized", text)
    for kind in ("ContainersReady", "Ready"):
        if pod_phase == "Succeeded":
            result = set_condition(result, kind, "False", "PodCompleted")
        elif pod_phase == "Failed":
            result = set_condition(result, kind, "False", "PodFailed")
        elif unready or not names or not done:
            text = f"containers with unready status: [{' '.join(unready)}]"
            result = set_condition(result, kind, "False", "ContainersNotReady", text)
        else:
            result = set_condition(result, kind, "True")
    if simulated:
        text = f"No program stands behind {', '.join(simulated)}: running in name only"
        result = set_condition(result, SIMULATED, "True", "NoLocalProgram", text)
    if generation:
        result = [{**c, "observedGeneration": generation} if c["type"] in _OWN else c for c in result]
    return result


def _of_resize(known: list[Object], resize: Mapping[str, Mark | None]) -> list[Object]:
    """Conditions with those of a resize put in or taken out."""
    for kind in ("PodResizePending", "PodResizeInProgress"):
        mark, present = resize.get(kind), condition(known, kind)
        if present is not None and (mark is None or present.get("reason", "") != mark.reason):
            known = [c for c in known if c is not present]
        if mark is not None:
            more = {"observedGeneration": mark.generation} if mark.generation else {}
            known = set_condition(known, kind, "True", mark.reason, mark.message, **more)
    return known


def _is(known: Iterable[Object], kind: str, status: str) -> bool:
    found = condition(known, kind)
    return bool(found and found.get("status") == status)


def pod_status(
    pod: Object,
    containers: Sequence[Container],
    *,
    addresses: tuple[str, str],
    started: str,
    terminated: bool,
    simulated: Sequence[str],
    resize: Mapping[str, Mark | None],
) -> Object:
    """The part of a pod's status that its kubelet writes.

    Args:
        pod: The pod as the API has it.
        containers: Its containers.
        addresses: hostIP and podIP.
        started: When this kubelet took it on, where the API does not know.
        terminated: It was stopped for good.
        simulated: Names of containers without a program.
        resize: Conditions of a resize, by type.
    """
    known, (host, own) = pod.get("status") or {}, addresses
    uid, generation = pod["metadata"]["uid"], pod["metadata"].get("generation")
    policy = pod["spec"].get("restartPolicy") or "Always"
    final = known.get("phase") if known.get("phase") in ("Succeeded", "Failed") else None
    pod_phase = final or phase(policy, containers, terminated=terminated)
    result: Object = {
        "phase": pod_phase,
        "conditions": _of_resize(
            conditions(known.get("conditions"), containers, pod_phase, simulated=simulated, generation=generation),
            resize if final is None and not terminated else {},
        ),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": own,
        "podIPs": [{"ip": own}],
        "startTime": known.get("startTime") or started,
        "qosClass": known.get("qosClass") or quality_of_service(pod["spec"]),
    }
    if generation:
        result["observedGeneration"] = generation
    for field, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        listed = []
        for container in containers:
            if container.init is init:
                runtime = "simulated" if container.name in simulated else "process"
                image = f"{runtime}://{container.spec.get('image', '')}"
                listed.append(container.status(image, f"{runtime}://{uid}/{container.name}"))
        if listed:
            result[field] = listed
    return result
