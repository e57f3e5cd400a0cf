"""Commands about a component on this node: its application and pods, and whether it is here at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysops_core.contracts import Object
from mlsysops_core.errors import NotFound

from .base import NodeMechanism
from .command import Command

__all__ = ["ComponentCommand", "ComponentMechanism", "asset_of"]

#: Labels that the mechanism *fluidity* gives to pods.
_LABEL_APPLICATION = "mlsysops.eu/app"
_LABEL_COMPONENT = "mlsysops.eu/component"
_ENDED = frozenset({"Succeeded", "Failed"})


class ComponentCommand(Command):
    """What commands about a component say.

    Attributes:
        application: The application.
        component: The component.
        container: Which of its containers, by name; all where not given.
    """

    application: str
    component: str
    container: str | None = None


def asset_of(application: str, component: str) -> str:
    """Return the asset that a component is, for all mechanisms and tiers alike."""
    return f"application/{application}/{component}"


class ComponentMechanism(NodeMechanism):
    """Base of mechanisms that act on components."""

    def _assets(self, command: Any) -> frozenset[str]:
        return frozenset({asset_of(command.application, command.component)})

    def _application(self, command: Any) -> Object | None:
        application = self._handle.objects.get("MLSysOpsApp", command.application)
        if application is None:
            raise NotFound(f"application {command.application} is not known on this node")
        return application

    def _objection(self, command: Any) -> str:
        if command.command == "reset":
            return ""
        if command.component not in self._handle.assigned(command.application):
            return f"component {command.component} of {command.application} is not on this node"
        return ""

    def _components(self) -> list[tuple[str, str]]:
        """Return the components on this node, as ``(application, component)``."""
        found: list[tuple[str, str]] = []
        for item in self._handle.objects.items("MLSysOpsApp"):
            name = str(item["metadata"]["name"])
            found.extend((name, component) for component in self._handle.assigned(name))
        return found

    def _pods(self, application: str, component: str) -> list[Object]:
        """Return the component's pods on this node that have not ended."""
        found: list[Object] = []
        for pod in self._handle.objects.items("Pod"):
            labels = pod["metadata"].get("labels") or {}
            spec, status = pod.get("spec") or {}, pod.get("status") or {}
            if (
                labels.get(_LABEL_APPLICATION) == application
                and labels.get(_LABEL_COMPONENT) == component
                and spec.get("nodeName") == self._handle.agent.name
                and status.get("phase") not in _ENDED
            ):
                found.append(pod)
        return found

    def _containers(self, command: ComponentCommand) -> list[tuple[Object, Mapping[str, Any]]]:
        """Return the running containers that a command is about, each with its pod.

        Raises:
            NotFound: There are none.
        """
        found = [
            (pod, status)
            for pod in self._pods(command.application, command.component)
            for status in (pod.get("status") or {}).get("containerStatuses") or ()
            if status.get("containerID")
            and "running" in (status.get("state") or {})
            and command.container in (None, status["name"])
        ]
        if not found:
            which = f"container {command.container} of " if command.container else ""
            raise NotFound(f"{which}component {command.component} of {command.application} does not run on this node")
        return found
