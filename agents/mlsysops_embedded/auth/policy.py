"""The roles and bindings that every control plane begins with (plugin/pkg/auth/authorizer/rbac/bootstrappolicy)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["NODE_RULES", "default_policy"]

Obj = dict[str, Any]
_READ: Final = ["get", "list", "watch"]
_WRITE: Final = ["create", "delete", "deletecollection", "patch", "update"]
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_VIEW_CORE: Final = [
    "configmaps", "endpoints", "events", "namespaces", "namespaces/status", "pods", "pods/log", "pods/status", "serviceaccounts",
    "services", "services/status",
]  # fmt: skip
_VIEW_APPS: Final = [
    "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status",
    "replicasets", "replicasets/scale", "replicasets/status",
]  # fmt: skip
_EDIT_CORE: Final = [
    "configmaps", "endpoints", "pods", "pods/eviction", "pods/exec", "pods/attach", "pods/portforward", "secrets",
    "serviceaccounts", "services", "events",
]  # fmt: skip
_EDIT_APPS: Final = [
    "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
]  # fmt: skip


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Obj:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


#: What nodes may at most; `auth.nodes` says of which objects.
NODE_RULES: Final = [
    _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
    _rule(["authorization.k8s.io"], ["subjectaccessreviews", "localsubjectaccessreviews"], ["create"]),
    _rule([""], ["services", "endpoints"], _READ),
    _rule([""], ["configmaps", "secrets"], _READ),
    _rule([""], ["nodes"], ["create", *_READ, "update", "patch"]),
    _rule([""], ["nodes/status"], ["update", "patch"]),
    _rule([""], ["pods"], [*_READ, "delete"]),
    _rule([""], ["pods/status"], ["update", "patch"]),
    _rule([""], ["pods/eviction"], ["create"]),
    _rule([""], ["events"], ["create", "update", "patch"]),
    _rule([""], ["serviceaccounts"], ["get"]),
    _rule([""], ["serviceaccounts/token"], ["create"]),
    _rule(["events.k8s.io"], ["events"], ["create", "update", "patch"]),
    _rule(["coordination.k8s.io"], ["leases"], ["create", "delete", "get", "patch", "update"]),
    _rule(["discovery.k8s.io"], ["endpointslices"], _READ),
]


def _roles() -> dict[str, list[Obj]]:
    view = [
        _rule([""], _VIEW_CORE, _READ),
        _rule(["apps"], _VIEW_APPS, _READ),
        _rule(["discovery.k8s.io"], ["endpointslices"], _READ),
        _rule(["coordination.k8s.io"], ["leases"], _READ),
        _rule(["events.k8s.io"], ["events"], _READ),
        _rule(["metrics.k8s.io"], ["nodes", "pods"], _READ),
    ]
    edit = [
        *view,
        _rule([""], ["secrets"], _READ),
        _rule([""], _EDIT_CORE, _WRITE),
        _rule([""], ["serviceaccounts"], ["impersonate"]),
        _rule([""], ["serviceaccounts/token"], ["create"]),
        _rule(["apps"], _EDIT_APPS, _WRITE),
        _rule(["coordination.k8s.io"], ["leases"], _WRITE),
        _rule(["events.k8s.io"], ["events"], _WRITE),
    ]
    admin = [
        *edit,
        _rule(["authorization.k8s.io"], ["localsubjectaccessreviews"], ["create"]),
        _rule(["rbac.authorization.k8s.io"], ["roles", "rolebindings"], [*_READ, *_WRITE]),
    ]
    discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ]
    public = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
    return {
        "cluster-admin": [_rule(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
        "admin": admin,
        "edit": edit,
        "view": view,
        "system:node": NODE_RULES,
        "system:basic-user": [
            _rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
            _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
        ],
        "system:discovery": [{"nonResourceURLs": discovery, "verbs": ["get"]}],
        "system:public-info-viewer": [{"nonResourceURLs": public, "verbs": ["get"]}],
        "system:auth-delegator": [
            _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
            _rule(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
        ],
    }


_BINDINGS: Final = {
    "cluster-admin": ["system:masters"],
    "system:node": [],  # nodes have an authorizer of their own, which looks at what they ask for
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}


def default_policy() -> Iterator[tuple[str, Obj]]:
    """(plural, object) of every default ClusterRole and ClusterRoleBinding."""
    for name, rules in _roles().items():
        yield "clusterroles", {"metadata": {"name": name, "labels": _LABELS}, "rules": rules}
    group = "rbac.authorization.k8s.io"
    for name, groups in _BINDINGS.items():
        yield (
            "clusterrolebindings",
            {
                "metadata": {"name": name, "labels": _LABELS},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": group, "kind": "Group", "name": item} for item in groups],
            },
        )
