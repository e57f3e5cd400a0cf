"""Prepares what a container's program finds when it starts: volumes, environment, arguments, limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_embedded.kubelet.environment import ContainerConfigError, command_line, container_environment
from mlsysops_embedded.kubelet.identity import open_way
from mlsysops_embedded.kubelet.volumes import make_rootfs, make_volumes

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object
    from mlsysops_embedded.kubelet.container import Container
    from mlsysops_embedded.kubelet.identity import Identity
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
        identity: Who its container runs as; None is the kubelet's user.
    """

    directory: Path
    address: str
    shared: Shared
    identity: Identity | None = None


def _check_probes(spec: Object) -> None:
    """Refuse probes that could never succeed, rather than kill the container for them again and again."""
    for kind in _PROBES:
        if "grpc" in (spec.get(kind) or {}):
            raise ContainerConfigError(f"{kind}: grpc is not supported by this runtime; use httpGet, tcpSocket or exec")


def _hand_over(place: Place, rootfs: Path, cwd: Path, needed: list[Path]) -> None:
    """Give a container's own directories to its user, and let him get there."""
    identity = place.identity
    assert identity is not None  # noqa: S101 - the caller has looked
    for directory in {rootfs, cwd}:
        if directory.resolve().is_relative_to(rootfs.resolve()):  # mounts belong to others
            os.chown(directory, identity.user, identity.group)
    # Above it are the directory of all pods and the kubelet's own.
    open_way(identity, place.directory, 2, needed)


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
    argv = command_line(program, container.spec, environment)
    user = None
    if place.identity is not None:
        user = {"user": place.identity.user, "group": place.identity.group, "groups": list(place.identity.groups)}
        _hand_over(place, rootfs, cwd, [cwd, *(Path(word) for word in argv[:1] if word.startswith("/"))])
    return {
        "argv": argv,
        "user": user,
        "env": environment,
        "cwd": str(cwd),
        "log": str(container.log_path(container.attempt + 1)),
        "cgroups": limits.groups,
        "rlimits": limits.rlimits,
        "nice": limits.nice,
    }
