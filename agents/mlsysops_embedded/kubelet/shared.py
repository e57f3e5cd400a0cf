"""What all pod workers of a kubelet share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlsysops_embedded.client import Client, EventRecorder, WorkQueue
    from mlsysops_embedded.kubelet.cgroups import Cgroups
    from mlsysops_embedded.kubelet.config import RuntimeConfig

__all__ = ["Shared"]


@dataclass(slots=True)
class Shared:
    """The kubelet's common parts.

    Attributes:
        client: API of the cluster.
        events: Recorder.
        runtime: Which images are programs.
        cgroups: Resource limits.
        statuses: Pods whose status is to be written.
        address: hostIP.
        allocatable: Of the node.
        refresh_interval: Seconds between looks at mounted ConfigMaps and Secrets.
        promised: What the node has promised to its pods but the one with that uid, by resource in base units.
        on_room: To be called when a pod needs less than before.
    """

    client: Client
    events: EventRecorder
    runtime: RuntimeConfig
    cgroups: Cgroups
    statuses: WorkQueue[tuple[str, str]]
    address: str
    allocatable: dict[str, Any] = field(default_factory=dict)
    refresh_interval: float = 60.0
    promised: Callable[[str], Mapping[str, float]] = lambda uid: {}
    on_room: Callable[[], None] = lambda: None
