"""Checks of pods and of the templates of pods.

Source: kubernetes `pkg/apis/core/validation/validation.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    port_name_faults,
    required,
)
from mlsysops_embedded.validation.quantities import exact_quantity, parse_quantity
from mlsysops_embedded.validation.schema import json_text

__all__ = ["check_pod", "check_pod_spec"]

Obj = dict[str, Any]
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
#: Resources of containers without a domain in their name.
_STANDARD: Final = ("cpu", "memory", "ephemeral-storage")
#: What an environment variable may show of its pod (`validEnvDownwardAPIFieldPathExpressions`).
_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")


def _check_containers(spec: Obj, path: str) -> Iterator[Cause]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            place = f"{path}.{group}[{index}]"
            name = container.get("name", "")
            if why := meta.name_fault(name, label=True):
                yield invalid(f"{place}.name", name, why)
            if name in names:
                yield duplicate(f"{place}.name", name)
            names.add(name)
            if not container.get("image"):
                yield required(f"{place}.image")
            yield from _container(container, place, volumes)
            yield from _resize_policy(container, f"{place}.resizePolicy", spec.get("restartPolicy"))
            if group == "initContainers" and container.get("restartPolicy") != "Always":
                for kind in _PROBES:
                    if kind in container:
                        yield forbidden(
                            f"{place}.{kind}", "may not be set for init containers without restartPolicy=Always"
                        )
                for number, item in enumerate(container.get("resizePolicy") or ()):
                    if item.get("restartPolicy") == "RestartContainer":
                        field = f"{place}.resizePolicy[{number}].restartPolicy"
                        text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                        yield invalid(field, item["restartPolicy"], text)
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        if why := meta.name_fault(volume.get("name", ""), label=True):
            yield invalid(f"{path}.volumes[{index}].name", volume.get("name"), why)
        if volume.get("name") in seen:
            yield duplicate(f"{path}.volumes[{index}].name", volume.get("name"))
        seen.add(volume.get("name", ""))
        if len(volume) > 2:
            yield forbidden(f"{path}.volumes[{index}]", "may not specify more than 1 volume type")


def _container(container: Obj, place: str, volumes: set[Any]) -> Iterator[Cause]:
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield Cause(
                "FieldValueNotFound",
                f"{place}.volumeMounts[{index}].name",
                f"Not found: {json_text(mount.get('name'))}",
            )
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name") or "=" in variable["name"]:
            yield invalid(
                f"{place}.env[{index}].name",
                variable.get("name"),
                "a valid environment variable name must not be empty or contain '='",
            )
        if "value" in variable and variable["value"] and variable.get("valueFrom"):
            yield invalid(f"{place}.env[{index}].valueFrom", "", "may not be specified when `value` is not empty")
        if "valueFrom" in variable:
            yield from _source(variable["valueFrom"], f"{place}.env[{index}].valueFrom")
    for kind in _PROBES:
        if kind in container:
            yield from _probe(container[kind], kind, f"{place}.{kind}")
    yield from _ports(container, place)
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, value in limits.items():
        yield from _amount(f"{place}.resources.limits[{name}]", name, value)
    for name, value in requests.items():
        yield from _amount(f"{place}.resources.requests[{name}]", name, value)
        if name in limits and parse_quantity(value) > parse_quantity(limits[name]):
            yield invalid(
                f"{place}.resources.requests", value, f"must be less than or equal to {name} limit of {limits[name]}"
            )


def _resize_policy(container: Obj, field: str, restart_policy: str | None) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, item in enumerate(container.get("resizePolicy") or ()):
        resource, policy = item.get("resourceName", ""), item.get("restartPolicy", "")
        if resource in seen:
            yield duplicate(f"{field}[{index}]", resource)
        seen.add(resource)
        for given, allowed in ((resource, ("cpu", "memory")), (policy, ("NotRequired", "RestartContainer"))):
            if not given:
                yield required(field)
            elif given not in allowed:
                yield not_supported(field, given, allowed)
        if restart_policy == "Never" and policy != "NotRequired":
            yield invalid(field, policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


def _amount(field: str, name: str, value: str) -> Iterator[Cause]:
    standard = name in _STANDARD or name.startswith("hugepages-")
    if not standard and ("/" not in name or meta.qualified_fault(name)):
        yield invalid(field, name, "must be a standard resource for containers or fully qualified")
    if parse_quantity(value) < 0:
        yield invalid(field, value, "must be greater than or equal to 0")
    elif not standard and exact_quantity(value) != exact_quantity(value).to_integral_value():
        yield invalid(field, value, "must be an integer")


def _source(source: Obj, place: str) -> Iterator[Cause]:
    """Where an environment variable gets its value."""
    if not any(kind in source for kind in _SOURCES):
        yield invalid(
            place, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef`"
        )
    elif sum(kind in source for kind in _SOURCES) > 1:
        yield invalid(place, "", "may not have more than one field specified at a time")
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path and path not in _FIELDS and not _SUBSCRIPT.fullmatch(path):
        text = f"error converting fieldPath: field label not supported: {path}"
        yield invalid(f"{place}.fieldRef.fieldPath", path, text)


def _probe(probe: Obj, kind: str, place: str) -> Iterator[Cause]:
    handlers = [name for name in _HANDLERS if name in probe]
    if not handlers:
        yield required(place, "must specify a handler type")
    for name in handlers[1:]:
        yield forbidden(f"{place}.{name}", "may not specify more than 1 handler type")
    for name in handlers[:1]:
        handler = probe[name] or {}
        if name == "exec" and not handler.get("command"):
            yield required(f"{place}.exec.command")
        port = handler.get("port")
        if isinstance(port, int) and not 1 <= port <= 65535:
            yield invalid(f"{place}.{name}.port", port, "must be between 1 and 65535, inclusive")
        elif isinstance(port, str):
            yield from port_name_faults(f"{place}.{name}.port", port)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid(f"{place}.successThreshold", probe["successThreshold"], "must be 1")


def _ports(container: Obj, place: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        if name := port.get("name"):
            yield from port_name_faults(f"{place}.ports[{index}].name", name)
            if name in names:
                yield duplicate(f"{place}.ports[{index}].name", name)
            names.add(name)


def check_pod_spec(spec: Obj, path: str) -> Iterator[Cause]:
    """Faults of a pod's spec, or of that of a template."""
    yield from _check_containers(spec, path)
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")
    for text, why in meta.label_faults(spec.get("nodeSelector") or {}):
        yield invalid(f"{path}.nodeSelector", text, why)
    for name, label in (("hostname", True), ("subdomain", True), ("nodeName", False)):
        if spec.get(name) and (why := meta.name_fault(spec[name], label=label)):
            yield invalid(f"{path}.{name}", spec[name], why)
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wanted = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is not None and not wanted.get("nodeSelectorTerms"):
        field = f"{path}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        yield required(field, "must have at least one node selector term")


def _toleration(toleration: Obj, place: str) -> Iterator[Cause]:
    operator = toleration.get("operator") or "Equal"
    if not toleration.get("key") and operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{place}.operator", operator, text)
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{place}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{place}.effect", toleration.get("effect", ""), text)


def check_pod(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    """Faults of a pod, and of what it may not change."""
    if old is None:
        spec = obj.get("spec") or {}
        yield from check_pod_spec(spec, "spec")
        if spec.get("ephemeralContainers"):
            yield forbidden("spec.ephemeralContainers", "cannot be set on create")
        return
    yield from _changes(obj["spec"], old["spec"])
    new_spec, old_spec = _frozen(obj["spec"]), _frozen(old["spec"])
    if new_spec.get("terminationGracePeriodSeconds") == 1 and old_spec.get("terminationGracePeriodSeconds", 0) < 0:
        new_spec["terminationGracePeriodSeconds"] = old_spec["terminationGracePeriodSeconds"]
    if new_spec != old_spec:
        if not old["spec"].get("nodeName") and {**new_spec, "nodeName": None} == {**old_spec, "nodeName": None}:
            return  # binding
        yield forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        )


def _changes(new: Obj, old: Obj) -> Iterator[Cause]:
    """What may change in one direction alone: a deadline comes nearer, tolerations become more."""
    deadline, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is not None and deadline is None:
        yield invalid("spec.activeDeadlineSeconds", deadline, "must not update from a positive integer to nil value")
    elif before is not None and deadline > before:
        yield invalid("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value")
    kept = [_without_seconds(toleration) for toleration in new.get("tolerations") or ()]
    if not all(_without_seconds(toleration) in kept for toleration in old.get("tolerations") or ()):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _without_seconds(toleration: Obj) -> Obj:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _frozen(spec: Obj) -> Obj:
    kept = {k: v for k, v in spec.items() if k not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")}
    for group in ("containers", "initContainers"):
        if group in kept:
            kept[group] = [{k: v for k, v in c.items() if k not in ("image", "imagePullPolicy")} for c in kept[group]]
    return kept
