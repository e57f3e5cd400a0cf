"""Roles, bindings and reviews of who may do what."""

from __future__ import annotations

import itertools

from kube_api import Api, Obj, path, wait_for

RBAC = "rbac.authorization.k8s.io"
_COUNTER = itertools.count(1)


def rule(verbs: list[str], resources: list[str], *names: str, group: str = "") -> Obj:
    made: Obj = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    if names:
        made["resourceNames"] = list(names)
    return made


def role(name: str, *rules: Obj, kind: str = "Role") -> Obj:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, role_name: str, *subjects: Obj, kind: str = "RoleBinding", role_kind: str = "Role") -> Obj:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role_name},
        "subjects": list(subjects),
    }


def user(name: str) -> Obj:
    return {"apiGroup": RBAC, "kind": "User", "name": name}


def grant(api: Api, namespace: str, subject: Obj, *rules: Obj) -> None:
    """Gives a subject rights in a namespace, and waits until they count: Kubernetes learns of them by a watch."""
    name = f"grant-{next(_COUNTER)}"
    api.create(path("roles", namespace), role(name, *rules))
    witness = f"witness-of-{name}"
    api.create(path("rolebindings", namespace), binding(name, name, subject, user(witness)))
    resource, _, subresource = rules[0]["resources"][0].partition("/")
    asked = {
        "namespace": namespace,
        "verb": rules[0]["verbs"][0],
        "group": rules[0]["apiGroups"][0],
        "resource": resource,
        "subresource": subresource,
        "name": (rules[0].get("resourceNames") or [""])[0],
    }
    spec = {"user": witness, "resourceAttributes": asked}
    wait_for("rights count", lambda: review(api, "SubjectAccessReview", spec)["status"]["allowed"])


def review(api: Api, kind: str, spec: Obj, namespace: str = "") -> Obj:
    scope = f"/namespaces/{namespace}" if namespace else ""
    url = f"/apis/authorization.k8s.io/v1{scope}/{kind.lower()}s"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    return api.create(url, body)
