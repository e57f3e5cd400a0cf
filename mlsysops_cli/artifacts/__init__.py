"""Released files of k3s and Karmada: which a slice needs, where they come from, and what they must be."""

from __future__ import annotations

from mlsysops_cli.artifacts.catalog import (
    ARCHITECTURES,
    Artifact,
    architecture_of,
    archive_architecture,
    host_artifacts,
    pinned_versions,
)
from mlsysops_cli.artifacts.manifest import MANIFEST, Manifest

__all__ = [
    "ARCHITECTURES",
    "MANIFEST",
    "Artifact",
    "Manifest",
    "architecture_of",
    "archive_architecture",
    "host_artifacts",
    "pinned_versions",
]
