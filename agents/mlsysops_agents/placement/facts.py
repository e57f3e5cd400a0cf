"""What is known of a node: its description, what Kubernetes says of it, and what is in use on it.

The description is the source of truth for hardware; Kubernetes fills in what it leaves open, and where both state cores or
memory the smaller figure counts, because the kubelet admits no more. What neither states stays unknown (None), and an
unknown fact never satisfies a demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mlsysops_core.model import Node
from mlsysops_core.quantities import parse_bytes, parse_cpu

__all__ = ["NodeFacts", "Resources"]

_N = TypeVar("_N", int, float)

_GPU_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu")
#: Taints that keep new pods away (Kubernetes, "Taints and Tolerations").
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts in use: cores, bytes of memory, bytes of disk, GPUs."""

    cpu: float = 0.0
    memory: int = 0
    disk: int = 0
    gpu: float = 0.0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpu + other.cpu, self.memory + other.memory, self.disk + other.disk, self.gpu + other.gpu)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as filters and scores see it; None is unknown.

    Attributes:
        name: Name.
        description: Its description.
        ready: Whether Kubernetes says it is ready; False where it should have joined and has not.
        not_ready: Why it is not.
        unschedulable: Whether it is cordoned.
        taints: ``key=value:effect`` of taints that repel new pods.
        labels: Labels of the description and, as ``key=value``, of Kubernetes.
        architecture: Instruction set.
        os: Operating system.
        container_runtimes: Container runtimes.
        runtime_classes: Runtime classes it can run.
        cpu: Cores in all.
        memory: Bytes of memory in all.
        disk: Bytes of disk in all.
        gpus: GPUs in all; 0 where the hardware is described without any.
        used: What is in use.
        fingerprint: The parts of the description that filters look at, as text; worked out once for many placements.
    """

    name: str
    description: Node | None = None
    ready: bool | None = None
    not_ready: str = ""
    unschedulable: bool = False
    taints: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    architecture: str | None = None
    os: str | None = None
    container_runtimes: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] | None = None
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    gpus: float | None = None
    used: Resources = field(default_factory=Resources)
    fingerprint: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def using(self, used: Resources) -> NodeFacts:
        """Return the same node with other amounts in use."""
        return replace(self, used=used)

    @classmethod
    def gather(
        cls,
        name: str,
        *,
        description: Node | None = None,
        status: Mapping[str, Any] | None = None,
        kubernetes: Mapping[str, Any] | None = None,
        must_have_joined: bool = False,
        used: Resources | None = None,
    ) -> NodeFacts:
        """Put together what is known.

        Args:
            name: Name of the node.
            description: The MLSysOpsNode's description.
            status: The MLSysOpsNode's status (its measured ``capacity``).
            kubernetes: The Kubernetes Node.
            must_have_joined: Whether a node without a Kubernetes Node is not ready.
            used: What is in use on it.
        """
        node = kubernetes or {}
        spec, state = node.get("spec") or {}, node.get("status") or {}
        info = state.get("nodeInfo") or {}
        allocatable = state.get("allocatable") or {}
        measured = (status or {}).get("capacity") or {}
        hardware = description.hardware if description is not None else None
        processor = hardware.cpu if hardware is not None else None
        environment = description.environment if description is not None else None
        ready, why = _readiness(kubernetes, must_have_joined=must_have_joined)
        described_memory = parse_bytes(hardware.memory, default_unit="G") if hardware and hardware.memory else None
        described_disk = parse_bytes(hardware.disk, default_unit="G") if hardware and hardware.disk else None
        return cls(
            name=name,
            description=description,
            ready=ready,
            not_ready=why,
            unschedulable=bool(spec.get("unschedulable")),
            taints=tuple(
                f"{taint.get('key')}{'=' + str(taint['value']) if taint.get('value') else ''}:{taint.get('effect')}"
                for taint in spec.get("taints") or ()
                # Cordon and readiness have filters with names of their own.
                if taint.get("effect") in _REPELLING and not str(taint.get("key")).startswith("node.kubernetes.io/")
            ),
            labels=_labels(description, node),
            architecture=(processor.architecture if processor else None) or info.get("architecture"),
            os=(environment.os if environment else None) or _first_word(info.get("osImage")),
            container_runtimes=_runtimes(description, info),
            runtime_classes=_runtime_classes(state),
            cpu=_least(
                float(processor.cores) if processor and processor.cores else None,
                parse_cpu(allocatable["cpu"]) if "cpu" in allocatable else measured.get("cpu"),
            ),
            memory=_least(
                described_memory,
                parse_bytes(allocatable["memory"]) if "memory" in allocatable else measured.get("memory"),
            ),
            disk=described_disk
            if described_disk is not None
            else (parse_bytes(allocatable["ephemeral-storage"]) if "ephemeral-storage" in allocatable else None)
            or measured.get("disk"),
            gpus=_gpus(description, allocatable),
            used=used or Resources(),
            fingerprint=fingerprint_of(description),
        )


def fingerprint_of(description: Node | None) -> tuple[str, ...]:
    """Return as text what filters look at in a description besides what `NodeFacts` has itself."""
    if description is None:
        return ()
    hardware = description.hardware
    parts = (hardware.cpu, hardware.gpu, hardware.fpga, hardware.mcu, *description.sensors)
    return tuple("" if part is None else part.model_dump_json() for part in parts)


def _readiness(kubernetes: Mapping[str, Any] | None, *, must_have_joined: bool) -> tuple[bool | None, str]:
    if kubernetes is None:
        return (False, "has not joined the cluster") if must_have_joined else (None, "")
    if (kubernetes.get("metadata") or {}).get("deletionTimestamp"):
        return False, "is being removed"
    for condition in (kubernetes.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            if condition.get("status") == "True":
                return True, ""
            return False, f"not ready: {condition.get('message') or condition.get('reason') or 'no reason given'}"
    return False, "not ready: no kubelet has reported"


def _labels(description: Node | None, node: Mapping[str, Any]) -> frozenset[str]:
    described = description.labels if description is not None else []
    given = (node.get("metadata") or {}).get("labels") or {}
    return frozenset(described) | {f"{key}={value}" for key, value in given.items()}


def _runtimes(description: Node | None, info: Mapping[str, Any]) -> frozenset[str]:
    if description is not None and description.environment.container_runtime:
        return frozenset(map(str, description.environment.container_runtime))
    version = str(info.get("containerRuntimeVersion") or "")  # e.g. containerd://1.7.2
    return frozenset({version.partition("://")[0]}) if "://" in version else frozenset()


def _runtime_classes(state: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the handlers that the kubelet reports (``status.runtimeHandlers``, Kubernetes 1.30 and later)."""
    handlers = state.get("runtimeHandlers")
    if not isinstance(handlers, list):
        return None
    return frozenset(str(handler.get("name", "")) for handler in handlers) - {""}


def _gpus(description: Node | None, allocatable: Mapping[str, Any]) -> float | None:
    for resource in _GPU_RESOURCES:
        if resource in allocatable:
            return float(allocatable[resource])
    if description is None:
        return None
    gpu = description.hardware.gpu
    if gpu is None:
        return 0.0
    return float(gpu.instances) if gpu.instances is not None else 1.0


def _first_word(image: object) -> str | None:
    """Return the distribution of an ``osImage`` such as ``Ubuntu 22.04.4 LTS``."""
    words = str(image).split() if image else []
    return words[0].lower() if words else None


def _least(first: _N | None, second: _N | None) -> _N | None:
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None
