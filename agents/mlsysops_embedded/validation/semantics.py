"""Checks between fields of built-in kinds, and what may not change.

Source: kubernetes `pkg/apis/{core,apps,discovery,rbac}/validation/validation.go`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.selectors import selector_from_object
from mlsysops_embedded.validation import definition
from mlsysops_embedded.validation.causes import (
    address_fault,
    duplicate,
    forbidden,
    immutable,
    invalid,
    port_name_faults,
    required,
)
from mlsysops_embedded.validation.events import check_event
from mlsysops_embedded.validation.pods import check_pod, check_pod_spec
from mlsysops_embedded.validation.schema import json_text

__all__ = ["check"]

Obj = dict[str, Any]
#: Bytes of a ConfigMap or Secret (core/v1 MaxSecretSize); of text as encoded, which is never less.
_MAX_DATA: Final = 1024 * 1024


def _workload(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = obj["spec"]
    selector, template = spec.get("selector") or {}, spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, "empty selector is invalid for deployment")
    else:
        try:
            matches = selector_from_object(selector).matches_labels(labels)
        except ApiError as exc:
            yield invalid("spec.selector", selector, exc.message)
            matches = True
        if not matches:
            yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    for text, why in meta.label_faults(labels):
        yield invalid("spec.template.metadata.labels", text, why)
    if old is not None:
        yield from immutable("spec.selector", selector, old["spec"].get("selector"))
    yield from check_pod_spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in (None, "Always"):
        yield Cause(
            "FieldValueNotSupported",
            "spec.template.spec.restartPolicy",
            f'Unsupported value: "{policy}": supported values: "Always"',
        )
    if (template.get("spec") or {}).get("activeDeadlineSeconds"):
        yield forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {obj['kind']} is not Supported"
        )
    deadline = spec.get("progressDeadlineSeconds")
    if obj["kind"] == "Deployment" and deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    rolling = strategy.get("rollingUpdate") or {}
    for name in ("maxSurge", "maxUnavailable"):
        value = rolling.get(name)
        if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdecimal()):
            yield invalid(
                f"spec.strategy.rollingUpdate.{name}",
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%')",
            )
        elif name == "maxUnavailable" and isinstance(value, str) and int(value[:-1]) > 100:
            yield invalid(f"spec.strategy.rollingUpdate.{name}", value, "must not be greater than 100%")
        elif isinstance(value, int) and value < 0:
            yield invalid(f"spec.strategy.rollingUpdate.{name}", value, "must be greater than or equal to 0")
    if rolling and all(rolling.get(name) in (0, "0%") for name in ("maxSurge", "maxUnavailable")):
        yield invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            rolling.get("maxUnavailable"),
            "may not be 0 when `maxSurge` is 0",
        )


def _service(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    ports = spec.get("ports") or []
    kind = spec.get("type")
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    seen: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number = port.get("protocol"), port.get("port")
        if number in numbers:
            yield duplicate(f"spec.ports[{index}]", port)
        numbers.add(number)
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            yield required(f"spec.ports[{index}].name")
        elif name and (why := meta.name_fault(name, label=True)):
            yield invalid(f"spec.ports[{index}].name", name, why)
        if name and name in seen:
            yield duplicate(f"spec.ports[{index}].name", name)
        seen.add(name)
        target = port.get("targetPort")
        if isinstance(target, int) and not 1 <= target <= 65535:
            yield invalid(f"spec.ports[{index}].targetPort", target, "must be between 1 and 65535, inclusive")
        elif isinstance(target, str):
            yield from port_name_faults(f"spec.ports[{index}].targetPort", target)
        if port.get("nodePort") and kind not in ("NodePort", "LoadBalancer"):
            yield forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    if spec.get("externalTrafficPolicy") and kind not in ("NodePort", "LoadBalancer") and not spec.get("externalIPs"):
        text = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], text)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if why := address_fault(address):
            yield invalid(f"spec.externalIPs[{index}]", address, why)
    for text, why in meta.label_faults(spec.get("selector") or {}):
        yield invalid("spec.selector", text, why)
    if (
        old is not None
        and kind == old["spec"].get("type") != "ExternalName"
        and spec.get("clusterIP") != old["spec"].get("clusterIP")
    ):
        yield invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set")


def _frozen_data(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    for key in [*(obj.get("data") or ()), *(obj.get("binaryData") or ())]:
        if not key or len(key) > 253 or not all(c.isalnum() or c in "-_." for c in key):
            yield invalid(
                f"data[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            )
        elif key == "." or key.startswith(".."):
            yield invalid(
                f"data[{key}]", key, f"must not be '{key}'" if key in (".", "..") else "must not start with '..'"
            )
        elif key in (obj.get("data") or ()) and key in (obj.get("binaryData") or ()):
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if obj["kind"] == "Secret":
        yield from _secret(obj)
    size = sum(len(str(value)) for name in ("data", "binaryData") for value in (obj.get(name) or {}).values())
    if size > _MAX_DATA:
        yield Cause("FieldValueTooLong", "", f"Too long: may not be more than {_MAX_DATA} bytes")
    if old is not None and old.get("immutable"):
        if not obj.get("immutable"):
            yield forbidden("immutable", "field is immutable when `immutable` is set")
        for name in ("data", "binaryData"):
            if obj.get(name) != old.get(name):
                yield forbidden(name, "field is immutable when `immutable` is set")
    if old is not None and obj["kind"] == "Secret" and obj.get("type") != old.get("type"):
        yield invalid("type", obj.get("type"), "field is immutable")


#: Type of a Secret -> what its data has to hold (all, or for `basic-auth` one of them).
_SECRET_DATA: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/basic-auth": ("username", "password"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_ACCOUNT: Final = "kubernetes.io/service-account.name"


def _secret(obj: Obj) -> Iterator[Cause]:
    kind, data = obj.get("type") or "", obj.get("data") or {}
    if kind == "kubernetes.io/service-account-token" and not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
        yield required(f"metadata.annotations[{_ACCOUNT}]")
    wanted = _SECRET_DATA.get(kind, ())
    if kind == "kubernetes.io/basic-auth" and any(key in data for key in wanted):
        return
    for key in wanted:
        if key not in data:
            yield required(f"data[{key}]")
        elif key.startswith(".docker") and not _is_json(data[key]):
            yield invalid(f"data[{key}]", "<secret contents redacted>", "is no JSON")


def _is_json(encoded: str) -> bool:
    try:
        orjson.loads(base64.b64decode(encoded))
    except ValueError:
        return False
    return True


def _endpoints(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    """Unlike Kubernetes, takes loopback addresses: the pods of this engine have such."""
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            yield required(f"endpoints[{index}].addresses", "must contain at least 1 address")
        for number, address in enumerate(addresses):
            if obj.get("addressType") != "FQDN" and (why := address_fault(address)):
                yield invalid(f"endpoints[{index}].addresses[{number}]", address, why)
    if old is not None:
        yield from immutable("addressType", obj.get("addressType"), old.get("addressType"))


def _binding(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    reference = obj.get("roleRef") or {}
    if old is not None and reference != old.get("roleRef"):
        yield invalid("roleRef", reference, "cannot change roleRef")
    if not reference.get("name"):
        yield required("roleRef.name")
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
            yield required(f"subjects[{index}].name")
        if (
            subject.get("kind") == "ServiceAccount"
            and not subject.get("namespace")
            and obj["kind"] == "ClusterRoleBinding"
        ):
            yield required(f"subjects[{index}].namespace")


def _role(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        if not rule.get("verbs"):
            yield required(f"rules[{index}].verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if obj["kind"] == "Role":
                yield invalid(
                    f"rules[{index}].nonResourceURLs",
                    rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                )
        elif not rule.get("apiGroups") and "apiGroups" not in rule:
            yield required(f"rules[{index}].apiGroups", "resource rules must supply at least one api group")
        elif not rule.get("resources"):
            yield required(f"rules[{index}].resources", "resource rules must supply at least one resource")


def _namespace(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    for index, name in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        if why := meta.finalizer_fault(name):
            yield invalid(f"spec.finalizers[{index}]", name, why)
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Terminating" and not obj["metadata"].get("deletionTimestamp"):
        yield invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


_CHECKS: Final[dict[str, Callable[[Obj, Obj | None], Iterator[Cause]]]] = {
    "pods": check_pod,
    "namespaces": _namespace,
    "deployments.apps": _workload,
    "replicasets.apps": _workload,
    "daemonsets.apps": _workload,
    "services": _service,
    "configmaps": _frozen_data,
    "secrets": _frozen_data,
    "endpointslices.discovery.k8s.io": _endpoints,
    "roles.rbac.authorization.k8s.io": _role,
    "clusterroles.rbac.authorization.k8s.io": _role,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "events": check_event,
    "customresourcedefinitions.apiextensions.k8s.io": definition.check,
}


def check(info: ResourceInfo, obj: Obj, old: Obj | None) -> list[Cause]:
    """Faults of an object of a built-in kind."""
    checker = _CHECKS.get(info.bucket)
    return list(checker(obj, old)) if checker is not None else []
