"""Makes what a client sends conform to the schema of its resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.machinery.resources import ResourceInfo

if TYPE_CHECKING:
    from mlsysops_embedded.apiserver.call import Call

__all__ = ["decode", "validate"]

Obj = dict[str, Any]


def decode(call: Call, info: ResourceInfo, obj: Obj, *, default: bool = True) -> Obj:
    return obj


def validate(info: ResourceInfo, obj: Obj, old: Obj | None) -> list[Cause]:
    return []
