"""What every room of the engine may ask of an API server, whether it is in the same process or far away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["Client", "Object", "PatchType", "Resource"]

Object: TypeAlias = dict[str, Any]
PatchType: TypeAlias = Literal["merge", "json", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API serves it.

    Attributes:
        group: API group; empty for the core group.
        version: API version, e.g. ``v1``.
        plural: Name of the resource in paths, lower case.
        namespaced: Whether its objects live in namespaces.
        kind: Name of the kind, e.g. ``Deployment``.
    """

    group: str
    version: str
    plural: str
    namespaced: bool
    kind: str

    @property
    def api_version(self) -> str:
        """``group/version``, or ``version`` alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection, object or subresource on an API server."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


class Client(Protocol):
    """Kubernetes semantics on plain dictionaries.

    Every method raises `mlsysops_embedded.errors.ApiError`, which carries the server's ``Status``; a server that
    cannot be reached is the `ApiError` of code 503 and reason ``ServiceUnavailable``. Objects handed out are the caller's
    own only with `get` and the writing methods; objects of `list` and `watch` may be shared: copy before changing.
    """

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """Read one object."""
        ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Object:
        """Read a list (``items``, ``metadata.resourceVersion``, ``metadata.continue``); all namespaces where none given."""
        ...

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """Create an object, or post to the subresource of the object ``name`` (binding, eviction, token)."""
        ...

    async def update(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Object:
        """Replace an object; a ``metadata.resourceVersion`` in it is a precondition."""
        ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType,
        subresource: str | None = None,
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Patch an object; ``apply`` is server-side apply and needs a ``field_manager``."""
        ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation_policy: str | None = None,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Delete an object; ``uid`` and ``resource_version`` are preconditions (409 where they do not hold)."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[Object]:
        """Follow changes as ``{"type", "object"}``.

        Ends when the server ends the watch. Raises `ApiError` 410 where the resourceVersion is compacted.
        """
        ...

    async def discover(self) -> Sequence[Resource]:
        """Every listable resource, in its group's preferred version where that serves it; subresources left out."""
        ...
