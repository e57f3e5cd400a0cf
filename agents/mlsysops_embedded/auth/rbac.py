"""The RBAC authorizer (rbac.authorization.k8s.io/v1).

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import User
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.store import Store

__all__ = ["Attributes", "Authorizer", "matches", "rule_allows"]

Obj = dict[str, Any]
_GROUP: Final = "rbac.authorization.k8s.io"
_PUBLIC: Final = ("/healthz", "/livez", "/readyz", "/version")
_DISCOVERY: Final = ("/api", "/apis", "/openapi")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for; `path` where it is no resource, `node` where a list of pods keeps to those of one node."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    node: str = ""

    def denied(self, user: User) -> ApiError:
        """The 403 of Kubernetes' wording."""
        if self.path:
            return ApiError.of(
                403, "Forbidden", f'forbidden: User "{user.name}" cannot {self.verb} path "{self.path}"', {}
            )
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        place = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        why = f'User "{user.name}" cannot {self.verb} resource "{what}" in API group "{self.group}"{place}'
        return ApiError.forbidden(self.resource, self.name, why, self.group)


def matches(values: Any, wanted: str) -> bool:
    """Whether a list of a rule names something, or everything."""
    return isinstance(values, list) and ("*" in values or wanted in values)


def rule_allows(rule: Mapping[str, Any], asked: Attributes) -> bool:
    """Whether a rule of a role lets it be done."""
    if not matches(rule.get("verbs"), asked.verb):
        return False
    if asked.path:
        return any(
            url == "*" or url == asked.path or (url.endswith("*") and asked.path.startswith(url[:-1]))
            for url in rule.get("nonResourceURLs") or ()
        )
    if not matches(rule.get("apiGroups"), asked.group):
        return False
    resources = rule.get("resources") or ()
    full = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not ("*" in resources or full in resources or (asked.subresource and f"*/{asked.subresource}" in resources)):
        return False
    names = rule.get("resourceNames")
    return not names or asked.name in names


class Authorizer:
    """Decides by the RBAC objects present.

    Args:
        store: Where they are.
        nodes: Decides of nodes, where no RBAC object lets them.
    """

    def __init__(self, store: Store, nodes: Callable[[User, Attributes], bool] | None = None) -> None:
        self._store = store
        self._nodes = nodes
        self._parsed: dict[tuple[str, tuple[str, str]], tuple[int, Obj]] = {}

    def _objects(self, kind: str, namespace: str = "") -> Iterator[Obj]:
        bucket = self._store.bucket(f"{kind}.{_GROUP}")
        for key in bucket.keys(namespace):
            if (obj := self._object(kind, *key)) is not None:
                yield obj

    def _object(self, kind: str, namespace: str, name: str) -> Obj | None:
        entry = self._store.get(f"{kind}.{_GROUP}", (namespace, name))
        if entry is None:
            return None
        handle = (kind, (namespace, name))
        known = self._parsed.get(handle)
        if known is None or known[0] != entry.rv:
            known = self._parsed[handle] = (entry.rv, entry.parse())
        return known[1]

    async def observe(self, info: ResourceInfo, old: Obj | None, new: Obj | None) -> None:
        """Forgets roles and bindings that are gone."""
        if info.group == _GROUP and old is not None and new is None:
            metadata = old["metadata"]
            self._parsed.pop((info.plural, (metadata.get("namespace", ""), metadata["name"])), None)

    def _subject(self, subjects: Any, user: User, namespace: str) -> bool:
        for subject in subjects or ():
            kind, name = subject.get("kind"), subject.get("name")
            if kind == "User" and name == user.name:
                return True
            if kind == "Group" and name in user.groups:
                return True
            place = subject.get("namespace") or namespace
            if kind == "ServiceAccount" and user.name == f"system:serviceaccount:{place}:{name}":
                return True
        return False

    def role_rules(self, reference: Mapping[str, Any], namespace: str) -> list[Obj] | None:
        """Rules of the role that a binding names; None where it is absent."""
        if reference.get("kind") == "Role":
            role = self._object("roles", namespace, str(reference.get("name")))
        else:
            role = self._object("clusterroles", "", str(reference.get("name")))
        return None if role is None else list(role.get("rules") or ())

    def rules(self, user: User, namespace: str) -> Iterator[Obj]:
        """All rules that hold for a user in a namespace (empty: cluster scope)."""
        for binding in self._objects("clusterrolebindings"):
            if self._subject(binding.get("subjects"), user, ""):
                yield from self.role_rules(binding.get("roleRef") or {}, "") or ()
        if namespace:
            for binding in self._objects("rolebindings", namespace):
                if self._subject(binding.get("subjects"), user, namespace):
                    yield from self.role_rules(binding.get("roleRef") or {}, namespace) or ()

    def allowed(self, user: User, asked: Attributes) -> bool:
        """Whether the user may."""
        if "system:masters" in user.groups:
            return True
        if asked.path:
            public = _PUBLIC + (_DISCOVERY if "system:authenticated" in user.groups else ())
            if asked.verb == "get" and any(asked.path == p or asked.path.startswith(f"{p}/") for p in public):
                return True
        if any(rule_allows(rule, asked) for rule in self.rules(user, asked.namespace)):
            return True
        return self._nodes is not None and self._nodes(user, asked)

    def reason(self, user: User, asked: Attributes) -> str:
        """Which binding lets the user do it, in Kubernetes' words; empty where none is needed."""
        places = [("clusterrolebindings", ""), *([("rolebindings", asked.namespace)] if asked.namespace else [])]
        for kind, namespace in places:
            for binding in self._objects(kind, namespace):
                reference, metadata = binding.get("roleRef") or {}, binding["metadata"]
                for subject in binding.get("subjects") or ():
                    if self._subject([subject], user, namespace) and any(
                        rule_allows(rule, asked) for rule in self.role_rules(reference, namespace) or ()
                    ):
                        what = f'RoleBinding "{metadata["name"]}/{namespace}"' if namespace else ""
                        what = what or f'ClusterRoleBinding "{metadata["name"]}"'
                        who = f'{subject.get("kind")} "{subject.get("name")}"'
                        return f'RBAC: allowed by {what} of {reference.get("kind")} "{reference.get("name")}" to {who}'
        return ""

    def demand(self, user: User, asked: Attributes) -> None:
        """Goes on where the user may.

        Raises:
            ApiError: 403.
        """
        if not self.allowed(user, asked):
            raise asked.denied(user)
