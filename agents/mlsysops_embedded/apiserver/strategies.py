"""What is special about some kinds on their way in: defaults that depend on the server, admission, semantic checks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.apiserver import podrules
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import shapes
from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.validation import definition, semantics
from mlsysops_embedded.validation.resize import check_resize

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.reading import Reader
    from mlsysops_embedded.machinery.call import Call

__all__ = ["DEFAULT_NAMESPACES", "Strategies"]

Obj = dict[str, Any]
#: Refuses a write by (call, info, old, new), where it raises; old is None where the object is made.
Guard = Callable[["Call", ResourceInfo, Obj | None, Obj], None]
Observer = Callable[[ResourceInfo, Obj | None, Obj | None], Awaitable[None]]
DEFAULT_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
#: Fields of the spec that admission and allocation fill in, not defaults.
_ADMITTED: Final = {
    "namespaces": frozenset(("finalizers",)),
    "pods": frozenset(("serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "tolerations")),
    "services": frozenset(("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")),
}
#: How long an address handed to a Service that is not stored yet stays taken.
_RESERVED_SECONDS: Final = 30.0
#: Fields that Services of some types alone have.
_OF_TYPES: Final = (
    (
        ("ClusterIP", "NodePort", "LoadBalancer"),
        ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"),
    ),
    (("NodePort", "LoadBalancer"), ("externalTrafficPolicy",)),
    (("LoadBalancer",), ("allocateLoadBalancerNodePorts", "loadBalancerClass")),
)
#: Three hours, the default of a Service's sticky sessions (core/v1 DefaultClientIPServiceAffinitySeconds).
_AFFINITY_SECONDS: Final = 10800


class Strategies:
    """Hooks of the registry.

    Args:
        service_cidr: Where Services get their addresses.
    """

    def __init__(self, service_cidr: IPv4Network) -> None:
        self.reader: Reader | None = None
        #: Called after a write with (info, old, new); new is None where the object is gone.
        self.observers: list[Observer] = []
        #: Asked about every object that is about to be stored, complete and valid.
        self.guards: list[Guard] = []
        self._cidr = service_cidr
        self._reserved: dict[str, float] = {}

    # ------------------------------------------------------------------ admission

    def guard(self, call: Call, info: ResourceInfo, old: Obj | None, new: Obj) -> None:
        """Asks all guards about an object that is about to be stored.

        Raises:
            ApiError: One of them refuses it.
        """
        for guard in self.guards:
            guard(call, info, old, new)

    def admit_namespace(self, info: ResourceInfo, namespace: str) -> None:
        """No object is created in a namespace that is absent or ends, nor of a kind that ends.

        Raises:
            ApiError: 403, 404, 405.
        """
        if self.reader is None:
            return
        if info.custom:
            crd = self.reader.read("customresourcedefinitions.apiextensions.k8s.io", "", info.bucket)
            if crd is None:
                raise ApiError.unknown_resource()
            if crd["metadata"].get("deletionTimestamp"):
                raise ApiError.method_not_allowed("create not allowed while custom resource definition is terminating")
        if not info.namespaced:
            return
        found = self.reader.read("namespaces", "", namespace)
        if found is None:
            raise ApiError.not_found("namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = ApiError.forbidden(info.plural, "", why, info.group)
            text = f"namespace {namespace} is being terminated"
            error.status["details"]["causes"] = [
                {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            ]
            raise error

    def admit_delete(self, info: ResourceInfo, obj: Obj) -> None:
        """Some namespaces stay.

        Raises:
            ApiError: 403.
        """
        name = obj["metadata"]["name"]
        if info.bucket == "namespaces" and name in DEFAULT_NAMESPACES[:3]:
            raise ApiError.forbidden("namespaces", name, "this namespace may not be deleted")

    # ------------------------------------------------------------------ deletion

    def grace(self, info: ResourceInfo, obj: Obj, wanted: int | None) -> int:
        """Grace period in seconds of a deletion: pods only (registry/core/pod/strategy.go CheckGracefulDelete)."""
        if info.bucket != "pods":
            return 0
        spec, phase = obj.get("spec", {}), obj.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        period = wanted if wanted is not None else spec.get("terminationGracePeriodSeconds", 30)
        return 1 if period < 0 else int(period)

    def admit_update(self, info: ResourceInfo, old: Obj, new: Obj, subresource: str) -> None:
        """What may not be, though it is valid.

        Raises:
            ApiError: 403.
        """
        if info.bucket == "pods" and subresource == "resize" and self.reader is not None:
            podrules.admit_resize(old, new, self.reader)

    def prepare_delete(self, info: ResourceInfo, obj: Obj) -> None:
        """Marks what ends."""
        if info.bucket == "namespaces":
            obj.setdefault("status", {})["phase"] = "Terminating"
        elif info.bucket == "customresourcedefinitions.apiextensions.k8s.io":
            definition.terminate(obj)

    # ------------------------------------------------------------------ completion

    async def prepare_create(self, info: ResourceInfo, obj: Obj) -> None:
        """Completes a new object."""
        bucket = info.bucket
        if bucket in ("deployments.apps", "replicasets.apps", "daemonsets.apps"):
            obj.pop("status", None)
            self._workload(obj, bucket)
            obj["status"] = (
                {}
                if bucket == "deployments.apps"
                else {"replicas": 0}
                if bucket == "replicasets.apps"
                else _DAEMON_STATUS
            )
        elif bucket == "pods":
            podrules.complete_pod(obj, self.reader)
        elif bucket == "nodes":
            _pod_networks(obj)
        elif bucket == "namespaces":
            obj["spec"] = {"finalizers": ["kubernetes"]}
            obj["status"] = {"phase": "Active"}
            self._name_label(obj)
        elif bucket == "services":
            obj["status"] = {"loadBalancer": {}}
            self._service(obj, None)
        elif bucket == "secrets":
            _merge_string_data(obj)
        elif bucket == "events":
            shapes.fill_unset(info.api_version, info.kind, obj)
        elif bucket == "customresourcedefinitions.apiextensions.k8s.io":
            definition.complete(obj, None, self.reader.store if self.reader else None)
        elif info.group == "rbac.authorization.k8s.io":
            _rbac_defaults(info, obj)

    @staticmethod
    def without_admitted(info: ResourceInfo, obj: Obj, asked: set[str]) -> Obj:
        """A new object without what admission or the registry has put into its spec unasked: that is nobody's."""
        given = _ADMITTED.get(info.bucket, frozenset()) - asked
        return {**obj, "spec": {k: v for k, v in obj["spec"].items() if k not in given}} if given else obj

    async def prepare_update(self, info: ResourceInfo, old: Obj, new: Obj, subresource: str) -> None:
        """Completes a changed object."""
        bucket = info.bucket
        if subresource == "status" and bucket == "pods":
            podrules.complete_status(old, new)
        if subresource == "status":
            if bucket == "namespaces" and new["metadata"].get("deletionTimestamp"):
                new.setdefault("status", {})["phase"] = "Terminating"
            return
        if bucket in ("deployments.apps", "replicasets.apps", "daemonsets.apps"):
            self._workload(new, bucket)
        elif bucket == "pods" and not subresource:
            podrules.keep_bound(old, new)
        elif bucket == "pods" and subresource == "resize":
            podrules.keep_all_but_resources(old, new)
        elif bucket == "nodes":
            _pod_networks(new)
        elif bucket == "namespaces" and subresource != "finalize":
            new["spec"] = old.get("spec", {})
            self._name_label(new)
        elif bucket == "services":
            self._service(new, old)
        elif bucket == "secrets":
            _merge_string_data(new)
        elif bucket == "events":
            shapes.fill_unset(info.api_version, info.kind, new)
        elif bucket == "customresourcedefinitions.apiextensions.k8s.io":
            definition.complete(new, old, self.reader.store if self.reader else None)
        elif info.group == "rbac.authorization.k8s.io":
            _rbac_defaults(info, new)

    @staticmethod
    def _name_label(obj: Obj) -> None:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]

    @staticmethod
    def _workload(obj: Obj, bucket: str) -> None:
        spec = obj["spec"]
        template = spec.get("template") or {}
        if template.get("spec"):
            podrules.default_pod_spec(template["spec"])
        template.get("metadata", {}).pop("creationTimestamp", None)
        if bucket == "deployments.apps":
            strategy = spec.setdefault("strategy", {})
            if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                rolling = strategy.setdefault("rollingUpdate", {})
                rolling.setdefault("maxUnavailable", "25%")
                rolling.setdefault("maxSurge", "25%")
        elif bucket == "daemonsets.apps":
            strategy = spec.setdefault("updateStrategy", {})
            if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                rolling = strategy.setdefault("rollingUpdate", {})
                rolling.setdefault("maxUnavailable", 1)
                rolling.setdefault("maxSurge", 0)

    def _service(self, obj: Obj, old: Obj | None) -> None:
        spec = obj.setdefault("spec", {})
        if old is not None:
            _drop_of_other_types(spec, old["spec"])
        for port in spec.get("ports") or ():
            port.setdefault("targetPort", port.get("port"))
        if spec.get("sessionAffinity") == "ClientIP":
            config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            config.setdefault("timeoutSeconds", _AFFINITY_SECONDS)
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec.get("type") == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        if spec.get("type") == "ExternalName":
            return
        spec.setdefault("internalTrafficPolicy", "Cluster")
        both = spec.get("clusterIP") == "None" and not spec.get(
            "selector"
        )  # whoever makes its endpoints may use either
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if both else ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")
        before = (old or {}).get("spec", {}).get("clusterIP")
        address = spec.get("clusterIP")
        if not address and before:
            address = before
        if not address:
            address = self._allocate()
        elif address not in ("None", before):
            self._claim(obj, address)
        spec["clusterIP"] = address
        spec["clusterIPs"] = [address]

    def _taken(self) -> set[str]:
        if self.reader is None:
            return set(self._reserved)
        horizon = time.monotonic() - _RESERVED_SECONDS
        self._reserved = {ip: at for ip, at in self._reserved.items() if at > horizon}
        entries = self.reader.store.bucket("services").objects.values()
        return {entry.parse().get("spec", {}).get("clusterIP", "") for entry in entries} | set(self._reserved)

    def _allocate(self) -> str:
        taken = self._taken()
        first = int(self._cidr.network_address) + 2  # the first address is the API server's own Service
        for number in range(first, int(self._cidr.broadcast_address)):
            address = str(IPv4Address(number))
            if address not in taken:
                self._reserved[address] = time.monotonic()
                return address
        raise ApiError.of(422, "Invalid", f"failed to allocate IP: range is full: {self._cidr}")

    def _claim(self, obj: Obj, address: str) -> None:
        fault = ""
        try:
            if IPv4Address(address) not in self._cidr:
                fault = f"failed to allocate IP {address}: the provided IP is not in the valid range. The range of valid IPs is {self._cidr}"
            elif address in self._taken():
                fault = f"failed to allocate IP {address}: provided IP is already allocated"
        except ValueError:
            fault = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        if fault:
            cause = Cause("FieldValueInvalid", "spec.clusterIPs[0]", f'Invalid value: ["{address}"]: {fault}')
            raise ApiError.invalid("Service", obj["metadata"].get("name", ""), [cause])
        self._reserved[address] = time.monotonic()

    # ------------------------------------------------------------------ checks

    def validate(self, info: ResourceInfo, obj: Obj, old: Obj | None, subresource: str = "") -> list[Cause]:
        """Semantic checks."""
        if subresource == "resize" and old is not None:
            return list(check_resize(obj, old))
        return semantics.check(info, obj, old)

    async def after_write(self, info: ResourceInfo, old: Obj | None, new: Obj | None) -> None:
        """Tells the observers."""
        for observer in self.observers:
            await observer(info, old, new)


_DAEMON_STATUS: Final = {
    "currentNumberScheduled": 0,
    "numberMisscheduled": 0,
    "desiredNumberScheduled": 0,
    "numberReady": 0,
}


def _pod_networks(node: Obj) -> None:
    """A node's pod network stands in two fields (core/v1 conversion of NodeSpec), and the structure around it is always there."""
    spec = node.setdefault("spec", {})
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def _merge_string_data(obj: Obj) -> None:
    import base64

    given = obj.pop("stringData", None)
    if given:
        data = obj.setdefault("data", {})
        for key, value in given.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _rbac_defaults(info: ResourceInfo, obj: Obj) -> None:
    shapes.fill_unset(info.api_version, info.kind, obj)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")
    if "roleRef" in obj:
        obj["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")


def _drop_of_other_types(spec: Obj, before: Obj) -> None:
    """What only other types of Services have goes with the type, unless this very write changes it (`service/strategy.go`)."""
    for types, fields in _OF_TYPES:
        if before.get("type") in types and spec.get("type") not in types:
            for name in fields:
                if spec.get(name) == before.get(name):
                    spec.pop(name, None)
