"""How Go's types hold the built-in kinds: what is empty is left out of their JSON, and some structures are always there.

A typed client that reads an object and writes it back sends it without its empty fields; unless they are left out on the way
in, that would be a change. Which fields are pointers, whose zero values are meant, the protobuf tags say; which plain fields
are written even when they are empty is listed here. Source: the types.go files of k8s.io/api (json tags without `omitempty`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from mlsysops_embedded.machinery.protobuf import message_fields, message_name

__all__ = ["blank", "fill_unset", "tidy"]

Obj = dict[str, Any]
#: Plain fields that are written though they are empty. Names that have to be there anyway are not listed.
_KEPT: Final = {
    name: frozenset(fields.split())
    for name, fields in {
        "Condition": "reason message",
        "ContainerStateTerminated": "exitCode",
        "ContainerStatus": "ready restartCount image imageID",
        "ControllerRevision": "revision",
        "DaemonEndpoint": "Port",
        "DaemonSetStatus": "currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady",
        "Endpoint": "addresses",
        "EndpointSlice": "endpoints ports",
        "Event": "reportingComponent reportingInstance",
        "HTTPHeader": "value",
        "LinuxContainerUser": "uid gid",
        "NodeSelector": "nodeSelectorTerms",
        "NodeSystemInfo": "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion "
        "kubeProxyVersion operatingSystem architecture",
        "ObjectMeta": "managedFields",  # an empty list wipes them
        "PodSpec": "containers",
        "PolicyRule": "verbs",
        "PortStatus": "port",
        "ProjectedVolumeSource": "sources",
        "ReplicaSetStatus": "replicas",
        "ResourceRule": "verbs",
        "Role": "rules",
        "ClusterRole": "rules",
        "ScaleStatus": "replicas",
        "SleepAction": "seconds",
        "SubjectAccessReviewStatus": "allowed",
        "Sysctl": "value",
    }.items()
}
#: Structures that are filled in where they are missing; a structure that a client has to send is not.
_FILLED: Final = {"Lease": "spec", "Endpoint": "conditions"}
#: Lists of a blank object that are there, though empty.
_BLANK_LISTS: Final = {"PodSpec": "containers"}
#: What is written though nobody gave it: times are structures in Go, and a list without an `omitempty` is null.
_UNSET: Final[dict[tuple[str, str], Obj]] = {
    ("v1", "Event"): {
        "source": {},
        "eventTime": None,
        "firstTimestamp": None,
        "lastTimestamp": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    ("events.k8s.io/v1", "Event"): {
        "deprecatedSource": {},
        "eventTime": None,
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    },
    ("rbac.authorization.k8s.io/v1", "Role"): {"rules": None},
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {"rules": None},
}
_NOTHING: Final[frozenset[str]] = frozenset()
#: What is empty, by the flag of a field or else its type; other types have nothing that is left out.
_EMPTY: Final[dict[str, Any]] = {"*": [], "%": {}, "s": "", "i": 0, "b": False}


def tidy(api_version: str, kind: str, obj: Obj) -> None:
    """Leaves out, in place, what Go would leave out, and makes text of quantities that came as numbers.

    Kinds without a table stay as they are.
    """
    if name := message_name(api_version, kind):
        _tidy(name, obj)


def _tidy(name: str, obj: Any) -> None:
    if not isinstance(obj, dict):
        return
    fields, kept = message_fields(name), _KEPT.get(name, _NOTHING)
    for key in list(obj):
        field = fields.get(key)
        if field is None:
            continue
        flags, code = field
        value = obj[key]
        if value == _EMPTY.get(flags or code) and type(value) is type(_EMPTY.get(flags or code)) and key not in kept:
            del obj[key]
        elif flags == "%" and isinstance(value, dict):
            for entry, item in value.items():
                value[entry] = _scalar(code, item)
        elif code[0] == "m":
            for item in value if isinstance(value, list) else (value,):
                _tidy(code[1:], item)
        else:
            obj[key] = _scalar(code, value) if value is not None else None
    if (missing := _FILLED.get(name)) and missing not in obj:
        obj[missing] = {}


def _scalar(code: str, value: Any) -> Any:
    if code == "q" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return "" if value is None and code == "s" else value


@cache
def blank(api_version: str, kind: str) -> Obj:
    """The object of a kind that holds nothing: what a new one is compared with, to tell what its creator wrote.

    It must not be changed.
    """
    if kind == "CustomResourceDefinition":
        return {"spec": {"names": {}}}
    name = message_name(api_version, kind)
    return {**(_blank(name) if name else {}), **_UNSET.get((api_version, kind), {})}


def fill_unset(api_version: str, kind: str, obj: Obj) -> None:
    """Puts into an object, in place, what is written of its kind though nobody gave it."""
    for key, value in _UNSET.get((api_version, kind), {}).items():
        if not obj.get(key):
            obj[key] = value if not isinstance(value, dict) else {}


def _blank(name: str) -> Obj:
    result: Obj = {
        key: _blank(code[1:]) for key, (flags, code) in message_fields(name).items() if not flags and code[0] == "m"
    }
    if name in _BLANK_LISTS:
        result[_BLANK_LISTS[name]] = []
    return result
