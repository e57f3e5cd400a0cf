"""Mechanisms that change a component's specification: image, runtime class, resources, and vAccel backend by environment.

Environment variables of vAccel (docs.vaccel.org): ``VACCEL_PLUGINS`` names the plug-in libraries that a program loads,
``VACCEL_RPC_ADDRESS`` the agent that the plug-in ``libvaccel-rpc.so`` hands calls to. Programs read them when they start, so the
component's pods are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from mlsysops_core.errors import InvalidInput
from mlsysops_core.model.vocabulary import RuntimeClass
from mlsysops_core.quantities import parse_bytes, parse_cpu
from pydantic import BaseModel, ConfigDict

from mlsysops_agents.plugins.mechanisms.component_changes import container_names

from .command import Command, one_of
from .component import ComponentCommand
from .requested import RequestMechanism

__all__ = ["Acceleration", "ContainerImage", "ContainerResources", "ContainerRuntimeClass"]

_LIBRARY = re.compile(r"libvaccel-([\w-]+)\.so")
_LIBRARY_PLACES = ("usr/lib", "usr/local/lib", "usr/lib/*-linux-gnu", "usr/local/lib/*-linux-gnu")
_RPC = "rpc"
#: What a vAccel agent listens on.
_ADDRESS = re.compile(r"(tcp://[^\s/]+:\d+|unix:///\S+|vsock://\d+:\d+)")
_RUNTIME_CLASSES = tuple(map(str, get_args(get_args(RuntimeClass)[0])))


class ImageCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        image: The image.
    """

    image: str = ""


class ContainerImage(RequestMechanism):
    """Mechanism ``change_container_image``."""

    name: ClassVar[str] = "change_container_image"
    permission: ClassVar[str] = "change_container_image"
    kind: ClassVar[str] = "image"
    model: ClassVar[type[Command]] = ImageCommand

    def _wanted(self, command: ImageCommand, component: Mapping[str, Any], index: int) -> str:
        if not command.image or any(character.isspace() for character in command.image):
            raise InvalidInput(f"image: {command.image!r} is no name of an image")
        return command.image

    def _present(self, component: Mapping[str, Any]) -> Any:
        return {
            name: item["image"] for name, item in zip(container_names(component), component["containers"], strict=True)
        }

    def _offer(self) -> dict[str, Any]:
        return {"image": "any that the node's runtime can pull"}


class RuntimeClassCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        runtime_class_name: The runtime class; of all containers, as a pod has one.
    """

    runtime_class_name: str = ""


class ContainerRuntimeClass(RequestMechanism):
    """Mechanism ``change_container_runtime_class``."""

    name: ClassVar[str] = "change_container_runtime_class"
    permission: ClassVar[str] = "change_container_runtime_class"
    kind: ClassVar[str] = "runtimeClassName"
    model: ClassVar[type[Command]] = RuntimeClassCommand

    def _wanted(self, command: RuntimeClassCommand, component: Mapping[str, Any], index: int) -> str:
        one_of(command.runtime_class_name, _RUNTIME_CLASSES, "runtime_class_name")
        return command.runtime_class_name

    def _present(self, component: Mapping[str, Any]) -> Any:
        return component.get("runtime_class_name")

    def _offer(self) -> dict[str, Any]:
        return {"runtime_class_name": list(_RUNTIME_CLASSES)}


class Amounts(BaseModel):
    """What is kept for a container, and what it may use at most."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    requests: str | None = None
    limits: str | None = None


class ResourcesCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        cpu: Cores (``250m``).
        memory: Bytes (``64Mi``).
    """

    cpu: Amounts | None = None
    memory: Amounts | None = None


class ContainerResources(RequestMechanism):
    """Mechanism ``change_container_resource_requirements``."""

    name: ClassVar[str] = "change_container_resource_requirements"
    permission: ClassVar[str] = "change_container_resource_requirements"
    kind: ClassVar[str] = "resources"
    model: ClassVar[type[Command]] = ResourcesCommand

    def _wanted(self, command: ResourcesCommand, component: Mapping[str, Any], index: int) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        needs = component["containers"][index].get("platform_requirements") or {}
        for name, amounts, parse in (("cpu", command.cpu, parse_cpu), ("memory", command.memory, parse_bytes)):
            if amounts is None:
                continue
            given = amounts.model_dump(exclude_none=True)
            # The description may give a request to which the new limit is too low, or the other way round.
            both = {
                **{key: value for key, value in (needs.get(name) or {}).items() if key in ("requests", "limits")},
                **given,
            }
            if len(both) == 2 and parse(both["requests"]) > parse(both["limits"]):
                raise InvalidInput(f"{name}: requests {both['requests']} is above limits {both['limits']}")
            found[name] = given
        if not any(found.values()):
            raise InvalidInput(f"{self.name}: nothing to set (cpu or memory, each with requests or limits)")
        return found

    def _present(self, component: Mapping[str, Any]) -> Any:
        return {
            name: {
                key: value
                for key, value in (item.get("platform_requirements") or {}).items()
                if key in ("cpu", "memory")
            }
            for name, item in zip(container_names(component), component["containers"], strict=True)
        }

    def _offer(self) -> dict[str, Any]:
        return {"resources": ["cpu", "memory"], "amounts": ["requests", "limits"]}


class AccelerationCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        backend: vAccel plug-in: ``torch``, or ``libvaccel-torch.so``.
        remote_address: vAccel agent that does the work: ``tcp://HOST:PORT``, ``unix:///PATH`` or ``vsock://CID:PORT``; the
            plug-in is ``rpc`` then.
    """

    backend: str | None = None
    remote_address: str | None = None


class Acceleration(RequestMechanism):
    """Mechanism ``acceleration``."""

    name: ClassVar[str] = "acceleration"
    permission: ClassVar[str] = "acceleration"
    kind: ClassVar[str] = "environment"
    model: ClassVar[type[Command]] = AccelerationCommand

    def _wanted(self, command: AccelerationCommand, component: Mapping[str, Any], index: int) -> dict[str, str]:
        backend = command.backend or (_RPC if command.remote_address else "")
        match = _LIBRARY.fullmatch(backend) or re.fullmatch(r"([\w-]+)", backend)
        if match is None:
            raise InvalidInput(f"backend: {backend!r} is no vAccel plug-in")
        name = match[1]
        if (name == _RPC) != (command.remote_address is not None):
            raise InvalidInput("remote_address goes with the backend rpc, and the backend rpc with a remote_address")
        found = {"VACCEL_PLUGINS": f"libvaccel-{name}.so"}
        if command.remote_address is not None:
            if _ADDRESS.fullmatch(command.remote_address) is None:
                raise InvalidInput(
                    f"remote_address: {command.remote_address!r}, allowed: tcp://HOST:PORT, unix:///PATH, vsock://CID:PORT"
                )
            found["VACCEL_RPC_ADDRESS"] = command.remote_address
        return found

    def _present(self, component: Mapping[str, Any]) -> Any:
        return {
            name: {
                item["name"]: item.get("value")
                for item in container.get("env") or ()
                if item["name"] in ("VACCEL_PLUGINS", "VACCEL_RPC_ADDRESS")
            }
            for name, container in zip(container_names(component), component["containers"], strict=True)
        }

    def _offer(self) -> dict[str, Any]:
        found = {
            match[1]
            for place in _LIBRARY_PLACES
            for path in self._root.glob(f"{place}/libvaccel-*.so")
            if (match := _LIBRARY.fullmatch(path.name))
        }
        # A component brings the plug-ins of its image; those of the host serve where they are mounted, and its vAccel agent.
        return {"backends_of_host": sorted(found), "remote": True}
