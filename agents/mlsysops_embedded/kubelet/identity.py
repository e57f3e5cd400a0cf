"""Whose rights a container's program has: ``runAsUser``, ``runAsGroup``, ``runAsNonRoot`` and groups of its security context.

Only root may start a program as somebody else; a kubelet without those rights starts all as itself. Sources: Kubernetes API
reference, PodSecurityContext and SecurityContext; ``pkg/kubelet/kuberuntime/security_context.go`` for what is refused.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.kubelet.environment import ContainerConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_embedded.client import Object

__all__ = ["Identity", "identity_of", "open_way"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody other than the kubelet.

    Attributes:
        user: User id.
        group: Primary group id.
        groups: Supplementary group ids.
    """

    user: int
    group: int
    groups: tuple[int, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """For `asyncio.create_subprocess_exec`."""
        return {"user": self.user, "group": self.group, "extra_groups": list(self.groups)}

    def may_enter(self, directory: Path) -> bool:
        """Whether the modes of a directory let this user pass through it."""
        found = directory.stat()
        if self.user in (0, found.st_uid):
            return self.user == 0 or bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid in (self.group, *self.groups):
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def identity_of(pod: Object, container: Object, kubelet: int) -> Identity | None:
    """Who runs a container; None where that is the kubelet's own user.

    Args:
        pod: The pod.
        container: One of its containers, whose own settings come first.
        kubelet: User id of the kubelet.

    Raises:
        ContainerConfigError: It must not run as root, and would.
    """
    common = pod["spec"].get("securityContext") or {}
    settings = {**common, **(container.get("securityContext") or {})}
    user, group = settings.get("runAsUser"), settings.get("runAsGroup")
    if settings.get("runAsNonRoot"):
        what = f'(pod: "{pod["metadata"]["name"]}", container: {container["name"]})'
        if user == 0:
            raise ContainerConfigError(f"container's runAsUser breaks non-root policy {what}")
        if user is None and kubelet == 0:
            raise ContainerConfigError(f"container has runAsNonRoot and would run as root; set runAsUser {what}")
    groups = list(common.get("supplementalGroups") or ())
    if common.get("fsGroup") is not None:
        groups.append(common["fsGroup"])
    if kubelet != 0 or (not user and not group and not groups):
        return None
    # Without a group of its own, a program has root's, as with a container runtime.
    return Identity(int(user or 0), int(group or 0), tuple(sorted({int(number) for number in groups})))


def open_way(identity: Identity, pod_directory: Path, depth: int, needed: Iterable[Path]) -> None:
    """Let somebody pass to a pod's directories, and make sure that he gets there.

    The kubelet's directories may be passed through, not listed: a pod's name there, its uid, is what others would have to know.

    Args:
        identity: Who.
        pod_directory: The pod's directory.
        depth: How many directories above it are the kubelet's, too.
        needed: Files and directories that the program begins with, absolute.

    Raises:
        ContainerConfigError: A directory on the way to one of them is closed to him.
        OSError: A mode cannot be changed.
    """
    for directory in (pod_directory, *list(pod_directory.parents)[:depth]):
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode | 0o011 != mode:
            directory.chmod(mode | 0o011)
    for path in needed:
        for directory in Path(os.path.realpath(path)).parents:
            if not identity.may_enter(directory):
                raise ContainerConfigError(
                    f"user {identity.user} cannot reach {path}: {directory} is closed to others; open it, "
                    "or set `ignore_user` for the image in the runtime configuration"
                )
