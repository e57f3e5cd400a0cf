"""Checks between fields of built-in kinds, and what may not change.

Source: kubernetes `pkg/apis/{core,apps,rbac}/validation/validation.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.selectors import selector_from_object
from mlsysops_embedded.validation import definition
from mlsysops_embedded.validation.quantities import parse_quantity
from mlsysops_embedded.validation.schema import json_text

__all__ = ["check"]

Obj = dict[str, Any]
#: Bytes of a ConfigMap or Secret (core/v1 MaxSecretSize); of text as encoded, which is never less.
_MAX_DATA: Final = 1024 * 1024
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")


def _required(field: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value{': ' + why if why else ''}")


def _invalid(field: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {json_text(value)}: {why}")


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def _immutable(field: str, new: Any, old: Any) -> Iterator[Cause]:
    if new != old:
        yield _invalid(field, new, "field is immutable")


def _containers(spec: Obj, path: str) -> Iterator[Cause]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    if not spec.get("containers"):
        yield _required(f"{path}.containers")
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            place = f"{path}.{group}[{index}]"
            name = container.get("name", "")
            if why := meta.name_fault(name, label=True):
                yield _invalid(f"{place}.name", name, why)
            if name in names:
                yield Cause("FieldValueDuplicate", f"{place}.name", f"Duplicate value: {json_text(name)}")
            names.add(name)
            if not container.get("image"):
                yield _required(f"{place}.image")
            yield from _container(container, place, volumes)
    for index, volume in enumerate(spec.get("volumes") or ()):
        if why := meta.name_fault(volume.get("name", ""), label=True):
            yield _invalid(f"{path}.volumes[{index}].name", volume.get("name"), why)
        if len(volume) > 2:
            yield _forbidden(f"{path}.volumes[{index}]", "may not specify more than 1 volume type")


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
            yield _invalid(
                f"{place}.env[{index}].name",
                variable.get("name"),
                "a valid environment variable name must not be empty or contain '='",
            )
        if "value" in variable and variable["value"] and variable.get("valueFrom"):
            yield _invalid(f"{place}.env[{index}].valueFrom", "", "may not be specified when `value` is not empty")
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is not None and sum(name in probe for name in _HANDLERS) != 1:
            yield _required(f"{place}.{kind}", "must specify a handler type")
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, value in requests.items():
        if parse_quantity(value) < 0:
            yield _invalid(f"{place}.resources.requests[{name}]", value, "must be greater than or equal to 0")
        if name in limits and parse_quantity(value) > parse_quantity(limits[name]):
            yield _invalid(
                f"{place}.resources.requests", value, f"must be less than or equal to {name} limit of {limits[name]}"
            )
    for name, value in limits.items():
        if parse_quantity(value) < 0:
            yield _invalid(f"{place}.resources.limits[{name}]", value, "must be greater than or equal to 0")


def _pod(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    if old is None:
        yield from _containers(obj.get("spec") or {}, "spec")
        return
    new_spec, old_spec = _frozen(obj["spec"]), _frozen(old["spec"])
    if new_spec != old_spec:
        if not old["spec"].get("nodeName") and {**new_spec, "nodeName": None} == {**old_spec, "nodeName": None}:
            return  # binding
        yield _forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        )


def _frozen(spec: Obj) -> Obj:
    kept = {
        k: v
        for k, v in spec.items()
        if k not in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
    }
    for group in ("containers", "initContainers"):
        if group in kept:
            kept[group] = [{k: v for k, v in c.items() if k not in ("image", "imagePullPolicy")} for c in kept[group]]
    return kept


def _workload(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = obj["spec"]
    selector, template = spec.get("selector") or {}, spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield _invalid("spec.selector", selector, "empty selector is invalid for deployment")
    else:
        try:
            matches = selector_from_object(selector).matches_labels(labels)
        except ApiError as exc:
            yield _invalid("spec.selector", selector, exc.message)
            matches = True
        if not matches:
            yield _invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    for text, why in meta.label_faults(labels):
        yield _invalid("spec.template.metadata.labels", text, why)
    if old is not None:
        yield from _immutable("spec.selector", selector, old["spec"].get("selector"))
    yield from _containers(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in (None, "Always"):
        yield Cause(
            "FieldValueNotSupported",
            "spec.template.spec.restartPolicy",
            f'Unsupported value: "{policy}": supported values: "Always"',
        )
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        yield _forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    rolling = strategy.get("rollingUpdate") or {}
    for name in ("maxSurge", "maxUnavailable"):
        value = rolling.get(name)
        if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdecimal()):
            yield _invalid(
                f"spec.strategy.rollingUpdate.{name}",
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%')",
            )
        elif isinstance(value, int) and value < 0:
            yield _invalid(f"spec.strategy.rollingUpdate.{name}", value, "must be greater than or equal to 0")
    if rolling and all(rolling.get(name) in (0, "0%") for name in ("maxSurge", "maxUnavailable")):
        yield _invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            rolling.get("maxUnavailable"),
            "may not be 0 when `maxSurge` is 0",
        )


def _service(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    ports = spec.get("ports") or []
    kind = spec.get("type")
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield _required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield _required("spec.externalName")
    seen: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number = port.get("protocol"), port.get("port")
        if number in numbers:
            yield Cause("FieldValueDuplicate", f"spec.ports[{index}]", f"Duplicate value: {json_text(port)}")
        numbers.add(number)
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            yield _required(f"spec.ports[{index}].name")
        elif name and (why := meta.name_fault(name, label=True)):
            yield _invalid(f"spec.ports[{index}].name", name, why)
        if name and name in seen:
            yield Cause("FieldValueDuplicate", f"spec.ports[{index}].name", f"Duplicate value: {json_text(name)}")
        seen.add(name)
        target = port.get("targetPort")
        if isinstance(target, int) and not 1 <= target <= 65535:
            yield _invalid(f"spec.ports[{index}].targetPort", target, "must be between 1 and 65535, inclusive")
    for text, why in meta.label_faults(spec.get("selector") or {}):
        yield _invalid("spec.selector", text, why)
    if (
        old is not None
        and kind == old["spec"].get("type") != "ExternalName"
        and spec.get("clusterIP") != old["spec"].get("clusterIP")
    ):
        yield _invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set")


def _frozen_data(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    for key in [*(obj.get("data") or ()), *(obj.get("binaryData") or ())]:
        if not key or len(key) > 253 or not all(c.isalnum() or c in "-_." for c in key):
            yield _invalid(
                f"data[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            )
    size = sum(len(str(value)) for name in ("data", "binaryData") for value in (obj.get(name) or {}).values())
    if size > _MAX_DATA:
        yield Cause("FieldValueTooLong", "", f"Too long: may not be more than {_MAX_DATA} bytes")
    if old is not None and old.get("immutable"):
        if not obj.get("immutable"):
            yield _forbidden("immutable", "field is immutable when `immutable` is set")
        for name in ("data", "binaryData"):
            if obj.get(name) != old.get(name):
                yield _forbidden(name, "field is immutable when `immutable` is set")
    if old is not None and obj["kind"] == "Secret" and obj.get("type") != old.get("type"):
        yield _invalid("type", obj.get("type"), "field is immutable")


def _binding(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    reference = obj.get("roleRef") or {}
    if old is not None and reference != old.get("roleRef"):
        yield _invalid("roleRef", reference, "cannot change roleRef")
    if not reference.get("name"):
        yield _required("roleRef.name")
    kinds = ("Role", "ClusterRole") if obj["kind"] == "RoleBinding" else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        supported = ", ".join(json_text(kind) for kind in kinds)
        yield Cause(
            "FieldValueNotSupported",
            "roleRef.kind",
            f"Unsupported value: {json_text(reference.get('kind'))}: supported values: {supported}",
        )
    for index, subject in enumerate(obj.get("subjects") or ()):
        if subject.get("kind") not in ("User", "Group", "ServiceAccount"):
            yield Cause(
                "FieldValueNotSupported",
                f"subjects[{index}].kind",
                f"Unsupported value: {json_text(subject.get('kind'))}",
            )
        if not subject.get("name"):
            yield _required(f"subjects[{index}].name")
        if (
            subject.get("kind") == "ServiceAccount"
            and not subject.get("namespace")
            and obj["kind"] == "ClusterRoleBinding"
        ):
            yield _required(f"subjects[{index}].namespace")


def _role(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        if not rule.get("verbs"):
            yield _required(f"rules[{index}].verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if obj["kind"] == "Role":
                yield _invalid(
                    f"rules[{index}].nonResourceURLs",
                    rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                )
        elif not rule.get("apiGroups") and "apiGroups" not in rule:
            yield _required(f"rules[{index}].apiGroups", "resource rules must supply at least one api group")
        elif not rule.get("resources"):
            yield _required(f"rules[{index}].resources", "resource rules must supply at least one resource")


def _event(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    place, namespace = involved.get("namespace", ""), obj["metadata"].get("namespace")
    if old is None and (place or "default") != namespace:
        yield _invalid("involvedObject.namespace", place, "does not match event.namespace")


_CHECKS: Final[dict[str, Callable[[Obj, Obj | None], Iterator[Cause]]]] = {
    "pods": _pod,
    "deployments.apps": _workload,
    "replicasets.apps": _workload,
    "daemonsets.apps": _workload,
    "services": _service,
    "configmaps": _frozen_data,
    "secrets": _frozen_data,
    "roles.rbac.authorization.k8s.io": _role,
    "clusterroles.rbac.authorization.k8s.io": _role,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "events": _event,
    "customresourcedefinitions.apiextensions.k8s.io": definition.check,
}


def check(info: ResourceInfo, obj: Obj, old: Obj | None) -> list[Cause]:
    """Faults of an object of a built-in kind."""
    checker = _CHECKS.get(info.bucket)
    return list(checker(obj, old)) if checker is not None else []
