"""What clusters had before the first deployment that bears a name of ours: definitions of our kinds, and our namespaces.

They stay their owners': no removal deletes them, and their namespaces get back the labels they had.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlsysops_core.model import GROUP, KINDS

from mlsysops_cli.files import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api

__all__ = ["NAMESPACES", "give_back", "had_before", "remember", "shared_paths"]

#: Labels that deployments give to namespaces.
_LABELS = (
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
    "namespace.karmada.io/skip-auto-propagation",
    "pod-security.kubernetes.io/enforce",
)
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = "/api/v1/namespaces"

#: Labels of what was there, by its path.
Before = dict[str, dict[str, str]]


def shared_paths(namespaces: tuple[str, ...]) -> list[str]:
    """Return the paths of what others may have, too: definitions of our kinds, then namespaces."""
    definitions = [f"{_DEFINITIONS}/{kind.plural}.{GROUP}" for kind in KINDS.values()]
    return definitions + [f"{NAMESPACES}/{name}" for name in namespaces]


def remember(directory: Path, before: Mapping[str, Before]) -> None:
    """Write down what each API had, before the first deployment of a slice; later ones change nothing of it.

    Args:
        directory: State of the slice.
        before: What was found, by the kubeconfig with which the API is reached.
    """
    path = directory / "before.json"
    if not path.exists() and not (directory / "applied.json").exists():
        write_private(path, json.dumps(before, indent=1, sort_keys=True) + "\n")


def had_before(directory: Path) -> dict[str, Before]:
    """Return what was written down; nothing where nothing was."""
    path = directory / "before.json"
    found: dict[str, Before] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def give_back(api: Api, before: Before) -> bool:
    """Give namespaces that were there before the first deployment the labels they had; return whether any had others.

    Raises:
        ApiError: The API refuses.
        ApiUnreachableError: It does not answer.
    """
    changed = False
    for path, labels in before.items():
        found = api.get(path) if path.startswith(NAMESPACES) else None
        now: dict[str, str] = (found or {}).get("metadata", {}).get("labels") or {}
        back: dict[str, Any] = {key: labels.get(key) for key in _LABELS if now.get(key) != labels.get(key)}
        if found is not None and back:
            patch = {"metadata": {"labels": back}}
            api.request("PATCH", path, body=patch, content_type="application/merge-patch+json")
            changed = True
    return changed
