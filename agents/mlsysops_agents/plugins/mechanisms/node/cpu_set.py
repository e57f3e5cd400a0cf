"""Mechanism ``change_container_cpu_set``: on which CPUs (and memory nodes) the containers of a component run."""

from __future__ import annotations

from typing import Any, ClassVar

from mlsysops_core.errors import InvalidInput, NotFound

from .cgroups import ControlGroups, Group
from .command import Command, cpu_list, format_cpus, parse_cpus
from .component import ComponentCommand, ComponentMechanism, asset_of
from .knob import Change, FileKnob, Knob, read_text
from .ledger import Entry

__all__ = ["ContainerCpuSet"]

_ONLINE = "sys/devices/system/cpu/online"


class CpuSetCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        cpus: CPUs, as ``0-3,8``, a number or numbers.
        mems: Memory nodes, likewise; as they are where not given.
    """

    cpus: str | int | list[int] = ""
    mems: str | int | list[int] | None = None


class ContainerCpuSet(ComponentMechanism):
    """Acts on the controller cpuset."""

    name: ClassVar[str] = "change_container_cpu_set"
    permission: ClassVar[str] = "change_container_cpu_set"
    model: ClassVar[type[Command]] = CpuSetCommand

    def _unavailable(self) -> str:
        return "" if ControlGroups(self._root).has("cpuset") else "this machine has no control group controller cpuset"

    def _changes(self, command: CpuSetCommand) -> list[Change]:
        cpus = cpu_list(command.cpus)
        mems = None if command.mems is None else cpu_list(command.mems)
        asset = asset_of(command.application, command.component)
        groups = ControlGroups(self._root)
        changes: list[Change] = []
        for pod, container in self._containers(command):
            group = groups.find(pod, container, "cpuset")
            _check(cpus, self._allowed(group, "cpus"), "cpus")
            changes.append(Change(self._file(group.key("cpuset.cpus")), format_cpus(cpus), asset))
            if mems is not None:
                _check(mems, self._allowed(group, "mems"), "mems")
                changes.append(Change(self._file(group.key("cpuset.mems")), format_cpus(mems), asset))
        return changes

    def _allowed(self, group: Group, kind: str) -> frozenset[int]:
        """Return what the group above lets its groups have."""
        names = (f"cpuset.{kind}.effective",) if group.version == 2 else (f"cpuset.effective_{kind}", f"cpuset.{kind}")
        for name in names:
            text = group.parent.text(name)
            if text:
                return parse_cpus(text)
        # A parent that restricts nothing has nothing to say (version 2 leaves its file empty or out): what is online, then.
        return parse_cpus(read_text(self._root / _ONLINE) or "0") if kind == "cpus" else frozenset({0})

    def _file(self, key: str) -> FileKnob:
        return FileKnob(self._root, key, compare=_same_set)

    def _knob(self, entry: Entry) -> Knob:
        return self._file(entry.key)

    def _look(self) -> dict[str, Any]:
        groups = ControlGroups(self._root)
        found: dict[str, Any] = {}
        for application, component in self._components():
            containers: dict[str, Any] = {}
            for pod in self._pods(application, component):
                for status in (pod.get("status") or {}).get("containerStatuses") or ():
                    if "running" not in (status.get("state") or {}):
                        continue
                    try:
                        group = groups.find(pod, status, "cpuset")
                    except NotFound as exc:
                        containers[status["name"]] = {"unavailable": str(exc)}
                        continue
                    effective = group.text("cpuset.cpus.effective" if group.version == 2 else "cpuset.effective_cpus")
                    containers[status["name"]] = {"cpus": group.text("cpuset.cpus"), "effective": effective}
            found.setdefault(application, {})[component] = containers
        return {"applications": found}

    def _offer(self) -> dict[str, Any]:
        return {"cpus": sorted(parse_cpus(read_text(self._root / _ONLINE) or "0"))}


def _check(wanted: frozenset[int], allowed: frozenset[int], what: str) -> None:
    if wanted - allowed:
        raise InvalidInput(f"{what}: {format_cpus(wanted - allowed)} is out of range, allowed: {format_cpus(allowed)}")


def _same_set(wanted: str, found: str) -> bool:
    return parse_cpus(wanted) == parse_cpus(found)
