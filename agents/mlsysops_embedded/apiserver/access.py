"""Reviews of access and identity (authorization.k8s.io/v1, authentication.k8s.io/v1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlsysops_embedded.auth.authn import Authenticator
from mlsysops_embedded.auth.nodes import NodeAccess
from mlsysops_embedded.auth.rbac import Attributes, Authorizer
from mlsysops_embedded.auth.tokens import AUDIENCE
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery.call import Call, User
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import conform

__all__ = ["Access"]

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """Who one is and what one may."""

    authenticator: Authenticator
    authorizer: Authorizer
    nodes: NodeAccess

    def token(self, call: Call, account: Obj, request: Obj) -> Obj:
        """A token of a ServiceAccount (TokenRequest).

        Raises:
            ApiError: 400, 403, 404, 409 or 422 where it cannot be given.
        """
        self.nodes.admit_token(call.user, account, request)
        return self.authenticator.token_request(account, request)

    def review(self, call: Call, info: ResourceInfo, namespace: str, obj: Obj) -> Obj:
        """Answers a review.

        Raises:
            ApiError: 400 or 422 where it is malformed.
        """
        obj = conform.decode(call, info, obj)
        obj["metadata"] = {"creationTimestamp": None}
        answer = {
            "SelfSubjectReview": self._who,
            "SelfSubjectAccessReview": self._own_access,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._local_access,
            "SelfSubjectRulesReview": self._rules,
            "TokenReview": self._token,
        }[info.kind]
        return {**obj, "status": answer(call.user, obj.get("spec") or {}, namespace)}

    @staticmethod
    def _user(user: User) -> Obj:
        found: Obj = {"username": user.name, "groups": list(user.groups)}
        if user.uid:
            found["uid"] = user.uid
        if user.extra:
            found["extra"] = dict(user.extra)
        return found

    def _who(self, user: User, spec: Obj, namespace: str) -> Obj:
        return {"userInfo": self._user(user)}

    def _decide(self, user: User | None, spec: Obj, kind: str) -> Obj:
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        causes = []
        if (resource is None) == (other is None):
            text = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            causes.append(Cause("FieldValueInvalid", "spec.resourceAttributes", text))
        if user is None:
            text = "Invalid value: at least one of user or group must be specified"
            causes.append(Cause("FieldValueInvalid", "spec.user", text))
        if causes or user is None:
            raise ApiError.invalid(kind, "", causes, "authorization.k8s.io")
        if other is not None:
            asked = Attributes(other.get("verb", ""), path=other.get("path", "") or "/")
        else:
            resource = resource or {}
            asked = Attributes(
                resource.get("verb", ""), resource.get("group", ""), resource.get("resource", ""), resource.get("subresource", ""),
                resource.get("namespace", ""), resource.get("name", ""),
            )  # fmt: skip
        allowed = self.authorizer.allowed(user, asked)
        reason = self.authorizer.reason(user, asked) if allowed else ""
        return {"allowed": allowed, **({"reason": reason} if reason else {})}

    def _own_access(self, user: User, spec: Obj, namespace: str) -> Obj:
        return self._decide(user, spec, "SelfSubjectAccessReview")

    def _access(self, user: User, spec: Obj, namespace: str) -> Obj:
        named = spec.get("user") or spec.get("groups")
        subject = User(spec.get("user", ""), tuple(spec.get("groups") or ())) if named else None
        return self._decide(subject, spec, "SubjectAccessReview")

    def _rules(self, user: User, spec: Obj, namespace: str) -> Obj:
        if not spec.get("namespace"):
            raise ApiError.bad_request("no namespace on request")
        resources: list[Obj] = []
        others: list[Obj] = []
        rules = list(self.authorizer.rules(user, spec["namespace"]))
        if "system:masters" in user.groups:
            rules.append({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
            rules.append({"nonResourceURLs": ["*"], "verbs": ["*"]})
        for rule in rules:
            (others if rule.get("nonResourceURLs") else resources).append(rule)
        return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}

    def _local_access(self, user: User, spec: Obj, namespace: str) -> Obj:
        asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if asked != namespace:
            text = f'Invalid value: "{asked}": must match metadata.namespace'
            cause = Cause("FieldValueInvalid", "spec.resourceAttributes.namespace", text)
            raise ApiError.invalid("LocalSubjectAccessReview", "", [cause], "authorization.k8s.io")
        return self._access(user, spec, namespace)

    def _token(self, user: User, spec: Obj, namespace: str) -> Obj:
        if not spec.get("token"):
            raise ApiError.bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or (AUDIENCE,))
        found = self.authenticator.token_user(str(spec.get("token", "")), audiences)
        if found is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        shared = self.authenticator.audiences(str(spec.get("token", "")), audiences)
        return {"authenticated": True, "user": self._user(found), "audiences": shared}
