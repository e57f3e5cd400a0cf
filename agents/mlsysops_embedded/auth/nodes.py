"""What nodes may: their own Node and Lease, the pods bound to them, and what those pods name.

Source: kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go`, `plugin/pkg/admission/noderestriction/admission.go`;
https://kubernetes.io/docs/reference/access-authn-authz/node/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlsysops_core.node_labels import kubelet_may_set

from mlsysops_embedded.auth.policy import NODE_RULES
from mlsysops_embedded.auth.rbac import Attributes, rule_allows
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.call import Call, User
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.store import Store

__all__ = ["NodeAccess"]

Obj = dict[str, Any]
_GROUP: Final = "system:nodes"
_PREFIX: Final = "system:node:"
_LEASES: Final = "kube-node-lease"
_READ: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class _Uses:
    """A version of a pod: where it runs, and what it names there as (bucket, name)."""

    rv: int
    node: str
    names: frozenset[tuple[str, str]]


class NodeAccess:
    """Authorises requests of nodes, and checks what nodes write.

    Args:
        store: Where pods are looked up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, dict[str, _Uses]] = {}

    def allowed(self, user: User, asked: Attributes) -> bool:
        """Whether the user is a node and may, as a node."""
        node = _node(user)
        if not node or asked.path or not any(rule_allows(rule, asked) for rule in NODE_RULES):
            return False
        bucket = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        if bucket in ("secrets", "configmaps"):
            return bool(asked.name) and not asked.subresource and self._used(node, asked.namespace, bucket, asked.name)
        if bucket == "serviceaccounts":
            return self._used(node, asked.namespace, bucket, asked.name)
        if bucket == "nodes":
            return asked.name == node or asked.verb == "create"
        if bucket == "leases.coordination.k8s.io":
            return asked.namespace == _LEASES and (asked.name == node or (asked.verb == "create" and not asked.name))
        if bucket == "pods":
            if asked.verb in ("list", "watch") and not asked.name:
                return asked.node == node
            # One that is absent is not found, which tells no more than the name that was asked for.
            pod = self._uses(asked.namespace).get(asked.name)
            return bool(asked.name) and (pod is None or pod.node == node)
        return True

    def guard(self, call: Call, info: ResourceInfo, old: Obj | None, new: Obj) -> None:
        """Refuses what a node writes beyond itself and its pods.

        Args:
            call: Whose call it is.
            info: Resource of the object.
            old: As it is stored; None where it is made.
            new: As it is to be stored.

        Raises:
            ApiError: 403.
        """
        node = _node(call.user)
        if not node:
            return
        name = new["metadata"]["name"]
        why = ""
        if info.bucket == "nodes":
            why = _node_fault(node, name, old, new)
        elif info.bucket == "leases.coordination.k8s.io":
            if (new["metadata"].get("namespace"), name) != (_LEASES, node):
                why = "can only access node lease with the same name as the requesting node"
        elif info.bucket == "pods":
            present = old or new
            if present["spec"].get("nodeName") != node:
                why = f'node "{node}" can only write the status of pods with spec.nodeName set to itself'
            elif old is not None and (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
                why = f'node "{node}" is not allowed to update labels through pod status'
        if why:
            raise ApiError.forbidden(info.plural, name, why, info.group)

    def admit_token(self, user: User, account: Obj, request: Obj) -> None:
        """Nodes get tokens for nothing but the pods bound to them, and of these pods' ServiceAccounts.

        Raises:
            ApiError: 403; 404 where the pod is absent.
        """
        node = _node(user)
        if not node:
            return
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        bound = (request.get("spec") or {}).get("boundObjectRef")
        why = ""
        if not isinstance(bound, dict) or (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod"):
            why = "node requested token not bound to a pod"
        elif not bound.get("uid"):
            why = "node requested token with a pod binding without a uid"
        else:
            pod = self._store.read("pods", namespace, str(bound.get("name") or ""))
            if pod is None:
                raise ApiError.not_found("pods", str(bound.get("name") or ""))
            if pod["metadata"]["uid"] != bound["uid"]:
                why = "the UID in the bound object reference does not match the UID in record"
            elif pod["spec"].get("nodeName") != node:
                why = "node requested token bound to a pod scheduled on a different node"
            elif (pod["spec"].get("serviceAccountName") or "default") != name:
                why = "node requested token of another service account than the pod's"
            elif missing := _audiences((request.get("spec") or {}).get("audiences")) - _token_audiences(pod["spec"]):
                why = f'audience "{min(missing)}" not found in pod spec volume'
        if why:
            raise ApiError.forbidden("serviceaccounts", name, why)

    def _used(self, node: str, namespace: str, bucket: str, name: str) -> bool:
        return any(pod.node == node and (bucket, name) in pod.names for pod in self._uses(namespace).values())

    def _uses(self, namespace: str) -> dict[str, _Uses]:
        """Pods of a namespace; each version of one is looked through once."""
        before = self._known.get(namespace, {})
        found: dict[str, _Uses] = {}
        for key in self._store.bucket("pods").keys(namespace):
            entry = self._store.get("pods", key)
            if entry is None:
                continue
            known = before.get(key[1])
            if known is None or known.rv != entry.rv:
                spec = entry.parse()["spec"]
                known = _Uses(entry.rv, spec.get("nodeName") or "", frozenset(_names(spec)))
            found[key[1]] = known
        if found:
            self._known[namespace] = found
        else:
            self._known.pop(namespace, None)
        return found


def _node(user: User) -> str:
    """The node that a user is; empty where it is none."""
    return user.name.removeprefix(_PREFIX) if user.name.startswith(_PREFIX) and _GROUP in user.groups else ""


def _node_fault(node: str, name: str, old: Obj | None, new: Obj) -> str:
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    before = {} if old is None else old["metadata"].get("labels") or {}
    after = new["metadata"].get("labels") or {}
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if refused := sorted(key for key in changed if not kubelet_may_set(key)):
        return f'node "{node}" is not allowed to set the following labels: {", ".join(refused)}'
    if old is not None:
        if (old.get("spec") or {}).get("taints") != (new.get("spec") or {}).get("taints"):
            return f'node "{node}" is not allowed to modify taints'
        if old["metadata"].get("ownerReferences") != new["metadata"].get("ownerReferences"):
            return f'node "{node}" is not allowed to modify ownerReferences'
    return ""


def _audiences(asked: Any) -> set[str]:
    """Audiences of a request; the empty one is the API server."""
    return {str(item) for item in asked} if isinstance(asked, list) and asked else {""}


def _token_audiences(spec: Obj) -> set[str]:
    """Audiences of the tokens that a pod mounts."""
    sources = (
        source.get("serviceAccountToken")
        for volume in spec.get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
    )
    return {source.get("audience") or "" for source in sources if source}


def _names(spec: Obj) -> Iterator[tuple[str, str]]:
    """What a pod's kubelet reads for it: its ServiceAccount, Secrets and ConfigMaps, as (bucket, name)."""
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            for source in container.get("envFrom") or ():
                yield from _referred(source, "secretRef", "configMapRef")
            for variable in container.get("env") or ():
                yield from _referred(variable.get("valueFrom") or {}, "secretKeyRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _referred(source, "secret", "configMap")


def _referred(source: Obj, secret: str, config_map: str) -> Iterator[tuple[str, str]]:
    if found := source.get(secret):
        yield "secrets", found.get("secretName") or found.get("name", "")
    if found := source.get(config_map):
        yield "configmaps", found.get("name", "")
