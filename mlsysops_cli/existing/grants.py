"""Who gives permissions must have them: what of those of our agents the user of a kubeconfig may not give, asked before anything is changed.

Kubernetes lets somebody write a role who holds everything in it, or may ``escalate`` it; and bind it who holds everything in it, or
may ``bind`` it (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.existing.access import Need, allowed, everything_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api

__all__ = ["ungranted"]

Object = dict[str, Any]
_GROUP = "rbac.authorization.k8s.io"
_FIX = "use an administrator's kubeconfig, or let it escalate and bind roles and clusterroles"
_ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}


def ungranted(api: Api, wanted: Iterable[Object]) -> list[tuple[str, str]]:
    """Return a line, and what to do, for each resource of which permissions cannot be given.

    Args:
        api: The API; it is changed in nothing.
        wanted: Objects that shall be applied; the roles among them are looked at.

    Raises:
        ApiUnreachableError: It does not answer.
        ApiError: It refuses to say.
    """
    roles = [obj for obj in wanted if obj["kind"] in _ROLES]
    if not roles or everything_allowed(api):
        return []
    free: dict[tuple[str, str], bool] = {}
    lacking: dict[str, list[str]] = {}
    for role in roles:
        namespace = role["metadata"].get("namespace") or ""
        kind = _ROLES[role["kind"]]
        if (kind, namespace) not in free:
            need = Need(_GROUP, kind, ("escalate", "bind"), namespace)
            free[kind, namespace] = all(allowed(api, need, verb) for verb in need.verbs)
        if free[kind, namespace]:
            continue
        for need, name in _of(role, namespace):
            verbs = lacking.setdefault(need.title, [])
            verbs += [verb for verb in need.verbs if verb not in verbs and not allowed(api, need, verb, name)]
    return [
        (f"its user may not give agents the right to {', '.join(verbs)} {title}", _FIX)
        for title, verbs in lacking.items()
        if verbs
    ]


def _of(role: Object, namespace: str) -> Iterator[tuple[Need, str]]:
    for rule in role.get("rules") or []:
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield Need(group, resource, tuple(rule["verbs"]), namespace), name
