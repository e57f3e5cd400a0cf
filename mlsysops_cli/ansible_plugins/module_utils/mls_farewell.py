"""Tells node agents that are pods that they are uninstalled, and reads what they answer (`mlsysops_agents.node.farewell`)."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["SELECTOR", "answer_of", "ask"]

Object = dict[str, Any]
_LABELS = {
    "app.kubernetes.io/name": "node-agent",
    "app.kubernetes.io/part-of": "mlsysops",
    "app.kubernetes.io/managed-by": "mls",
}
#: Finds the ConfigMaps that tell agents.
SELECTOR = ",".join(f"{key}={value}" for key, value in _LABELS.items())


def ask(api: Any, name: str, namespace: str) -> str:
    """Write the ConfigMap that tells them; return its uid, with which they answer.

    Args:
        api: The cluster's `mls_kubernetes.Api`.
        name: Name of the ConfigMap.
        namespace: Its namespace.

    Raises:
        ApiError: The API refused.
        ApiUnreachableError: It does not answer.
    """
    metadata = {"name": name, "namespace": namespace, "labels": _LABELS}
    request = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    _, _, made = api.apply(request, manager="mls", timeout=10.0)
    return str(made["metadata"]["uid"])


def answer_of(lease: Object, annotation: str) -> Object:
    """Return what an agent answered: ``request``, and ``fault`` where something could not be put back; empty where nothing.

    Args:
        lease: The agent's Lease.
        annotation: The one that holds the answer.
    """
    text = (lease["metadata"].get("annotations") or {}).get(annotation)
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
