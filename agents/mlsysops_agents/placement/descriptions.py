"""Objects read into descriptions once a generation, and faults of those that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Description, from_resource

__all__ = ["Descriptions"]

_D = TypeVar("_D", bound=Description)


class Descriptions:
    """Reads custom resources; what was read stays until its object changes."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], tuple[tuple[Any, Any], Description | str]] = {}

    def get(self, obj: Mapping[str, Any] | None, model: type[_D]) -> _D | None:
        """Return an object's description; None where there is no object or it does not validate."""
        found = self._lookup(obj)
        return found if isinstance(found, model) else None

    def fault(self, obj: Mapping[str, Any] | None) -> str:
        """Say what is wrong with an object; empty where it validates."""
        found = self._lookup(obj)
        return found if isinstance(found, str) else ""

    def forget(self, obj: Mapping[str, Any]) -> None:
        """Drop what is known of an object that is gone."""
        self._read.pop(_key(obj), None)

    def _lookup(self, obj: Mapping[str, Any] | None) -> Description | str | None:
        if obj is None:
            return None
        metadata = obj["metadata"]
        version = (metadata.get("uid"), metadata.get("generation") or metadata.get("resourceVersion"))
        known = self._read.get(_key(obj))
        if known is not None and known[0] == version:
            return known[1]
        read: Description | str
        try:
            read = from_resource(obj)
        except InvalidInput as exc:
            read = str(exc)
        self._read[_key(obj)] = (version, read)
        return read


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    return (str(obj.get("kind")), str(obj["metadata"]["name"]))
