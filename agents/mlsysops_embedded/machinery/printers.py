"""What `kubectl get` shows of built-in kinds.

Source: kubernetes `pkg/printers/internalversion/printers.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mlsysops_embedded.machinery.meta import parse_time
from mlsysops_embedded.machinery.resources import Column

__all__ = ["COLUMNS", "PRINTERS", "age"]

Obj = Mapping[str, Any]
Row = list[Any]


def age(time: str | None) -> str:
    """How long ago, as `duration.HumanDuration` puts it."""
    if not time:
        return "<unknown>"
    try:
        seconds = int((datetime.now(UTC) - parse_time(time)).total_seconds())
    except ValueError:
        return "<invalid>"
    if seconds < -1:
        return "<invalid>"
    return _duration(max(seconds, 0))


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, rest = divmod(hours, 24)
    if hours < 192:
        return f"{days}d{rest}h" if rest else f"{days}d"
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y{rest}d" if years < 8 and rest else f"{years}y"


def _get(obj: Any, *path: str, default: Any = None) -> Any:
    for part in path:
        obj = obj.get(part) if isinstance(obj, Mapping) else None
    return default if obj is None else obj


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
    containers = _get(obj, "spec", "template", "spec", "containers", default=[])
    return ",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)


def _created(obj: Obj) -> str:
    return age(_get(obj, "metadata", "creationTimestamp"))


def _init_reason(pod: Obj, total: int) -> str | None:
    sidecars = {
        c["name"] for c in _get(pod, "spec", "initContainers", default=[]) if c.get("restartPolicy") == "Always"
    }
    for index, status in enumerate(_get(pod, "status", "initContainerStatuses", default=[])):
        terminated, waiting = _get(status, "state", "terminated"), _get(status, "state", "waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        if terminated is not None:
            if terminated.get("reason"):
                return f"Init:{terminated['reason']}"
            return (
                f"Init:Signal:{terminated['signal']}"
                if terminated.get("signal")
                else f"Init:ExitCode:{terminated.get('exitCode')}"
            )
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _pod_reason(pod: Obj) -> str:
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    init = _init_reason(pod, len(_get(pod, "spec", "initContainers", default=[])))
    if init:
        reason = init
    else:
        running = False
        for item in reversed(status.get("containerStatuses") or ()):
            state = item.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = terminated.get("reason") or (
                    f"Signal:{terminated['signal']}"
                    if terminated.get("signal")
                    else f"ExitCode:{terminated.get('exitCode', 0)}"
                )
            elif item.get("ready") and "running" in state:
                running = True
        if reason == "Completed" and running:
            ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
            reason = "Running" if ready else "NotReady"
    if _get(pod, "metadata", "deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(reason)


def _pod(pod: Obj) -> Row:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(bool(item.get("ready")) for item in statuses)
    restarts = sum(item.get("restartCount") or 0 for item in statuses)
    last = max((_get(item, "lastState", "terminated", "finishedAt", default="") for item in statuses), default="")
    text = f"{restarts} ({age(last)} ago)" if restarts and last else str(restarts)
    gates = spec.get("readinessGates") or []
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    gate = f"{sum(conditions.get(g.get('conditionType')) == 'True' for g in gates)}/{len(gates)}" if gates else "<none>"
    return [
        pod["metadata"]["name"], f"{ready}/{len(spec.get('containers') or ())}", _pod_reason(pod), text, _created(pod),
        status.get("podIP") or "<none>", spec.get("nodeName") or "<none>", status.get("nominatedNodeName") or "<none>", gate,
    ]  # fmt: skip


def _node(node: Obj) -> Row:
    conditions = {c.get("type"): c.get("status") for c in _get(node, "status", "conditions", default=[])}
    status = {"True": "Ready", "False": "NotReady"}.get(
        str(conditions.get("Ready")), "NotReady" if "Ready" in conditions else "Unknown"
    )
    if _get(node, "spec", "unschedulable"):
        status += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = _get(node, "metadata", "labels", default={})
    roles = sorted(key[len(prefix) :] for key in labels if key.startswith(prefix) and len(key) > len(prefix))
    info = _get(node, "status", "nodeInfo", default={})
    addresses = {a.get("type"): a.get("address") for a in reversed(_get(node, "status", "addresses", default=[]))}
    return [
        node["metadata"]["name"], status, ",".join(roles) or "<none>", _created(node), info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"), addresses.get("ExternalIP", "<none>"), info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>", info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _deployment(obj: Obj) -> Row:
    status = obj.get("status") or {}
    names, images = _containers(obj)
    return [
        obj["metadata"]["name"], f"{status.get('readyReplicas', 0)}/{_get(obj, 'spec', 'replicas', default=0)}",
        status.get("updatedReplicas", 0), status.get("availableReplicas", 0), _created(obj), names, images,
        _selector(_get(obj, "spec", "selector")),
    ]  # fmt: skip


def _replica_set(obj: Obj) -> Row:
    status = obj.get("status") or {}
    names, images = _containers(obj)
    return [
        obj["metadata"]["name"], _get(obj, "spec", "replicas", default=0), status.get("replicas", 0), status.get("readyReplicas", 0),
        _created(obj), names, images, _selector(_get(obj, "spec", "selector")),
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
        _selector(_get(obj, "spec", "template", "spec", "nodeSelector")), _created(obj), names, images,
        _selector(_get(obj, "spec", "selector")),
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
        _created(obj), _selector(spec.get("selector")),
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
    return [obj["metadata"]["name"], _few(items), _created(obj)]


def _endpoint_slice(obj: Obj) -> Row:
    ports = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        obj["metadata"]["name"],
        obj.get("addressType", ""),
        _few(ports) if ports else "<unset>",
        _few(addresses) if addresses else "<unset>",
        _created(obj),
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
        obj["metadata"]["name"], f"{reference.get('kind')}/{reference.get('name')}", _created(obj),
        _subjects(obj, "User"), _subjects(obj, "Group"), _subjects(obj, "ServiceAccount"),
    ]  # fmt: skip


def _simple(*paths: str | Callable[[Obj], Any]) -> Callable[[Obj], Row]:
    def row(obj: Obj) -> Row:
        cells = [path(obj) if callable(path) else _get(obj, *path.split("."), default="") for path in paths]
        return [obj["metadata"]["name"], *cells]

    return row


def _size(*names: str) -> Callable[[Obj], int]:
    return lambda obj: sum(len(obj.get(name) or ()) for name in names)


PRINTERS: Final[dict[str, Callable[[Obj], Row]]] = {
    "pods": _pod,
    "nodes": _node,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "daemonsets.apps": _daemon_set,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "events": _event,
    "namespaces": _simple("status.phase", _created),
    "configmaps": _simple(_size("data", "binaryData"), _created),
    "secrets": _simple("type", _size("data"), _created),
    "serviceaccounts": _simple(_created),
    "leases.coordination.k8s.io": _simple("spec.holderIdentity", _created),
    "controllerrevisions.apps": _simple(
        lambda obj: next((f"{r.get('kind', '').lower()}.apps/{r.get('name')}" for r in _get(obj, "metadata", "ownerReferences", default=[])), "<none>"),
        "revision", _created,
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
