"""Changes of a component's specification that a node wants: its cluster is asked for them, and carries them out.

A node may not write workloads. What it wants stands in the status of its MLSysOpsNode for as long as it wants it, under a key a
component and a kind of change; the cluster's policy ``componentRequests`` replaces the pods without a gap, and goes back to the
description when the request is taken back.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlsysops_core.errors import InvalidInput
from mlsysops_core.knobs import NodePluginHandle
from pydantic import ValidationError

from mlsysops_agents.plugins.mechanisms.component_changes import changed_component, container_index

from .command import Command
from .component import ComponentCommand, ComponentMechanism, asset_of
from .knob import Change, Knob
from .ledger import Entry

__all__ = ["RequestKnob", "RequestMechanism", "checked"]


@dataclass(frozen=True, slots=True)
class RequestKnob:
    """One standing request; the empty value is none."""

    handle: NodePluginHandle
    key: str
    #: It stands in the API, so that a reboot does not end it.
    lasting: bool = True
    remembered: ClassVar[bool] = False

    def read(self) -> str:
        """Return the request as JSON."""
        found = self.handle.requests().get(self.key)
        return "" if found is None else json.dumps(found, sort_keys=True)

    def write(self, value: str) -> None:
        """Make it, change it or take it back."""
        self.handle.request(self.key, json.loads(value) if value else None)

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return wanted == found

    def drifted(self, wanted: str, found: str) -> bool:
        """Nobody else moves it."""
        return False


def checked(described: Mapping[str, Any], request: Mapping[str, Any], mechanism: str) -> None:
    """Check that a component is still valid once a request is granted.

    Raises:
        InvalidInput: It would not be.
    """
    try:
        changed_component(described, [request])
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{mechanism}: {place}: {first['msg']}") from exc


class RequestMechanism(ComponentMechanism):
    """Base of mechanisms that ask the cluster."""

    #: Key of the change in a request.
    kind: ClassVar[str]
    model: ClassVar[type[Command]]

    @abstractmethod
    def _wanted(self, command: Any, component: Mapping[str, Any], index: int) -> Any:
        """Return the change that a command asks for.

        Args:
            command: The command.
            component: The component as its description has it.
            index: Which of its containers.

        Raises:
            InvalidInput: A value is not allowed.
        """

    def _unavailable(self) -> str:
        return ""

    def _changes(self, command: Any) -> list[Change]:
        described = self._described(command)
        index = container_index(described, command.container)
        request = {
            "application": command.application,
            "component": command.component,
            "container": index,
            "action": self.permission,
            self.kind: self._wanted(command, described, index),
        }
        checked(described, request, self.name)
        knob = RequestKnob(self._handle, f"{command.application}/{command.component}/{index}/{self.kind}")
        return [Change(knob, json.dumps(request, sort_keys=True), asset_of(command.application, command.component))]

    def _described(self, command: ComponentCommand) -> Mapping[str, Any]:
        application = self._application(command) or {}
        for component in (application.get("spec") or {}).get("components") or ():
            if component["metadata"]["name"] == command.component:
                return dict(component)
        raise InvalidInput(f"application {command.application} has no component {command.component}")

    def _knob(self, entry: Entry) -> Knob:
        return RequestKnob(self._handle, entry.key)

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        requests = self._handle.requests()
        for application, component in self._components():
            present = self._handle.objects.get("MLSysOpsApp", application) or {}
            described = [
                self._present(item)
                for item in (present.get("spec") or {}).get("components") or ()
                if item["metadata"]["name"] == component
            ]
            prefix = f"{application}/{component}/"
            found.setdefault(application, {})[component] = {
                "described": described[0] if described else None,
                "requested": {
                    key[len(prefix) :].partition("/")[0]: request[self.kind]
                    for key, request in requests.items()
                    if key.startswith(prefix) and self.kind in request
                },
            }
        return {"applications": found}

    @abstractmethod
    def _present(self, component: Mapping[str, Any]) -> Any:
        """Return what the description says of it."""
