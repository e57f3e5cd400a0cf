"""What a container's program sees: environment, arguments and their ``$(VAR)`` expansion. Pure functions.

Sources: Kubernetes ``third_party/forked/golang/expansion``, ``pkg/kubelet/envvars`` and ``pkg/fieldpath``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client.objects import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlsysops_embedded.client import Object

__all__ = [
    "ContainerConfigError",
    "command_line",
    "container_environment",
    "expand",
    "field_value",
    "resource_value",
    "service_environment",
]

_REFERENCE = re.compile(r"\$(\$|\(([^()$]*)\)|)")
_SUBSCRIPT = re.compile(r"^metadata\.(annotations|labels)\['(.+)'\]$")


class ContainerConfigError(Exception):
    """The environment cannot be made: kubelet's ``CreateContainerConfigError``."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; unknown names stay as they are, and ``$$`` is a literal dollar sign."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        if match.group(2) is not None:
            return variables.get(match.group(2), match.group(0))
        return "$"

    return _REFERENCE.sub(replace, text)


def field_value(pod: Object, path: str) -> str:
    """A downward API field of a pod; raises `ContainerConfigError` for one that does not exist."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if found := _SUBSCRIPT.match(path):
        return str((metadata.get(found.group(1)) or {}).get(found.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(pairs.items()))
    simple: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": status.get("hostIP"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": status.get("podIP"),
    }
    if path not in simple:
        raise ContainerConfigError(f"field {path!r} cannot be referenced")
    return str(simple[path] or "")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(pod: Object, own: Object, reference: Object, allocatable: Mapping[str, Any]) -> str:
    """A container's limit or request as an integer in units of the divisor; the node's allocatable where no limit is set."""
    name = reference.get("containerName") or own["name"]
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    container = next((c for c in containers if c["name"] == name), None)
    if container is None:
        raise ContainerConfigError(f"container {name!r} not found")
    kind, _, what = str(reference["resource"]).partition(".")
    amounts = (container.get("resources") or {}).get(kind) or {}
    value = amounts.get(what)
    if value is None:
        value = allocatable.get(what, 0) if kind == "limits" else 0
    divisor = reference.get("divisor") or "1"
    unit = quantity(divisor) or 1.0
    return str(math.ceil(quantity(value) / unit - 1e-9))


def service_environment(services: Iterable[Object], namespace: str) -> dict[str, str]:
    """``{NAME}_SERVICE_HOST`` and Docker's link variables for the services of a namespace and ``default/kubernetes``."""
    variables: dict[str, str] = {}
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        address = spec.get("clusterIP")
        master = metadata["name"] == "kubernetes" and metadata["namespace"] == "default"
        if not address or address == "None" or not (metadata["namespace"] == namespace or master):
            continue
        name = metadata["name"].upper().replace("-", "_")
        ports = spec.get("ports") or []
        variables[f"{name}_SERVICE_HOST"] = address
        for index, port in enumerate(ports):
            number, protocol = port["port"], (port.get("protocol") or "TCP")
            if index == 0:
                variables[f"{name}_SERVICE_PORT"] = str(number)
                variables[f"{name}_PORT"] = f"{protocol.lower()}://{address}:{number}"
            if port.get("name"):
                variables[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(number)
            prefix = f"{name}_PORT_{number}_{protocol}"
            variables[prefix] = f"{protocol.lower()}://{address}:{number}"
            variables[f"{prefix}_PROTO"] = protocol.lower()
            variables[f"{prefix}_PORT"] = str(number)
            variables[f"{prefix}_ADDR"] = address
    return variables


def container_environment(
    pod: Object,
    container: Object,
    base: Mapping[str, str],
    read: Callable[[str, str], Mapping[str, str] | None],
    allocatable: Mapping[str, Any],
) -> dict[str, str]:
    """The environment of a container.

    Args:
        pod: With the status it will have (podIP, hostIP).
        container: One of its containers.
        base: What lies below the container's own: the runtime's and the services' variables.
        read: Gives the data of (``ConfigMap``|``Secret``, name), or None where it does not exist.
        allocatable: Of the node, for resourceFieldRef without a limit.

    Raises:
        ContainerConfigError: Something that is not optional is missing.
    """
    result = dict(base)
    for source in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                data = _data(read, kind, source[field])
                prefix = source.get("prefix") or ""
                result.update({f"{prefix}{key}": value for key, value in (data or {}).items()})
    for variable in container.get("env") or ():
        if "valueFrom" not in variable:
            result[variable["name"]] = expand(variable.get("value") or "", result)
            continue
        value = _from(pod, container, variable["valueFrom"], read, allocatable)
        if value is not None:
            result[variable["name"]] = value
    return result


def _from(
    pod: Object,
    container: Object,
    source: Object,
    read: Callable[[str, str], Mapping[str, str] | None],
    allocatable: Mapping[str, Any],
) -> str | None:
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_value(pod, container, source["resourceFieldRef"], allocatable)
    for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if field not in source:
            continue
        reference = source[field]
        data = _data(read, kind, reference)
        if data is not None and reference["key"] in data:
            return data[reference["key"]]
        if not reference.get("optional"):
            raise ContainerConfigError(
                f"couldn't find key {reference['key']} in {kind} {pod['metadata']['namespace']}/{reference['name']}"
            )
    return None


def _data(
    read: Callable[[str, str], Mapping[str, str] | None], kind: str, reference: Object
) -> Mapping[str, str] | None:
    data = read(kind, reference["name"])
    if data is None and not reference.get("optional"):
        raise ContainerConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    return data


def command_line(program: Sequence[str], container: Object, variables: Mapping[str, str]) -> list[str]:
    """The program that stands for the image, with the container's command and args expanded after it."""
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    return [*program, *(expand(argument, variables) for argument in arguments)]
