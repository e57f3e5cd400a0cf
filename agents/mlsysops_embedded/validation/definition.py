"""CustomResourceDefinitions: completion, checks, and the resources they define.

Source: apiextensions-apiserver `pkg/apis/apiextensions/{v1/defaults.go,validation/validation.go}` and the structural schema
rules of https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.machinery import meta
from mlsysops_embedded.machinery.resources import Column, ResourceInfo, ScalePaths
from mlsysops_embedded.validation import rules
from mlsysops_embedded.validation.causes import duplicate, invalid, required
from mlsysops_embedded.validation.rules import Rules
from mlsysops_embedded.validation.schema import json_text
from mlsysops_embedded.validation.structural import structural

if TYPE_CHECKING:
    from mlsysops_embedded.store import Store

__all__ = ["FINALIZER", "check", "complete", "resources", "terminate"]

Obj = dict[str, Any]
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_BUCKET: Final = "customresourcedefinitions.apiextensions.k8s.io"
_APPROVED: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SCALE_ROOTS: Final = {
    "specReplicasPath": (".spec.",),
    "statusReplicasPath": (".status.",),
    "labelSelectorPath": (".spec.", ".status."),
}
_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_rank(version: str) -> tuple[int, int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1alpha1, then others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (0, stage, -int(match[1]), -int(match[3] or 0), "")


def complete(crd: Obj, old: Obj | None, store: Store | None) -> None:
    """Fills in names and status in place: a definition that is accepted is established at once."""
    spec = crd["spec"]
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    status = dict((old or {}).get("status") or {})
    clash = _clash(crd, store)
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    for kind, fine, reason, message in (
        ("NamesAccepted", not clash, "NoConflicts" if not clash else "Conflict", clash or "no conflicts found"),
        (
            "Established",
            not clash or "Established" in conditions,
            "InitialNamesAccepted",
            "the initial names have been accepted",
        ),
    ):
        wanted = "True" if fine else "False"
        if conditions.get(kind, {}).get("status") != wanted:
            conditions[kind] = {
                "type": kind,
                "status": wanted,
                "lastTransitionTime": meta.now(),
                "reason": reason,
                "message": message,
            }
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    status["conditions"] = list(conditions.values())
    status["acceptedNames"] = names if not clash else status.get("acceptedNames") or {"plural": "", "kind": ""}
    status["storedVersions"] = list(dict.fromkeys([*(status.get("storedVersions") or ()), *stored]))
    crd["status"] = status


def terminate(crd: Obj) -> None:
    """Says in its status that a definition is being deleted, and keeps it until its objects are gone."""
    conditions = crd.setdefault("status", {}).setdefault("conditions", [])
    if not any(condition["type"] == "Terminating" for condition in conditions):
        finalizers = crd["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        text = "CustomResource deletion is in progress"
        conditions.append(
            {
                "type": "Terminating",
                "status": "True",
                "lastTransitionTime": meta.now(),
                "reason": "InstanceDeletionInProgress",
                "message": text,
            }
        )


def _clash(crd: Obj, store: Store | None) -> str:
    if store is None:
        return ""
    spec, name = crd["spec"], crd["metadata"].get("name")
    mine = {spec["names"]["plural"], spec["names"].get("singular"), *(spec["names"].get("shortNames") or ())}
    for entry in store.bucket(_BUCKET).objects.values():
        if entry.key[1] == name:
            continue
        other = entry.parse()["spec"]
        if other["group"] != spec["group"]:
            continue
        theirs = {other["names"]["plural"], other["names"].get("singular"), *(other["names"].get("shortNames") or ())}
        if taken := mine & theirs:
            return f'"{min(str(t) for t in taken)}" is already in use'
        if other["names"]["kind"] == spec["names"]["kind"]:
            return f'"{spec["names"]["kind"]}" is already in use'
    return ""


def check(crd: Obj, old: Obj | None) -> Iterator[Cause]:
    """Faults of a definition."""
    spec, name = crd["spec"], crd["metadata"].get("name", "")
    names, versions = spec["names"], spec["versions"]
    wanted = f"{names['plural']}.{spec['group']}"
    if name != wanted:
        yield Cause(
            "FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        )
    if "." not in spec["group"] or meta.name_fault(spec["group"]):
        yield Cause(
            "FieldValueInvalid",
            "spec.group",
            f"Invalid value: {json_text(spec['group'])}: should be a domain with at least one dot",
        )
    for field in ("plural", "singular"):
        if why := meta.dns1035_fault(names.get(field, "")):
            yield Cause(
                "FieldValueInvalid", f"spec.names.{field}", f"Invalid value: {json_text(names.get(field))}: {why}"
            )
    for number, short in enumerate(names.get("shortNames") or ()):
        if why := meta.dns1035_fault(short):
            yield invalid(f"spec.names.shortNames[{number}]", short, why)
    if names.get("listKind") == names["kind"]:
        yield invalid("spec.names.listKind", names["kind"], "kind and listKind may not be the same")
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid("spec.preserveUnknownFields", True, why)
    protected = f".{spec['group']}".endswith((".k8s.io", ".kubernetes.io"))
    if protected and not (crd["metadata"].get("annotations") or {}).get(_APPROVED):
        why = f'protected groups must have approval annotation "{_APPROVED}"'
        yield required(f"metadata.annotations[{_APPROVED}]", why)
    if why := meta.dns1035_fault(names["kind"].lower()):
        yield Cause(
            "FieldValueInvalid",
            "spec.names.kind",
            f"Invalid value: {json_text(names['kind'])}: may have mixed case, but should otherwise match: {why}",
        )
    if not versions:
        yield Cause("FieldValueRequired", "spec.versions", "Required value: must have at least one version")
        return
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield Cause(
            "FieldValueInvalid",
            "spec.versions",
            f"Invalid value: {json_text(versions)[:200]}: must have exactly one version marked as storage version",
        )
    if len({version["name"] for version in versions}) != len(versions):
        yield Cause("FieldValueInvalid", "spec.versions", "Invalid value: must contain unique version names")
    if spec.get("conversion", {}).get("strategy") == "Webhook":
        yield Cause(
            "FieldValueNotSupported",
            "spec.conversion.strategy",
            'Unsupported value: "Webhook": supported values: "None"',
        )
    for index, version in enumerate(versions):
        place = f"spec.versions[{index}]"
        if why := meta.dns1035_fault(version["name"]):
            yield Cause("FieldValueInvalid", f"{place}.name", f"Invalid value: {json_text(version['name'])}: {why}")
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if not isinstance(root, dict):
            yield Cause("FieldValueRequired", f"{place}.schema.openAPIV3Schema", "Required value: schemas are required")
            continue
        yield from _version(version, root, place)
        path = f"{place}.schema.openAPIV3Schema"
        if root.get("type") != "object":
            yield Cause(
                "FieldValueInvalid",
                f"{path}.type",
                f"Invalid value: {json_text(root.get('type'))}: must be object at the root",
            )
        shape = list(structural(root, path))
        yield from shape
        if not shape and root != _root_before(old, version["name"]):
            yield from rules.faults(root, path)
    if old is not None and old["spec"]["scope"] != spec["scope"]:
        yield Cause("FieldValueInvalid", "spec.scope", f"Invalid value: {json_text(spec['scope'])}: field is immutable")
    if old is not None:
        kept = {version["name"] for version in versions}
        for version in (old.get("status") or {}).get("storedVersions") or ():
            if version not in kept:
                yield Cause(
                    "FieldValueInvalid",
                    "status.storedVersions[0]",
                    f"Invalid value: {json_text(version)}: must appear in spec.versions",
                )


def _version(version: Obj, root: Obj, place: str) -> Iterator[Cause]:
    """Faults of what a version says beside its schema."""
    if version.get("deprecationWarning") and not version.get("deprecated"):
        why = "can only be set for deprecated versions"
        yield invalid(f"{place}.deprecationWarning", version["deprecationWarning"], why)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        field = f"{place}.additionalPrinterColumns[{index}]"
        if column.get("type") not in _COLUMN_TYPES:
            yield invalid(f"{field}.type", column.get("type"), f"must be one of {','.join(_COLUMN_TYPES)}")
        if column.get("format") and column["format"] not in _COLUMN_FORMATS:
            yield invalid(f"{field}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
        if not column.get("jsonPath", "").startswith("."):
            yield invalid(f"{field}.JSONPath", column.get("jsonPath"), "must be a simple json path starting with .")
    scale = (version.get("subresources") or {}).get("scale") or {}
    for name, roots in _SCALE_ROOTS.items():
        value = scale.get(name)
        if value and not value.startswith(roots):
            why = f"should be a json path under {' or '.join(root.rstrip('.') for root in roots)}"
            yield invalid(f"{place}.subresources.scale.{name}", value, why)
    seen: set[str] = set()
    for index, selectable in enumerate(version.get("selectableFields") or ()):
        field, value = f"{place}.selectableFields[{index}].jsonPath", selectable.get("jsonPath", "")
        if value in seen:
            yield duplicate(field, value)
        elif not _names_a_scalar(root, value):
            yield invalid(field, value, "is an invalid path: does not refer to a valid field")
        seen.add(value)


def _names_a_scalar(root: Obj, path: str) -> bool:
    node: Any = root
    for part in _dotted(path).split("."):
        node = (node.get("properties") or {}).get(part) if isinstance(node, dict) else None
    return isinstance(node, dict) and node.get("type") in ("string", "integer", "boolean")


def _root_before(old: Obj | None, name: str) -> Any:
    versions = old["spec"]["versions"] if old is not None else ()
    return next((v.get("schema", {}).get("openAPIV3Schema") for v in versions if v["name"] == name), None)


def _has_defaults(node: Any) -> bool:
    if not isinstance(node, dict):
        return False
    children = [*(node.get("properties") or {}).values(), node.get("items"), node.get("additionalProperties")]
    return "default" in node or any(_has_defaults(child) for child in children)


def _dotted(path: str) -> str:
    return path.strip().lstrip(".")


def resources(crd: Obj) -> tuple[ResourceInfo, ...]:
    """The resources that a definition serves, in order of preference."""
    spec = crd["spec"]
    conditions = {c.get("type"): c.get("status") for c in (crd.get("status") or {}).get("conditions") or ()}
    if conditions.get("Established") != "True":
        return ()
    names, group = spec["names"], spec["group"]
    storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
    found = []
    for version in sorted(spec["versions"], key=lambda item: version_rank(item["name"])):
        if not version.get("served"):
            continue
        subs = version.get("subresources") or {}
        scale = subs.get("scale")
        text = version.get("deprecationWarning") or f"{group}/{version['name']} {names['kind']} is deprecated"
        found.append(
            ResourceInfo(
                group=group,
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                singular=names.get("singular") or names["kind"].lower(),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=frozenset(name for name in ("status", "scale") if name in subs),
                bucket=f"{names['plural']}.{group}",
                stored=f"{group}/{storage}",
                schema=version["schema"]["openAPIV3Schema"],
                generation=True,
                scale=ScalePaths(
                    _dotted(scale["specReplicasPath"]),
                    _dotted(scale["statusReplicasPath"]),
                    _dotted(scale.get("labelSelectorPath") or ""),
                )
                if scale
                else None,
                columns=tuple(
                    Column(
                        c["name"],
                        c["type"],
                        c["jsonPath"],
                        c.get("priority") or 0,
                        c.get("format") or "",
                        c.get("description") or "",
                    )
                    for c in version.get("additionalPrinterColumns") or ()
                ),
                custom=True,
                defaults=_has_defaults(version["schema"]["openAPIV3Schema"]),
                list_kind=names.get("listKind") or f"{names['kind']}List",
                warning=text if version.get("deprecated") else "",
                rules=Rules.of(version["schema"]["openAPIV3Schema"]),
                selectable=tuple(_dotted(f["jsonPath"]) for f in version.get("selectableFields") or ()),
            )
        )
    return tuple(found)
