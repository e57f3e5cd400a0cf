"""What `kubectl get` shows of built-in kinds.

Source: kubernetes `pkg/printers/internalversion/printers.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mlsysops_embedded.machinery.cells import age, created, dig
from mlsysops_embedded.machinery.pod_rows import pod_row
from mlsysops_embedded.machinery.resources import Column

__all__ = ["COLUMNS", "PRINTERS"]

Obj = Mapping[str, Any]
Row = list[Any]


def _selector(selector: Any) -> str:
    if not selector:
        return "<none>"
    labels = (
        selector if not ({"matchLabels", "matchExpressions"} & set(selector)) else selector.get("matchLabels") or {}
    )
    parts = [f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str)]
    for term in selector.get("matchExpressions") or () if isinstance(selector.get("matchExpressions"), list) else ():
        values = ",".join(term.get("values") or ())
        operator = term.get("operator")
        if operator == "Exists":
            parts.append(term.get("key", ""))
        elif operator == "DoesNotExist":
            parts.append("!" + term.get("key", ""))
        else:
            parts.append(f"{term.get('key')} {str(operator).lower()} ({values})")
    return ",".join(parts) or "<none>"


def _containers(obj: Obj) -> tuple[str, str]:
    containers = dig(obj, "spec", "template", "spec", "containers", default=[])
    return ",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)


def _node(node: Obj) -> Row:
    conditions = {c.get("type"): c.get("status") for c in dig(node, "status", "conditions", default=[])}
    status = {"True": "Ready", "False": "NotReady"}.get(
        str(conditions.get("Ready")), "NotReady" if "Ready" in conditions else "Unknown"
    )
    if dig(node, "spec", "unschedulable"):
        status += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = dig(node, "metadata", "labels", default={})
    roles = sorted(key[len(prefix) :] for key in labels if key.startswith(prefix) and len(key) > len(prefix))
    info = dig(node, "status", "nodeInfo", default={})
    addresses = {a.get("type"): a.get("address") for a in reversed(dig(node, "status", "addresses", default=[]))}
    return [
        node["metadata"]["name"], status, ",".join(roles) or "<none>", created(node), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"), info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>", info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _deployment(obj: Obj) -> Row:
    status = obj.get("status") or {}
    names, images = _containers(obj)
    return [
        obj["metadata"]["name"], f"{status.get('readyReplicas', 0)}/{dig(obj, 'spec', 'replicas', default=0)}",
        status.get("updatedReplicas", 0), status.get("availableReplicas", 0), created(obj), names, images,
        _selector(dig(obj, "spec", "selector")),
    ]  # fmt: skip


def _replica_set(obj: Obj) -> Row:
    status = obj.get("status") or {}
    names, images = _containers(obj)
    return [
        obj["metadata"]["name"], dig(obj, "spec", "replicas", default=0), status.get("replicas", 0), status.get("readyReplicas", 0),
        created(obj), names, images, _selector(dig(obj, "spec", "selector")),
    ]  # fmt: skip


def _daemon_set(obj: Obj) -> Row:
    status = obj.get("status") or {}
    names, images = _containers(obj)
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        obj["metadata"]["name"], *(status.get(field, 0) for field in fields),
        _selector(dig(obj, "spec", "template", "spec", "nodeSelector")), created(obj), names, images,
        _selector(dig(obj, "spec", "selector")),
    ]  # fmt: skip


def _service(obj: Obj) -> Row:
    spec = obj.get("spec") or {}
    ports = ",".join(
        f"{p.get('port')}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    )
    external = (
        ",".join(spec.get("externalIPs") or ())
        or spec.get("externalName")
        or ("<pending>" if spec.get("type") == "LoadBalancer" else "<none>")
    )
    return [
        obj["metadata"]["name"], spec.get("type", "ClusterIP"), spec.get("clusterIP") or "<none>", external, ports or "<none>",
        created(obj), _selector(spec.get("selector")),
    ]  # fmt: skip


def _few(items: list[str], limit: int = 3) -> str:
    if not items:
        return "<none>"
    more = f" + {len(items) - limit} more..." if len(items) > limit else ""
    return ",".join(items[:limit]) + more


def _endpoints(obj: Obj) -> Row:
    items = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in obj.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    return [obj["metadata"]["name"], _few(items), created(obj)]


def _endpoint_slice(obj: Obj) -> Row:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        obj["metadata"]["name"],
        obj.get("addressType", ""),
        _few(ports) if ports else "<unset>",
        _few(addresses) if addresses else "<unset>",
        created(obj),
    ]


def _event(obj: Obj) -> Row:
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or {}
    origin = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    if source.get("host"):
        origin += f", {source['host']}"
    return [
        age(last), obj.get("type", ""), obj.get("reason", ""), f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""), origin, str(obj.get("message") or obj.get("note") or "").strip(), age(first),
        series.get("count") or obj.get("count") or 1, obj["metadata"]["name"],
    ]  # fmt: skip


def _subjects(obj: Obj, kind: str) -> str:
    found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{s.get('namespace', '')}/{s.get('name')}" for s in found)
    return ", ".join(s.get("name", "") for s in found)


def _binding(obj: Obj) -> Row:
    reference = obj.get("roleRef") or {}
    return [
        obj["metadata"]["name"], f"{reference.get('kind')}/{reference.get('name')}", created(obj),
        _subjects(obj, "User"), _subjects(obj, "Group"), _subjects(obj, "ServiceAccount"),
    ]  # fmt: skip


def _simple(*paths: str | Callable[[Obj], Any]) -> Callable[[Obj], Row]:
    def row(obj: Obj) -> Row:
        cells = [path(obj) if callable(path) else dig(obj, *path.split("."), default="") for path in paths]
        return [obj["metadata"]["name"], *cells]

    return row


def _size(*names: str) -> Callable[[Obj], int]:
    return lambda obj: sum(len(obj.get(name) or ()) for name in names)


def _scale(obj: Obj) -> Row:
    return [
        obj["metadata"]["name"],
        dig(obj, "spec", "replicas", default=0),
        dig(obj, "status", "replicas", default=0),
        created(obj),
    ]


PRINTERS: Final[dict[str, Callable[[Obj], Row]]] = {
    "pods": pod_row,
    "nodes": _node,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "daemonsets.apps": _daemon_set,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "events": _event,
    "namespaces": _simple("status.phase", created),
    "configmaps": _simple(_size("data", "binaryData"), created),
    "secrets": _simple("type", _size("data"), created),
    "serviceaccounts": _simple(created),
    "scales": _scale,
    "leases.coordination.k8s.io": _simple("spec.holderIdentity", created),
    "controllerrevisions.apps": _simple(
        lambda obj: next((f"{r.get('kind', '').lower()}.apps/{r.get('name')}" for r in dig(obj, "metadata", "ownerReferences", default=[])), "<none>"),
        "revision", created,
    ),
    "roles.rbac.authorization.k8s.io": _simple("metadata.creationTimestamp"),
    "clusterroles.rbac.authorization.k8s.io": _simple("metadata.creationTimestamp"),
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
    "customresourcedefinitions.apiextensions.k8s.io": _simple("metadata.creationTimestamp"),
}  # fmt: skip

#: name[:type][*]; a star puts a column into the wide form.
_HEADS: Final = {
    "pods": "Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*",
    "nodes": "Name|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*",
    "deployments.apps": "Name|Ready|Up-to-date:integer|Available:integer|Age|Containers*|Images*|Selector*",
    "replicasets.apps": "Name|Desired:integer|Current:integer|Ready:integer|Age|Containers*|Images*|Selector*",
    "daemonsets.apps": "Name|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer|Node Selector|Age|Containers*|Images*|Selector*",
    "services": "Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*",
    "endpoints": "Name|Endpoints|Age",
    "endpointslices.discovery.k8s.io": "Name|AddressType|Ports|Endpoints|Age",
    "events": "Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count:integer*|Name*",
    "namespaces": "Name|Status|Age",
    "configmaps": "Name|Data:integer|Age",
    "secrets": "Name|Type|Data:integer|Age",
    "serviceaccounts": "Name|Age",
    "scales": "Name|Desired:integer|Available:integer|Age",
    "leases.coordination.k8s.io": "Name|Holder|Age",
    "controllerrevisions.apps": "Name|Controller|Revision:integer|Age",
    "roles.rbac.authorization.k8s.io": "Name|Created At",
    "clusterroles.rbac.authorization.k8s.io": "Name|Created At",
    "rolebindings.rbac.authorization.k8s.io": "Name|Role|Age|Users*|Groups*|ServiceAccounts*",
    "clusterrolebindings.rbac.authorization.k8s.io": "Name|Role|Age|Users*|Groups*|ServiceAccounts*",
    "customresourcedefinitions.apiextensions.k8s.io": "Name|Created At",
}


_DESCRIPTIONS: Final = {
    "Name": "Name must be unique within a namespace.",
    "Age": "CreationTimestamp is a timestamp representing the server time when this object was created.",
}


def _columns(text: str) -> tuple[Column, ...]:
    found = []
    for item in text.split("|"):
        match = re.fullmatch(r"(.+?)(?::(\w+))?(\*?)", item)
        if match is None:
            raise ValueError(item)
        found.append(
            Column(
                match[1],
                match[2] or "string",
                priority=int(bool(match[3])),
                format="name" if match[1] == "Name" and not match[3] else "",
                description=_DESCRIPTIONS.get(match[1], f"{match[1]} of the object."),
            )
        )
    return tuple(found)


COLUMNS: Final = {bucket: _columns(text) for bucket, text in _HEADS.items()}
