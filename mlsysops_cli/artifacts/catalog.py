"""Which released files a host needs. Versions and checksums are those of the role ``artifacts``, nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.assets import asset

if TYPE_CHECKING:
    from mlsysops_cli.slice.k3s import K3sSettings

__all__ = [
    "ARCHITECTURES",
    "Artifact",
    "architecture_of",
    "archive_architecture",
    "host_artifacts",
    "pinned_versions",
]

ARCHITECTURES = ("amd64", "arm64", "armhf")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "armhf", "armv8l": "armhf"}
#: How k3s names its files (https://docs.k3s.io/installation/airgap): the program, its images, the sums of both.
_K3S = {
    "amd64": ("k3s", "k3s-airgap-images-amd64.tar.zst", "sha256sum-amd64.txt"),
    "arm64": ("k3s-arm64", "k3s-airgap-images-arm64.tar.zst", "sha256sum-arm64.txt"),
    "armhf": ("k3s-armhf", "k3s-airgap-images-arm.tar.zst", "sha256sum-arm.txt"),
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One released file.

    Attributes:
        name: Path below the artifacts directory or a mirror, e.g. ``k3s/v1.36.4+k3s1/k3s``.
        what: What it is for: ``k3s``, ``k3s-images``, ``karmadactl`` or ``karmada-crds``.
        url: Where it is released.
        sha256: Its checksum; empty where this version does not know it.
        sums_url: The list of checksums released with it; empty where there is none.
    """

    name: str
    what: str
    url: str
    sha256: str = ""
    sums_url: str = ""


@cache
def _pins() -> tuple[dict[str, str], dict[str, str]]:
    defaults: dict[str, Any] = yaml.safe_load(
        asset("roles", "artifacts", "defaults", "main.yml").read_text(encoding="utf-8")
    )
    return defaults["artifacts_versions"], defaults["artifacts_checksums"]


def pinned_versions(settings: K3sSettings) -> tuple[str, str]:
    """Return the versions of k3s and of Karmada: those of the inventory, else the pinned ones."""
    versions = _pins()[0]
    return settings.k3s_version or versions["k3s"], settings.karmada_version or versions["karmada"]


def architecture_of(machine: str) -> str:
    """Return the architecture of what ``uname -m`` says; empty where nothing is released for it."""
    return _MACHINES.get(machine, "")


def archive_architecture(file: str) -> str:
    """Return the architecture that the name of an archive of images ends with (``agents-1.0-arm64.tar.zst``); empty where none.

    Images of several architectures have one name, so a host that imports more than its own may run the wrong one.
    """
    stem = file.rpartition(".tar")[0]
    names = _MACHINES | {name: name for name in ARCHITECTURES} | {"arm": "armhf"}
    return next((one for name, one in names.items() if stem.endswith((f"-{name}", f"_{name}"))), "")


def host_artifacts(settings: K3sSettings, architecture: str, role: str, *, images: bool) -> list[Artifact]:
    """Return what one host needs.

    Args:
        settings: Versions and sources.
        architecture: One of `ARCHITECTURES`.
        role: ``management``, ``server`` or ``worker``.
        images: It gets k3s' images as an archive.

    Raises:
        InvalidInput: Karmada is not released for the architecture.
    """
    k3s, karmada = pinned_versions(settings)
    program, archive, sums = _K3S[architecture]
    wanted = [_artifact(settings, "k3s", k3s, program, "k3s", sums)]
    if images:
        wanted.append(_artifact(settings, "k3s", k3s, archive, "k3s-images", sums))
    if role == "worker":
        return wanted
    if architecture == "armhf":
        raise InvalidInput(
            "Karmada is not released for armhf", hint="use amd64 or arm64 for management host and servers"
        )
    # A cluster's server joins the continuum with the program that installs it.
    tool = f"karmadactl-linux-{architecture}.tgz"
    wanted.append(_artifact(settings, "karmada", karmada, tool, "karmadactl", f"{tool}.sha256"))
    if role == "management":
        wanted.append(_artifact(settings, "karmada", karmada, "crds.tar.gz", "karmada-crds", ""))
    return wanted


def _artifact(settings: K3sSettings, project: str, version: str, file: str, what: str, sums: str) -> Artifact:
    own = settings.k3s_url if project == "k3s" else settings.karmada_url
    base = f"{settings.mirror}/{project}" if settings.mirror else own
    place = f"{base}/{version.replace('+', '%2B')}"
    name = f"{project}/{version}/{file}"
    return Artifact(name, what, f"{place}/{file}", _pins()[1].get(name, ""), f"{place}/{sums}" if sums else "")
