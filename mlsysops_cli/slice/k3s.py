"""What an inventory says of k3s and Karmada: versions, and where their released files come from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["K3sSettings"]


class K3sSettings(BaseModel):
    """Settings of the engine k3s that the whole slice shares.

    Attributes:
        k3s_version: Version of k3s (``mls_k3s_version``); the pinned one where empty.
        karmada_version: Version of Karmada (``mls_karmada_version``); the pinned one where empty.
        artifacts_dir: Directory on this machine that holds the released files (``mls_artifacts_dir``); hosts fetch them
            themselves where empty.
        mirror: Base URL below which the files lie as in that directory (``mls_artifacts_mirror``); the projects' own
            release hosts where empty.
        k3s_url: Base URL of k3s' releases (``mls_k3s_url``).
        karmada_url: Base URL of Karmada's releases (``mls_karmada_url``).
        https_proxy: Proxy for this machine's own downloads (``mls_https_proxy``).
        no_proxy: What is reached without a proxy, beside the slice itself (``mls_no_proxy``, comma-separated).
        join: Whether clusters pull from the continuum, or it pushes to them (``mls_karmada_join``).
        airgap_images: Whether hosts get k3s' images as an archive (``mls_airgap_images``): always with `artifacts_dir`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    k3s_version: str = ""
    karmada_version: str = ""
    artifacts_dir: str = ""
    mirror: str = ""
    k3s_url: str = "https://github.com/k3s-io/k3s/releases/download"
    karmada_url: str = "https://github.com/karmada-io/karmada/releases/download"
    https_proxy: str = ""
    no_proxy: str = ""
    join: Literal["pull", "push"] = "pull"
    airgap_images: bool = False
