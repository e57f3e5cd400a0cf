"""Field ownership."""

from __future__ import annotations

from typing import Any

from mlsysops_embedded.machinery.resources import ResourceInfo
from mlsysops_embedded.machinery.patch import merge_patch

Obj = dict[str, Any]

def same(old: Obj, new: Obj) -> bool:
    return old == new

def track(old: Obj | None, new: Obj, given: Any, info: ResourceInfo, manager: str, subresource: str) -> Obj:
    return new

def apply(live: Obj, config: Obj, info: ResourceInfo, manager: str, subresource: str, force: bool) -> tuple[Obj, Any]:
    return merge_patch(live, config), []

def finish_apply(old: Obj, new: Obj, managers: Any) -> Obj:
    return new

def applied_entry(config: Obj, info: ResourceInfo, manager: str) -> Any:
    return None
