"""Mechanism ``fluidity_proxy``: the command of *fluidity* on a node, for policies of the MLSysOps framework that run there.

A node may not place components and may not write workloads: of the command's actions it carries out ``change_spec`` alone, by
asking its cluster, as the mechanisms of `specification` do it for one kind of change each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlsysops_core.contracts import Object
from mlsysops_core.errors import InvalidInput, NotFound
from mlsysops_core.permissions import refusal

from mlsysops_agents.plugins.mechanisms.actions import read_command

from .command import Command
from .component import ComponentMechanism, asset_of
from .knob import Change, Knob
from .ledger import Entry
from .requested import RequestKnob, checked

__all__ = ["FluidityProxy"]

_IMAGE = "change_container_image"
_RUNTIME_CLASS = "change_container_runtime_class"
_RESOURCES = "change_container_resource_requirements"
_KINDS = {"image": _IMAGE, "runtimeClassName": _RUNTIME_CLASS, "resources": _RESOURCES}
_AMOUNTS = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class _Read:
    """A command, read: component to its new specification, and to the host that the command names."""

    application: str
    specifications: Mapping[str, Mapping[str, Any]]
    hosts: Mapping[str, str | None]
    command: str = "set"
    dry_run: bool = False


class FluidityProxy(ComponentMechanism):
    """Asks the cluster for what a new specification changes."""

    name: ClassVar[str] = "fluidity_proxy"
    #: Each kind of change needs its own word, see `refusal`.
    permission: ClassVar[str] = _RESOURCES
    model: ClassVar[type[Command]] = Command

    def _read(self, command: Mapping[str, Any]) -> _Read:
        read = read_command(command)
        specifications: dict[str, Mapping[str, Any]] = {}
        hosts: dict[str, str | None] = {}
        for action in read.actions:
            if action.verb != "change_spec":
                raise InvalidInput(
                    f"{self.name}: {action.verb}: a node changes specifications, its cluster places components"
                )
            specifications[action.component], hosts[action.component] = action.new_spec, action.host
        dry_run, verb = bool(command.get("dry_run")), str(command.get("command") or "set")
        if verb not in ("set", "reset"):
            raise InvalidInput(f"{self.name}: command: {verb!r}, allowed: set, reset")
        return _Read(read.application, specifications, hosts, verb, dry_run)

    def _assets(self, command: _Read) -> frozenset[str]:
        return frozenset(asset_of(command.application, name) for name in command.specifications)

    def _objection(self, command: _Read) -> str:
        here = self._handle.assigned(command.application)
        for name, host in command.hosts.items():
            if name not in here:
                return f"component {name} of {command.application} is not on this node"
            if host not in (None, self._handle.agent.name):
                return f"component {name} is on {self._handle.agent.name}, not on {host}"
        return ""

    def refusal(self, command: _Read) -> str:
        """Say why the descriptions do not permit one of the changes; empty where they permit all."""
        node = self._handle.objects.get("MLSysOpsNode", self._handle.agent.name)
        if node is None:
            return f"node {self._handle.agent.name} has no description, so nothing is permitted"
        application = self._owner(command.application)
        words = {_KINDS[kind] for _, _, kind, _ in self._differences(command)}
        reasons = (refusal(word, node=node, application=application) for word in sorted(words))
        return next((reason for reason in reasons if reason), "")

    def _changes(self, command: _Read) -> list[Change]:
        changes: list[Change] = []
        for name, index, kind, value in self._differences(command):
            request = {
                "application": command.application,
                "component": name,
                "container": index,
                "action": _KINDS[kind],
                kind: value,
            }
            checked(self._component(command.application, name), request, self.name)
            knob = RequestKnob(self._handle, f"{command.application}/{name}/{index}/{kind}")
            changes.append(Change(knob, json.dumps(request, sort_keys=True), asset_of(command.application, name)))
        return changes

    def _differences(self, command: _Read) -> Iterator[tuple[str, int, str, Any]]:
        """Yield component, container, kind and value of what is to be other than described."""
        for name, wanted in command.specifications.items():
            described = self._component(command.application, name)
            for key in wanted:
                if key not in ("containers", "runtime_class_name") and wanted[key] != described.get(key):
                    raise InvalidInput(f"{self.name}: {name}.{key} cannot be changed from a node")
            runtime_class = wanted.get("runtime_class_name")
            if runtime_class is not None and runtime_class != described.get("runtime_class_name"):
                yield name, 0, "runtimeClassName", runtime_class
            containers = wanted.get("containers", described["containers"])
            if len(containers) != len(described["containers"]):
                raise InvalidInput(f"{self.name}: {name}.containers: a node cannot add or remove containers")
            for index, (before, after) in enumerate(zip(described["containers"], containers, strict=True)):
                for kind, value in _of_container(before, after, f"{self.name}: {name}.containers.{index}"):
                    yield name, index, kind, value

    def _owner(self, application: str) -> Object:
        found = self._handle.objects.get("MLSysOpsApp", application)
        if found is None:
            raise NotFound(f"application {application} is not known on this node")
        return found

    def _component(self, application: str, name: str) -> Mapping[str, Any]:
        for component in (self._owner(application).get("spec") or {}).get("components") or ():
            if component["metadata"]["name"] == name:
                return dict(component)
        raise InvalidInput(f"application {application} has no component {name}")

    def _unavailable(self) -> str:
        return ""

    def _knob(self, entry: Entry) -> Knob:
        return RequestKnob(self._handle, entry.key)

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for application, component in self._components():
            state = {"node_placed": self._handle.agent.name}
            found.setdefault(application, {"components": {}})["components"][component] = state
        return {"applications": found}

    def _offer(self) -> dict[str, Any]:
        return {"actions": ["change_spec"], "hosts": [self._handle.agent.name]}


def _of_container(before: Mapping[str, Any], after: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key in after:
        if key not in ("image", "platform_requirements") and after[key] != before.get(key):
            raise InvalidInput(f"{where}.{key} cannot be changed from a node")
    if after.get("image", before.get("image")) != before.get("image"):
        yield "image", after["image"]
    old, new = before.get("platform_requirements") or {}, after.get("platform_requirements") or {}
    for key in new:
        if key not in _AMOUNTS and new[key] != old.get(key):
            raise InvalidInput(f"{where}.platform_requirements.{key} cannot be changed from a node")
    amounts = {key: new[key] for key in _AMOUNTS if key in new and new[key] != old.get(key)}
    if amounts:
        words = ("requests", "limits")
        yield "resources", {key: {word: item[word] for word in words if word in item} for key, item in amounts.items()}
