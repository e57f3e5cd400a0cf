"""The kubelet's configuration file and the runtime configuration beside it."""

from __future__ import annotations

import fnmatch
import ipaddress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["Image", "KubeletConfig", "RuntimeConfig"]

Model = TypeVar("Model", bound=BaseModel)


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Strict):
    """One image that is a local program."""

    image: str = Field(description="Shell pattern (fnmatch) of the image's name.")
    exec: list[str] = Field(min_length=1, description="Program; a container's command and args follow it.")
    ignore_user: bool = Field(
        default=False, description="Run it as the kubelet's user whatever runAsUser, runAsGroup and runAsNonRoot say."
    )


class RuntimeConfig(_Strict):
    """Which images are local programs; all others are simulated."""

    images: list[Image] = []

    def entry(self, image: str) -> Image | None:
        """The first entry whose pattern an image matches."""
        return next((entry for entry in self.images if fnmatch.fnmatchcase(image, entry.image)), None)

    def program(self, image: str) -> list[str] | None:
        """The program of the first pattern that an image matches."""
        return entry.exec if (entry := self.entry(image)) else None


class Listen(_Strict):
    """Where the kubelet serves."""

    port: int = Field(default=10250, ge=0, le=65535)


class KubeletConfig(_Strict):
    """The kubelet's configuration; times in seconds."""

    node: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    kubeconfig: AbsolutePath
    data_dir: AbsolutePath
    address: ipaddress.IPv4Address
    pod_cidr: ipaddress.IPv4Network | None = None
    listen: Listen = Listen()
    pki_dir: AbsolutePath
    labels: dict[str, str] = {}
    taints: list[dict[str, Any]] = []
    max_pods: int = Field(default=110, ge=1)
    runtime_config: AbsolutePath | None = None
    lease_duration: float = Field(default=40, gt=0)
    lease_renew: float = Field(default=10, gt=0)
    status_interval: float = Field(default=60, gt=0)
    refresh_interval: float = Field(default=60, gt=0, description="Between looks at mounted ConfigMaps and Secrets.")
    proxy: bool = True
    simulated_nodes: int = Field(default=0, ge=0, description="Further nodes that run nothing, for tests of scale.")
