"""What the API needs of the place where objects live: a contract that the continuum's API server fulfils.

Objects are plain Kubernetes dicts. Every method raises errors of `mlsysops_core.errors`: `NotFound`, `Conflict`,
`InvalidInput`, `Refused`, and `Unreachable` where there is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlsysops_core.model import GROUP, KINDS, VERSION

__all__ = ["CONFIG_MAPS", "RESOURCE_BINDINGS", "Object", "Page", "Resource", "Store", "resource_of"]

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the URL of an API server names it.

    Attributes:
        group: API group; empty for the core group.
        version: API version.
        plural: Plural name.
        kind: Kind.
    """

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
RESOURCE_BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", "ResourceBinding")


def resource_of(kind: str) -> Resource:
    """Return the resource of one of our kinds, e.g. ``MLSysOpsApp``."""
    return Resource(GROUP, VERSION, KINDS[kind].plural, kind)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    Attributes:
        items: The objects, by name.
        continue_token: For the next part; empty on the last.
    """

    items: list[Object] = field(default_factory=list)
    continue_token: str = ""


class Store(Protocol):
    """Where objects live."""

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        """Return an object; `NotFound` where there is none."""
        ...

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = "", limit: int = 0, continue_token: str = ""
    ) -> Page:
        """Return objects by name; `labels` is a label selector, `limit` 0 means all."""
        ...

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        """Create an object; `Conflict` where one of that name exists."""
        ...

    async def update(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        """Replace an object; `Conflict` where it carries a resourceVersion that is not the present one."""
        ...

    async def delete(
        self, resource: Resource, name: str, namespace: str, *, uid: str = "", dry_run: bool = False
    ) -> None:
        """Delete an object and, in the background, what it owns."""
        ...

    async def version(self) -> str:
        """Return the version of the API server; `Unreachable` where it does not answer."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
