"""Nobody grants by roles and bindings what he does not hold himself.

Source: kubernetes `pkg/registry/rbac/{role,rolebinding}/policybased/storage.go`, `pkg/registry/rbac/escalation_check.go`;
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlsysops_embedded.auth.rbac import Attributes, Authorizer, matches
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import Call, User
from mlsysops_embedded.machinery.resources import ResourceInfo

__all__ = ["EscalationCheck"]

Obj = dict[str, Any]
_GROUP: Final = "rbac.authorization.k8s.io"
_MASTERS: Final = "system:masters"


class EscalationCheck:
    """Looks at every role and binding as it is about to be stored, whichever way it came about.

    Args:
        authorizer: Who holds what.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def __call__(self, call: Call, info: ResourceInfo, old: Obj | None, new: Obj) -> None:
        """Refuses what gives more than its author has.

        Args:
            call: Whose call it is.
            info: Resource of the object.
            old: As it is stored; None where it is made.
            new: As it is to be stored, complete and valid.

        Raises:
            ApiError: 403; 404 where a binding names a role that is absent, as nobody knows what it will give.
        """
        if info.group != _GROUP or _MASTERS in call.user.groups:
            return
        if old is not None and _content(old) == _content(new):
            return
        metadata = new["metadata"]
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        if info.plural in ("roles", "clusterroles"):
            rules = list(new.get("rules") or ())
            asked = Attributes("escalate", _GROUP, info.plural, "", namespace, name)
        else:
            reference = new["roleRef"]
            plural = "roles" if reference["kind"] == "Role" else "clusterroles"
            asked = Attributes("bind", _GROUP, plural, "", namespace, reference["name"])
        if self._authorizer.allowed(call.user, asked):
            return
        if asked.verb == "bind":
            found = self._authorizer.role_rules(new["roleRef"], namespace)
            if found is None:
                raise ApiError.not_found(asked.resource, asked.name, _GROUP)
            rules = found
        if missing := self._missing(call.user, rules, namespace):
            why = f'user "{call.user.name}" (groups={list(call.user.groups)}) is attempting to grant RBAC permissions not currently held:\n'
            why += "\n".join(str({k: v for k, v in rule.items() if v}) for rule in missing)
            raise ApiError.forbidden(info.plural, name, why, _GROUP)

    def _missing(self, user: User, rules: list[Obj], namespace: str) -> list[Obj]:
        """The given rules that go beyond what the user may do."""
        held = list(self._authorizer.rules(user, namespace))
        return [rule for rule in rules if not all(any(_covers(have, part) for have in held) for part in _atoms(rule))]


def _content(obj: Obj) -> Obj:
    """An object without what only its collection depends on, and what the server keeps of it."""
    skipped = ("finalizers", "ownerReferences", "managedFields", "resourceVersion")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in skipped}
    return {**obj, "metadata": metadata}


def _atoms(rule: Obj) -> Iterator[tuple[str, str, str, str, str]]:
    """A rule as (verb, group, resource, name, url) combinations."""
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield verb, "", "", "", url
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or ("",):
                    yield verb, group, resource, name, ""


def _covers(rule: Obj, part: tuple[str, str, str, str, str]) -> bool:
    verb, group, resource, name, url = part
    if not matches(rule.get("verbs"), verb):
        return False
    if url:
        return any(
            have in ("*", url) or (have.endswith("*") and url.startswith(have[:-1]))
            for have in rule.get("nonResourceURLs") or ()
        )
    names = rule.get("resourceNames")
    return (
        matches(rule.get("apiGroups"), group)
        and matches(rule.get("resources"), resource)
        and (not names or name in names)
    )
