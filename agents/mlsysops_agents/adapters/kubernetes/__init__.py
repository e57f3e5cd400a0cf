"""The Kubernetes API for agents: client, informers, heartbeat, Events and statuses, all over plain dicts."""

from __future__ import annotations

from .client import KubernetesClient, PatchType
from .errors import AlreadyExists, Expired, Throttled
from .informer import Backoff, Change, ChangeKind, Informer
from .resources import Resource

__all__ = [
    "AlreadyExists",
    "Backoff",
    "Change",
    "ChangeKind",
    "Expired",
    "Informer",
    "KubernetesClient",
    "PatchType",
    "Resource",
    "Throttled",
]
