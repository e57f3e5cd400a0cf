"""What a resize of a pod may change: CPU and memory of its containers, as long as the pod stays of the same quality.

Source: kubernetes `pkg/apis/core/validation/validation.go`, `ValidatePodResize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.validation.amounts import quality_of_service
from mlsysops_embedded.validation.causes import forbidden, invalid
from mlsysops_embedded.validation.pods import check_pod_spec

__all__ = ["check_resize"]

Obj = dict[str, Any]
_GROUPS: Final = ("containers", "initContainers")
_RESIZABLE: Final = ("cpu", "memory")


def check_resize(pod: Obj, old: Obj) -> Iterator[Cause]:
    """Faults of a resized pod, of which all but the containers is as it was."""
    yield from check_pod_spec(pod["spec"], "spec")
    quality = (old.get("status") or {}).get("qosClass")
    if quality and quality != quality_of_service(pod["spec"]):
        yield invalid("spec", quality, "Pod QOS Class may not change as a result of resizing")
    if not _served(old):
        yield forbidden("spec", "Pod running on node without support for resize")
    if any((old["spec"].get("resources") or {}).values()):
        yield forbidden("", "resize of pods with pod-level resources is not supported")
        return
    if moved := list(_moved(pod["spec"], old["spec"])):
        yield from moved
        return
    for group in _GROUPS:
        for index, (new, before) in enumerate(
            zip(pod["spec"].get(group) or (), old["spec"].get(group) or (), strict=True)
        ):
            yield from _container(new, before, f"spec.{group}[{index}]", init=group == "initContainers")


def _served(pod: Obj) -> bool:
    """Whether the pod's node says what its containers have; where nothing runs, nobody knows."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if "running" in (status.get("state") or {}):
            return status.get("resources") is not None
    return True


def _moved(new: Obj, old: Obj) -> Iterator[Cause]:
    """Containers that come, go or change places."""
    for group in _GROUPS:
        after, before = new.get(group) or [], old.get(group) or []
        if len(after) != len(before):
            yield forbidden(f"spec.{group}", f"{group} may not be added or removed on resize")
            continue
        for index, (one, other) in enumerate(zip(after, before, strict=True)):
            if one.get("name") != other.get("name"):
                yield forbidden(f"spec.{group}[{index}].name", f"{group} may not be renamed or reordered on resize")


def _container(new: Obj, old: Obj, place: str, *, init: bool) -> Iterator[Cause]:
    after, before = new.get("resources") or {}, old.get("resources") or {}
    for kind in ("requests", "limits"):
        if (before.get(kind) or {}).keys() - (after.get(kind) or {}).keys():
            yield forbidden(f"{place}.resources.{kind}", f"resource {kind} cannot be removed")
    masked = {kind: _masked(after.get(kind) or {}, before.get(kind) or {}) for kind in ("limits", "requests")}
    if _plain({**new, "resources": masked}) != _plain(old):
        if init:
            yield forbidden(place, "only cpu and memory resources for init or sidecar containers are mutable")
        else:
            yield forbidden("spec", "only cpu and memory resources are mutable")


def _masked(new: Obj, old: Obj) -> Obj:
    """What is left of the new amounts when those that may change are as they were."""
    kept = {name: value for name, value in new.items() if name not in _RESIZABLE}
    return {**kept, **{name: old[name] for name in _RESIZABLE if name in old}}


def _plain(container: Obj) -> Obj:
    """A container without what is there and empty."""
    resources = {name: value for name, value in (container.get("resources") or {}).items() if value}
    return {
        **{name: value for name, value in container.items() if name != "resources" and value},
        "resources": resources,
    }
