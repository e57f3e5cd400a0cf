"""Prepares what a container's program finds when it starts: volumes, environment, arguments, limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsysops_embedded.kubelet.environment import ContainerConfigError, command_line, container_environment
from mlsysops_embedded.kubelet.volumes import make_rootfs, make_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.resources import PodResources
    from mlsysops_embedded.kubelet.shared import Shared

__all__ = ["Place", "prepare"]

_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod lives.

    Attributes:
        directory: The pod's directory.
        address: Its podIP.
        shared: The kubelet's common parts.
    """

    directory: Path
    address: str
    shared: Shared


def _check_probes(spec: Object) -> None:
    """Refuse probes that could never succeed, rather than kill the container for them again and again."""
    for kind in _PROBES:
        if "grpc" in (spec.get(kind) or {}):
            raise ContainerConfigError(f"{kind}: grpc is not supported by this runtime; use httpGet, tcpSocket or exec")


def prepare(pod: Object, container: Container, program: list[str], place: Place, resources: PodResources) -> Object:
    """Make a container's directories and limits; what its shim needs to know.

    Besides what Kubernetes gives, a program finds ``EMBEDDED_ROOTFS`` (where its mounts are, see `volumes`) and
    ``EMBEDDED_POD_IP`` (the address to listen on: there are no network namespaces).

    Raises:
        ContainerConfigError: It refers to something that does not exist, or asks for what this runtime has not.
        OSError: A directory cannot be made.
    """
    _check_probes(container.spec)
    shared = place.shared
    pod = {**pod, "status": {"podIP": place.address, "hostIP": shared.address}}
    volumes = place.directory / "volumes"
    rootfs = place.directory / "rootfs" / container.name
    make_volumes(pod, volumes, resources.binary, resources.tokens)
    make_rootfs(container.spec, rootfs, volumes)
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(rootfs),
        "HOSTNAME": pod["metadata"]["name"],
        "EMBEDDED_ROOTFS": str(rootfs),
        "EMBEDDED_POD_IP": place.address,
        **resources.services,
    }
    environment = container_environment(pod, container.spec, base, resources.text, shared.allocatable)
    limits = shared.cgroups.create(pod["metadata"]["uid"], container.name, container.spec.get("resources"))
    container.enforced_by = limits.enforced_by
    cwd = rootfs / str(container.spec.get("workingDir") or "").lstrip("/")
    cwd.mkdir(parents=True, exist_ok=True)
    return {
        "argv": command_line(program, container.spec, environment),
        "env": environment,
        "cwd": str(cwd),
        "log": str(container.log_path(container.attempt + 1)),
        "cgroups": limits.groups,
        "rlimits": limits.rlimits,
        "nice": limits.nice,
    }
