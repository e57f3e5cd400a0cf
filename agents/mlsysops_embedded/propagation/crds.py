"""Definitions of the Karmada kinds that this engine understands.

Source: Karmada's API reference (cluster/v1alpha1, policy/v1alpha1, work/v1alpha1 and v1alpha2). What would change where
something goes or what it becomes there, and is not built, is refused by a rule: it would be reported as done. Other fields
that are not acted upon are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlsysops_embedded.client import Object

__all__ = ["karmada_crds"]

_ANY: Any = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_STRING: Any = {"type": "string"}
_STRINGS: Any = {"type": "array", "items": _STRING}
_SELECTOR: Any = {
    "type": "object",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": _STRING},
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {"key": _STRING, "operator": _STRING, "values": _STRINGS},
            },
        },
    },
}
_FIELD_SELECTOR: Any = {
    "type": "object",
    "properties": {
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {
                    "key": {"type": "string", "enum": ["provider", "region", "zone"]},
                    "operator": {"type": "string", "enum": ["In", "NotIn"]},
                    "values": _STRINGS,
                },
            },
        },
    },
}
_AFFINITY: Any = {
    **_ANY,
    "properties": {
        "clusterNames": _STRINGS,
        "exclude": _STRINGS,
        "labelSelector": _SELECTOR,
        "fieldSelector": _FIELD_SELECTOR,
    },
}


def _refused(field: str) -> Object:
    """A rule that refuses a field."""
    return {
        "rule": f"!has(self.{field}) || size(self.{field}) == 0",
        "message": f"{field} is not supported by this engine",
    }


_RESOURCES: Any = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": _STRING,
            "kind": _STRING,
            "namespace": _STRING,
            "name": _STRING,
            "labelSelector": _SELECTOR,
        },
    },
}
_PLACEMENT: Any = {
    **_ANY,
    "x-kubernetes-validations": [
        _refused("spreadConstraints"),
        {
            "rule": "!has(self.clusterAffinity) || !has(self.clusterAffinities) || size(self.clusterAffinities) == 0",
            "message": "clusterAffinities cannot co-exist with clusterAffinity",
        },
    ],
    "properties": {
        "clusterAffinity": _AFFINITY,
        "clusterAffinities": {"type": "array", "items": _AFFINITY},
        "clusterTolerations": {"type": "array", "items": _ANY},
        "spreadConstraints": {"type": "array", "items": _ANY},
        "replicaScheduling": {
            **_ANY,
            "properties": {
                "replicaSchedulingType": {"type": "string", "enum": ["Duplicated", "Divided"], "default": "Divided"},
                "replicaDivisionPreference": {"type": "string", "enum": ["Aggregated", "Weighted"]},
                "weightPreference": {
                    **_ANY,
                    "x-kubernetes-validations": [_refused("dynamicWeight")],
                    "properties": {
                        "dynamicWeight": _STRING,
                        "staticWeightList": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["targetCluster", "weight"],
                                "properties": {
                                    "targetCluster": _AFFINITY,
                                    "weight": {"type": "integer", "format": "int64", "minimum": 1},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
#: Whether changes are held back, from all clusters or from some (policy/v1alpha1, ``Suspension``).
_SUSPENSION: Any = {
    **_ANY,
    "properties": {
        "dispatching": {"type": "boolean"},
        "dispatchingOnClusters": {
            **_ANY,
            "properties": {"clusterNames": {"type": "array", "items": _STRING}},
        },
    },
}
_POLICY: Any = {
    **_ANY,
    "required": ["resourceSelectors"],
    "properties": {
        "resourceSelectors": {**_RESOURCES, "minItems": 1},
        "placement": _PLACEMENT,
        "priority": {"type": "integer", "format": "int32", "default": 0},
        "preemption": {"type": "string", "enum": ["Always", "Never"], "default": "Never"},
        "conflictResolution": {"type": "string", "enum": ["Abort", "Overwrite"], "default": "Abort"},
        "propagateDeps": {"type": "boolean"},
        "preserveResourcesOnDeletion": {"type": "boolean"},
        "suspension": _SUSPENSION,
        "schedulerName": {"type": "string", "default": "default-scheduler"},
    },
}


def _operator(*more: str) -> Object:
    return {"type": "string", "enum": ["add", "remove", *more]}


def _overriders(required: list[str], **properties: Any) -> Object:
    """A list of overriders of one kind."""
    item = {"type": "object", "required": required, "properties": properties}
    return {"type": "array", "items": item}


_WORDS: Any = _overriders(["containerName", "operator"], containerName=_STRING, operator=_operator(), value=_STRINGS)
_PAIRS: Any = _overriders(
    ["operator", "value"],
    operator=_operator("replace"),
    value={"type": "object", "additionalProperties": _STRING},
)
_OVERRIDERS: Any = {
    **_ANY,
    "x-kubernetes-validations": [_refused("fieldOverrider")],
    "properties": {
        "plaintext": _overriders(
            ["path", "operator"],
            path=_STRING,
            operator=_operator("replace"),
            value={"x-kubernetes-preserve-unknown-fields": True},
        ),
        "imageOverrider": _overriders(
            ["component", "operator"],
            predicate={"type": "object", "required": ["path"], "properties": {"path": _STRING}},
            component={"type": "string", "enum": ["Registry", "Repository", "Tag"]},
            operator=_operator("replace"),
            value=_STRING,
        ),
        "commandOverrider": _WORDS,
        "argsOverrider": _WORDS,
        "labelsOverrider": _PAIRS,
        "annotationsOverrider": _PAIRS,
        "fieldOverrider": {"type": "array", "items": _ANY},
    },
}
_OVERRIDE: Any = {
    **_ANY,
    "required": ["overrideRules"],
    "properties": {
        "resourceSelectors": _RESOURCES,
        "overrideRules": {
            "type": "array",
            "items": {
                **_ANY,
                "required": ["overriders"],
                "properties": {
                    "targetCluster": _AFFINITY,
                    "overriders": _OVERRIDERS,
                },
            },
        },
    },
}
_CONDITIONS: Any = {"type": "array", "items": _ANY}
_BINDING: Any = {
    **_ANY,
    "required": ["resource"],
    "properties": {
        "resource": {**_ANY, "required": ["apiVersion", "kind", "name"]},
        "clusters": {"type": "array", "items": {**_ANY, "required": ["name"]}},
        "placement": _PLACEMENT,
        "suspension": _SUSPENSION,
        "replicas": {"type": "integer", "format": "int32"},
    },
}
_BINDING_STATUS: Any = {
    **_ANY,
    "properties": {"conditions": _CONDITIONS, "aggregatedStatus": {"type": "array", "items": _ANY}},
}
_WORK: Any = {
    **_ANY,
    "properties": {
        "workload": {
            "type": "object",
            "properties": {
                "manifests": {
                    "type": "array",
                    "items": {**_ANY, "x-kubernetes-embedded-resource": True},
                }
            },
        },
        "preserveResourcesOnDeletion": {"type": "boolean"},
        "suspendDispatching": {"type": "boolean"},
    },
}
_WORK_STATUS: Any = {
    **_ANY,
    "properties": {"conditions": _CONDITIONS, "manifestStatuses": {"type": "array", "items": _ANY}},
}
_CLUSTER: Any = {
    **_ANY,
    "required": ["syncMode"],
    "properties": {
        "syncMode": {"type": "string", "enum": ["Push", "Pull"]},
        "provider": _STRING,
        "region": _STRING,
        "zone": _STRING,
        "zones": _STRINGS,
        "taints": {"type": "array", "items": _ANY},
    },
}
_CLUSTER_STATUS: Any = {**_ANY, "properties": {"conditions": _CONDITIONS, "kubernetesVersion": _STRING}}

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _column(name: str, path: str, kind: str = "string") -> Object:
    return {"name": name, "type": kind, "jsonPath": path}


_POLICY_COLUMNS = [
    _column("Conflict-Resolution", ".spec.conflictResolution"),
    _column("Priority", ".spec.priority", "integer"),
    _AGE,
]
_BINDING_COLUMNS = [
    _column("Scheduled", '.status.conditions[?(@.type=="Scheduled")].status'),
    _column("FullyApplied", '.status.conditions[?(@.type=="FullyApplied")].status'),
    _AGE,
]
_CLUSTER_COLUMNS = [
    _column("Version", ".status.kubernetesVersion"),
    _column("Mode", ".spec.syncMode"),
    _column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    _AGE,
]
_WORK_COLUMNS = [
    _column("Workload-Kind", ".spec.workload.manifests[*].kind"),
    _column("Applied", '.status.conditions[?(@.type=="Applied")].status'),
    _AGE,
]

#: kind, plural, group, version, namespaced, short name, spec, status, printer columns
_KINDS: tuple[tuple[str, str, str, str, bool, str, Any, Any, list[Object]], ...] = (
    ("Cluster", "clusters", "cluster", "v1alpha1", False, "", _CLUSTER, _CLUSTER_STATUS, _CLUSTER_COLUMNS),
    ("PropagationPolicy", "propagationpolicies", "policy", "v1alpha1", True, "pp", _POLICY, None, _POLICY_COLUMNS),
    (
        "ClusterPropagationPolicy",
        "clusterpropagationpolicies",
        "policy",
        "v1alpha1",
        False,
        "cpp",
        _POLICY,
        None,
        _POLICY_COLUMNS,
    ),
    ("OverridePolicy", "overridepolicies", "policy", "v1alpha1", True, "op", _OVERRIDE, None, [_AGE]),
    ("ClusterOverridePolicy", "clusteroverridepolicies", "policy", "v1alpha1", False, "cop", _OVERRIDE, None, [_AGE]),
    ("Work", "works", "work", "v1alpha1", True, "wk", _WORK, _WORK_STATUS, _WORK_COLUMNS),
    (
        "ResourceBinding",
        "resourcebindings",
        "work",
        "v1alpha2",
        True,
        "rb",
        _BINDING,
        _BINDING_STATUS,
        _BINDING_COLUMNS,
    ),
    (
        "ClusterResourceBinding",
        "clusterresourcebindings",
        "work",
        "v1alpha2",
        False,
        "crb",
        _BINDING,
        _BINDING_STATUS,
        _BINDING_COLUMNS,
    ),
)


def karmada_crds() -> list[Object]:
    """CustomResourceDefinitions of all Karmada kinds, ready to apply."""
    result = []
    for kind, plural, group, version, namespaced, short, spec, status, columns in _KINDS:
        properties: Object = {
            "apiVersion": _STRING,
            "kind": _STRING,
            "metadata": {"type": "object"},
            "spec": spec,
        }
        if status is not None:
            properties["status"] = status
        names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
        result.append(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{group}.karmada.io"},
                "spec": {
                    "group": f"{group}.karmada.io",
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "names": {**names, "categories": ["karmada-io"], **({"shortNames": [short]} if short else {})},
                    "versions": [
                        {
                            "name": version,
                            "served": True,
                            "storage": True,
                            "schema": {
                                "openAPIV3Schema": {"type": "object", "properties": properties, "required": ["spec"]}
                            },
                            **({"subresources": {"status": {}}} if status is not None else {}),
                            "additionalPrinterColumns": columns,
                        }
                    ],
                },
            }
        )
    return result
