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
from mlsysops_embedded.validation import rules, schema
from mlsysops_embedded.validation.rules import Rules
from mlsysops_embedded.validation.schema import json_text

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.reading import Reader

__all__ = ["FINALIZER", "check", "complete", "resources", "terminate"]

Obj = dict[str, Any]
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_BUCKET: Final = "customresourcedefinitions.apiextensions.k8s.io"
_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean")
_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_FORBIDDEN: Final = (
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "writeOnly",
    "xml",
)


def version_rank(version: str) -> tuple[int, int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1alpha1, then others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (0, stage, -int(match[1]), -int(match[3] or 0), "")


def complete(crd: Obj, old: Obj | None, reader: Reader | None) -> None:
    """Fills in names and status in place: a definition that is accepted is established at once."""
    spec = crd["spec"]
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    status = dict((old or {}).get("status") or {})
    clash = _clash(crd, reader)
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


def _clash(crd: Obj, reader: Reader | None) -> str:
    if reader is None:
        return ""
    spec, name = crd["spec"], crd["metadata"].get("name")
    mine = {spec["names"]["plural"], spec["names"].get("singular"), *(spec["names"].get("shortNames") or ())}
    for entry in reader.store.bucket(_BUCKET).objects.values():
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
        path = f"{place}.schema.openAPIV3Schema"
        if root.get("type") != "object":
            yield Cause(
                "FieldValueInvalid",
                f"{path}.type",
                f"Invalid value: {json_text(root.get('type'))}: must be object at the root",
            )
        shape = list(_structural(root, path))
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


def _root_before(old: Obj | None, name: str) -> Any:
    versions = old["spec"]["versions"] if old is not None else ()
    return next((v.get("schema", {}).get("openAPIV3Schema") for v in versions if v["name"] == name), None)


def _structural(node: Any, path: str, *, depth: int = 0) -> Iterator[Cause]:
    if not isinstance(node, dict):
        yield Cause("FieldValueInvalid", path, f"Invalid value: {json_text(node)}: must be a schema")
        return
    for key in _FORBIDDEN:
        if key in node:
            yield Cause("FieldValueForbidden", f"{path}.{key}", f"Forbidden: {key} is not supported")
    kind = node.get("type")
    loose = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if kind is None and not loose:
        yield Cause(
            "FieldValueRequired",
            f"{path}.type",
            "Required value: must not be empty for specified object fields"
            if depth
            else "Required value: must not be empty at the root",
        )
    elif kind is not None and kind not in _TYPES:
        yield Cause(
            "FieldValueNotSupported",
            f"{path}.type",
            f"Unsupported value: {json_text(kind)}: supported values: {', '.join(json_text(t) for t in sorted(_TYPES))}",
        )
    if node.get("uniqueItems"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    if node.get("properties") and node.get("additionalProperties"):
        yield Cause(
            "FieldValueForbidden",
            f"{path}.additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        )
    if kind == "array" and not isinstance(node.get("items"), dict):
        yield Cause("FieldValueRequired", f"{path}.items", "Required value: must be specified")
    if "pattern" in node:
        try:
            schema.compile_pattern(node["pattern"])
        except (ValueError, TypeError) as exc:
            yield Cause(
                "FieldValueInvalid",
                f"{path}.pattern",
                f"Invalid value: {json_text(node['pattern'])}: must be a valid regular expression: {exc}",
            )
    if node.get("x-kubernetes-list-type") == "map" and not node.get("x-kubernetes-list-map-keys"):
        yield Cause(
            "FieldValueRequired",
            f"{path}.x-kubernetes-list-map-keys",
            "Required value: must not be empty if x-kubernetes-list-type is map",
        )
    for name, value in (("required", list), ("enum", list), ("properties", dict)):
        if name in node and not isinstance(node[name], value):
            yield Cause(
                "FieldValueInvalid",
                f"{path}.{name}",
                f"Invalid value: {json_text(node[name])}: must be a {'list' if value is list else 'map'}",
            )
            return
    for key, child in (node.get("properties") or {}).items():
        if depth == 0 and key in ("apiVersion", "kind", "metadata"):
            continue
        yield from _structural(child, f"{path}.properties[{key}]", depth=depth + 1)
    if isinstance(node.get("items"), dict):
        yield from _structural(node["items"], f"{path}.items", depth=depth + 1)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _structural(node["additionalProperties"], f"{path}.additionalProperties", depth=depth + 1)
    if "default" in node:
        for cause in schema.validate(node["default"], node, "default"):
            yield Cause("FieldValueInvalid", f"{path}.{cause['field']}", cause["message"])


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
