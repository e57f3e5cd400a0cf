"""The Kubernetes API for agents: client, informers, heartbeat, Events and statuses, all over plain dicts."""

from __future__ import annotations

from .client import KubernetesClient, PatchType
from .errors import AlreadyExists, Expired, Throttled
from .events import EventRecorder
from .informer import Backoff, Change, ChangeKind, Informer
from .lease import Heartbeat, lease_name
from .objects import KubernetesObjects
from .resources import Resource
from .status import StatusWriter

__all__ = [
    "AlreadyExists",
    "Backoff",
    "Change",
    "ChangeKind",
    "EventRecorder",
    "Expired",
    "Heartbeat",
    "Informer",
    "KubernetesClient",
    "KubernetesObjects",
    "PatchType",
    "Resource",
    "StatusWriter",
    "Throttled",
    "lease_name",
]
