"""Resource limits of containers by control group, version 1 and 2, or by rlimits where groups cannot be made.

Sources: Linux ``Documentation/admin-guide/cgroup-v1`` and ``cgroup-v2.rst``; shares and quota as kubelet's
``pkg/kubelet/cm/helpers_linux.go`` works them out.
"""

from __future__ import annotations

import logging
import os
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import quantity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_embedded.client import Object

__all__ = ["Cgroups", "Limits"]

_log = logging.getLogger(__name__)
_PARENT = "embedded"
_PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How one container is held.

    Attributes:
        groups: Directories of its control groups; empty where none could be made.
        rlimits: Names of `resource` limits and their values, where groups cannot be made.
        nice: Niceness, likewise.
    """

    groups: list[str] = field(default_factory=list)
    rlimits: dict[str, int] = field(default_factory=dict)
    nice: int = 0

    @property
    def enforced_by(self) -> str:
        """``cgroup``, ``rlimit`` or ``none``."""
        return "cgroup" if self.groups else "rlimit" if self.rlimits or self.nice else "none"


class Cgroups:
    """Makes and removes the groups of containers.

    Args:
        root: Mount point of the control group file systems.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        self._v2 = (root / "cgroup.controllers").exists()

    def _directories(self, pod_uid: str, container: str) -> dict[str, Path]:
        below = Path(_PARENT) / f"pod{pod_uid}" / container
        if self._v2:
            return {"": self._root / below}
        return {name: self._root / name / below for name in ("cpu", "cpuset", "memory") if (self._root / name).is_dir()}

    def create(self, pod_uid: str, container: str, resources: Object | None) -> Limits:
        """Make a container's groups and set its limits; falls back to rlimits without the right to."""
        cpu, memory, shares = _amounts(resources)
        groups = self._directories(pod_uid, container)
        try:
            self._make(groups.values())
            for controller, directory in groups.items():
                self._set(controller, directory, cpu, memory, shares)
        except OSError as exc:
            _log.info("no control groups for %s (%s): falling back to rlimits", container, exc)
            self.remove(pod_uid, container)
            groups = {}
        if groups:
            return Limits([str(directory) for directory in groups.values()])
        # RLIMIT_DATA counts private writable memory, which is close to what the memory controller charges.
        rlimits = {"RLIMIT_DATA": memory} if memory and hasattr(resource, "RLIMIT_DATA") else {}
        return Limits([], rlimits, 5 if 0 < cpu < 1 else 0)

    def holds(self, pod_uid: str, container: str) -> bool:
        """Whether a container has groups."""
        groups = self._directories(pod_uid, container).values()
        return bool(groups) and all(directory.is_dir() for directory in groups)

    def update(self, pod_uid: str, container: str, resources: Object | None) -> None:
        """Change the limits of a container that runs; raises OSError where the kernel does not let us."""
        for controller, directory in self._directories(pod_uid, container).items():
            if controller != "cpuset":
                self._set(controller, directory, *_amounts(resources))

    @staticmethod
    def _make(directories: Iterable[Path]) -> None:
        for directory in directories:
            for attempt in range(3):
                try:
                    directory.mkdir(parents=True, exist_ok=True)
                    break
                except FileNotFoundError:  # the last container of another pod took the parent away just now
                    if attempt == 2:
                        raise

    def _set(self, controller: str, directory: Path, cpu: float, memory: int, shares: int) -> None:
        quota = max(1000, int(cpu * _PERIOD)) if cpu else 0
        if self._v2:
            self._delegate(directory)
            _write(directory / "cpu.weight", str(1 + ((shares - 2) * 9999) // 262142))
            _write(directory / "cpu.max", f"{quota or 'max'} {_PERIOD}")
            _write(directory / "memory.max", str(memory or "max"))
        elif controller == "cpuset":
            self._inherit_cpus(directory)
        elif controller == "cpu":
            _write(directory / "cpu.shares", str(shares))
            if (directory / "cpu.cfs_quota_us").exists():
                _write(directory / "cpu.cfs_period_us", str(_PERIOD))
                _write(directory / "cpu.cfs_quota_us", str(quota or -1))
        else:
            _write(directory / "memory.limit_in_bytes", str(memory or -1))

    def _delegate(self, directory: Path) -> None:
        wanted = {"cpu", "memory"} | {"cpuset"} & set((self._root / "cgroup.controllers").read_text().split())
        for parent in reversed(directory.relative_to(self._root).parents):
            control = self._root / parent / "cgroup.subtree_control"
            if missing := wanted - set(control.read_text().split()):
                control.write_text(" ".join(f"+{name}" for name in sorted(missing)))

    def _inherit_cpus(self, directory: Path) -> None:
        """Give a group of version 1, and those above it, the CPUs of its parent: a new one has none, and takes no process."""
        top = self._root / "cpuset"
        for parent in (*reversed(directory.relative_to(top).parents), directory.relative_to(top)):
            for name in ("cpuset.cpus", "cpuset.mems"):
                file = top / parent / name
                if not file.read_text().strip():
                    _write(file, (file.parent.parent / name).read_text().strip())

    def memory(self, pod_uid: str, container: str) -> int | None:
        """Memory in bytes that a container uses, or None where groups are not in use."""
        groups = self._directories(pod_uid, container)
        try:
            if self._v2:
                return int((groups[""] / "memory.current").read_text())
            return int((groups["memory"] / "memory.usage_in_bytes").read_text())
        except (OSError, KeyError, ValueError):
            return None

    def usage(self, pod_uid: str, container: str) -> tuple[int, int] | None:
        """(CPU time in nanoseconds, memory in bytes) of a container, or None where groups are not in use."""
        groups, memory = self._directories(pod_uid, container), self.memory(pod_uid, container)
        if memory is None:
            return None
        try:
            if self._v2:
                lines = (groups[""] / "cpu.stat").read_text().splitlines()
                return 1000 * next(int(line.split()[1]) for line in lines if line.startswith("usage_usec")), memory
            # Where version 1 counts processor time in a hierarchy of its own, there is nothing to read here.
            return int((groups["cpu"] / "cpuacct.usage").read_text()), memory
        except (OSError, KeyError, StopIteration, ValueError):
            return None

    def remove(self, pod_uid: str, container: str | None = None) -> None:
        """Remove the (empty) groups of a container, or of a whole pod."""
        for directory in self._directories(pod_uid, container or "x").values():
            targets = (
                [directory] if container else [*directory.parent.glob("*/"), directory.parent, directory.parent.parent]
            )
            for target in targets:
                try:
                    os.rmdir(target)  # noqa: PTH106 - the kernel's files in it do not count
                except OSError:
                    continue


def _amounts(resources: Object | None) -> tuple[float, int, int]:
    """Cores and bytes that a container may use at most (0 for no limit), and its shares of the processor."""
    limits = (resources or {}).get("limits") or {}
    requests = {**limits, **((resources or {}).get("requests") or {})}
    cpu = quantity(limits["cpu"]) if limits.get("cpu") else 0.0
    memory = int(quantity(limits["memory"])) if limits.get("memory") else 0
    return cpu, memory, max(2, int(quantity(requests.get("cpu", 0)) * 1024))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
