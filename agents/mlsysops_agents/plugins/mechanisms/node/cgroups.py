"""Finding the control groups of a container, version 1 and 2, as kubelets and the embedded engine lay them out.

Layouts: kubelet ``pkg/kubelet/cm`` with the drivers systemd (``kubepods.slice/kubepods-burstable.slice/
kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope``) and cgroupfs (``kubepods/burstable/pod<uid>/<id>``); the embedded
engine's ``embedded/pod<uid>/<container>``. Version 1 has one tree a controller (Linux ``Documentation/admin-guide/cgroup-v1``),
version 2 one for all (``cgroup-v2.rst``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsysops_core.contracts import Object
from mlsysops_core.errors import NotFound

from .knob import read_text

__all__ = ["CGROUP", "ControlGroups", "Group"]

CGROUP = "/sys/fs/cgroup"
_WATCHER = "conmon"
#: Files that a controller puts into a group; they tell whether it is at work there.
_MARKS = {
    1: {
        "cpuset": "cpuset.cpus",
        "cpu": "cpu.shares",
        "memory": "memory.limit_in_bytes",
        "blkio": "blkio.throttle.read_bps_device",
    },
    2: {"cpuset": "cpuset.cpus", "cpu": "cpu.max", "memory": "memory.max", "blkio": "io.max"},
}


@dataclass(frozen=True, slots=True)
class Group:
    """One control group of one controller.

    Attributes:
        root: Where the host's root directory is.
        path: Path on the host.
        version: 1 or 2.
    """

    root: Path
    path: str
    version: int

    def key(self, file: str) -> str:
        """Return the path of one of its files on the host."""
        return f"{self.path}/{file}"

    def text(self, file: str) -> str | None:
        """Return what a file says; None where there is none."""
        return read_text(self.root / self.key(file).lstrip("/"))

    def number(self, file: str) -> int | None:
        """Return the number that a file says; None where it says none (``max``, say)."""
        text = self.text(file)
        return int(text) if text is not None and text.removeprefix("-").isdecimal() else None

    @property
    def parent(self) -> Group:
        """The group above."""
        return Group(self.root, self.path.rpartition("/")[0], self.version)


class ControlGroups:
    """The control groups of a host.

    Args:
        root: Where the host's root directory is.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._base = root / CGROUP.lstrip("/")

    @property
    def version(self) -> int:
        """2 where one tree has all controllers; 1 else (also for the hybrid layout, whose second tree has none); 0 without any."""
        if (self._base / "cgroup.controllers").exists():
            return 2
        return 1 if any((self._base / name).is_dir() for name in _MARKS[1]) else 0

    def has(self, controller: str) -> bool:
        """Say whether the host has a controller."""
        if self.version == 2:
            return self._name(controller) in (read_text(self._base / "cgroup.controllers") or "").split()
        return self.version == 1 and (self._base / controller).is_dir()

    def find(self, pod: Object, container: Any, controller: str) -> Group:
        """Find the group in which a controller holds a container.

        Args:
            pod: The pod.
            container: Its entry of the pod's ``containerStatuses``.
            controller: ``cpuset``, ``cpu``, ``memory`` or ``blkio`` (version 2 calls it io).

        Raises:
            NotFound: There is none.
        """
        version = self.version
        top = f"{CGROUP}/{controller}" if version == 1 else CGROUP
        mark = _MARKS[version or 1][controller]
        for pattern in _patterns(pod, container):
            for directory in sorted((self._root / top.lstrip("/")).glob(pattern)):
                # CRI-O's watcher has a group beside the container's, with the same identifier (crio-conmon-<id>.scope).
                if (directory / mark).exists() and _WATCHER not in directory.name:
                    return Group(self._root, f"/{directory.relative_to(self._root)}", version)
        raise NotFound(
            f"container {container['name']} of pod {pod['metadata']['name']} has no control group of controller"
            f" {self._name(controller)} (version {version})"
        )

    def _name(self, controller: str) -> str:
        return "io" if controller == "blkio" and self.version == 2 else controller


def _patterns(pod: Object, container: Any) -> Iterator[str]:
    """Return where to look, the likeliest first. Names from the API are made harmless: a group is not a pattern."""
    uid = _plain(str(pod["metadata"]["uid"]))
    identifier = _plain(str(container["containerID"]).partition("://")[2])
    name = _plain(str(container["name"]))
    systemd = uid.replace("-", "_")
    if identifier and "/" not in identifier:
        yield f"kubepods.slice/kubepods-*.slice/kubepods-*-pod{systemd}.slice/*{identifier}*"
        yield f"kubepods.slice/kubepods-pod{systemd}.slice/*{identifier}*"
        yield f"kubepods/*/pod{uid}/{identifier}"
        yield f"kubepods/pod{uid}/{identifier}"
    yield f"embedded/pod{uid}/{name}"


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isalnum() or character in "-_./").replace("..", "")
