"""What the user of a kubeconfig may do, as the API itself says (``SelfSubjectAccessReview``, authorization.k8s.io/v1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api

__all__ = ["Need", "allowed", "everything_allowed"]

_WRITE = ("get", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Need:
    """Something that must be permitted: verbs on a resource, in a namespace where one is named.

    Attributes:
        group: API group; empty for the core group.
        resource: Plural, with its subresource after a slash where one is meant.
        verbs: Verbs.
        namespace: Namespace; empty for all of them, or for what has none.
    """

    group: str
    resource: str
    verbs: tuple[str, ...] = _WRITE
    namespace: str = ""

    @property
    def title(self) -> str:
        """How the resource is named to a person."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{name} in namespace {self.namespace}" if self.namespace else name


def everything_allowed(api: Api) -> bool:
    """Ask whether the user may do everything, so that nothing else has to be asked."""
    return allowed(api, Need("*", "*"), "*")


def allowed(api: Api, need: Need, verb: str, name: str = "") -> bool:
    """Ask whether one thing is permitted.

    Args:
        api: The API.
        need: On what.
        verb: Which verb.
        name: On one object alone.

    Raises:
        ApiUnreachableError: It does not answer.
        ApiError: It refuses to say.
    """
    resource, _, subresource = need.resource.partition("/")
    attributes = {"group": need.group, "resource": resource, "verb": verb}
    attributes |= {
        key: value
        for key, value in (("subresource", subresource), ("namespace", need.namespace), ("name", name))
        if value
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool((answer.get("status") or {}).get("allowed"))
