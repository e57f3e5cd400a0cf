"""The generic registry: what create, update, patch and delete mean for every resource.

Source: apiserver `pkg/registry/generic/registry/store.go` and `pkg/registry/rest/{create,update,delete}.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import orjson

from mlsysops_embedded.apiserver.incoming import (
    OWNED,
    desired_changed,
    metadata_of,
    named,
    place,
    precondition,
    updated,
)
from mlsysops_embedded.apiserver.reading import Reader
from mlsysops_embedded.apiserver.strategies import Strategies
from mlsysops_embedded.errors import ApiError, Cause
from mlsysops_embedded.machinery import convert, meta, ownership
from mlsysops_embedded.machinery.call import SYSTEM, Call, DeleteOptions
from mlsysops_embedded.machinery.resources import Catalog, ResourceInfo
from mlsysops_embedded.store import Entry, Store
from mlsysops_embedded.validation import conform

__all__ = ["Call", "DeleteOptions", "Registry"]

_LOG: Final = logging.getLogger("embedded.registry")
Obj = dict[str, Any]
#: etcd's default --max-request-bytes, which bounds the objects of Kubernetes.
_MAX_OBJECT: Final = 1536 * 1024
#: Buckets of the built-in kinds that are replaced only by who says which version (AllowUnconditionalUpdate of their strategies).
_VERSIONED: Final = frozenset(("customresourcedefinitions.apiextensions.k8s.io", "leases.coordination.k8s.io"))
_FOREGROUND: Final = "foregroundDeletion"
_ORPHAN: Final = "orphan"


class Registry(Reader):
    """Objects of one control plane with Kubernetes semantics.

    Args:
        store: Where objects live.
        catalog: What resources there are.
        strategies: What is special about some kinds.
    """

    def __init__(self, store: Store, catalog: Catalog, strategies: Strategies) -> None:
        super().__init__(store, catalog)
        self.strategies = strategies

    # ------------------------------------------------------------------ create

    async def create(self, call: Call, info: ResourceInfo, namespace: str, obj: Obj) -> bytes:
        """Creates an object and returns it as stored, in the version of `info`."""
        obj = meta.clone(obj)
        place(info, namespace, metadata_of(info, obj))
        obj = conform.decode(call, info, obj)
        metadata = obj["metadata"]
        for name in (*OWNED, "resourceVersion"):
            if name == "resourceVersion" and metadata.get(name) not in (None, "", "0"):
                raise ApiError.bad_request("resourceVersion should not be set on objects to be created")
            metadata.pop(name, None)
        generated = not metadata.get("name") and metadata.get("generateName")
        if generated:
            metadata["name"] = meta.generate_name(metadata["generateName"])
        if not metadata.get("name"):
            raise ApiError.invalid(
                info.kind,
                "",
                [Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")],
                info.group,
            )
        metadata["uid"] = meta.new_uid()
        metadata["creationTimestamp"] = meta.now()
        if info.generation or (info.custom):
            metadata["generation"] = 1
        if info.custom and "status" in info.subresources:
            obj.pop("status", None)
        name = metadata["name"]
        self.strategies.admit_namespace(info, namespace)
        asked = set(obj.get("spec") or ())
        await self.strategies.prepare_create(info, obj)
        self._validate(info, obj, None)
        self.strategies.guard(call, info, None, obj)
        given = metadata.pop("managedFields", None)
        owned = self.strategies.without_admitted(info, obj, asked)
        obj = {**obj, "metadata": ownership.track(None, owned, given, info, call.manager, "")["metadata"]}
        key = (namespace if info.namespaced else "", name)
        async with self.store.lock(info.bucket, key) as present:
            if present is not None:
                if generated:
                    raise ApiError.of(
                        409,
                        "AlreadyExists",
                        f'{info.qualified} "{name}" already exists, the server was not able to generate a unique name for the object',
                    )
                raise ApiError.already_exists(info.plural, name, info.group)
            if call.dry_run:
                return self._encode(obj, info, 0)
            self.strategies.admit_namespace(info, namespace)
            entry = await self._put(info, key, obj)
        await self.strategies.after_write(info, None, obj)
        return self.render(entry, info)

    # ------------------------------------------------------------------ update

    async def update(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, obj: Obj, subresource: str = ""
    ) -> bytes:
        """Replaces an object (PUT)."""
        metadata = named(info, obj, name)
        place(info, namespace, metadata)

        def replaced(old: Obj) -> Obj:
            uid = old["metadata"]["uid"]
            if metadata.get("uid") not in (None, "", uid):
                why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}"
                raise ApiError.conflict(info.plural, name, why, info.group)
            if (info.custom or info.bucket in _VERSIONED) and metadata.get("resourceVersion") in (None, "", "0"):
                why = "Invalid value: 0: must be specified for an update"
                raise ApiError.invalid(
                    info.kind, name, [Cause("FieldValueInvalid", "metadata.resourceVersion", why)], info.group
                )
            return meta.clone(obj)

        return await self.modify(call, info, namespace, name, replaced, subresource)

    async def modify(
        self,
        call: Call,
        info: ResourceInfo,
        namespace: str,
        name: str,
        change: Callable[[Obj], Obj],
        subresource: str = "",
        *,
        applied: Obj | None = None,
    ) -> bytes:
        """Read-modify-write of one object under its lock; `change` gets the present object in the version of `info`.

        Args:
            call: Who and how.
            info: Resource in the caller's version.
            namespace: Empty for cluster-scoped resources.
            name: Object.
            change: Gives the wanted object; must not keep or change its argument.
            subresource: ``status``, or empty for the object itself.
            applied: With server-side apply, the applied configuration (then `change` is ignored).

        Raises:
            ApiError: 404, 409, 422.
        """
        key = (namespace if info.namespaced else "", name)
        async with self.store.lock(info.bucket, key) as entry:
            if entry is None:
                raise ApiError.not_found(info.plural, name, info.group)
            data = self.render(entry, info)
            # Two copies: patches share structure with what they are laid over, and the new object is completed in place.
            old, present = orjson.loads(data), orjson.loads(data)
            if applied is not None:
                wanted, managers = ownership.apply(present, applied, info, call.manager, subresource, call.force)
            else:
                wanted, managers = change(present), None
            new = updated(call, info, old, wanted, subresource)
            metadata = new["metadata"]
            precondition(info, name, old, metadata)
            await self.strategies.prepare_update(info, old, new, subresource)
            self._validate(info, new, old, subresource)
            self.strategies.guard(call, info, old, new)
            self.strategies.admit_update(info, old, new, subresource)
            given = metadata.pop("managedFields", None)
            if managers is not None:
                new = ownership.finish_apply(old, new, managers)
            else:
                new = ownership.track(old, new, given, info, call.manager, subresource)
            metadata = new["metadata"]
            metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
            if info.generation or info.custom:
                counts = subresource not in ("binding", "status") and desired_changed(info, old, new)
                metadata["generation"] = old["metadata"].get("generation", 1) + int(counts)
            if ownership.same(old, new):
                return self.render(entry, info)
            if call.dry_run:
                return self._encode(new, info, entry.rv)
            done = bool(metadata.get("deletionTimestamp")) and self._finished(info, new)
            entry = await self._put(info, key, new, deleted=done)
        await self.strategies.after_write(info, old, None if done else new)
        return self.render(entry, info)

    async def apply(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, config: Obj, subresource: str = ""
    ) -> tuple[bytes, bool]:
        """Server-side apply; creates the object where it is absent.

        Returns:
            The object, and whether it was created.
        """
        config = meta.clone(config)
        metadata = metadata_of(info, config)
        if metadata.get("managedFields") is not None:
            raise ApiError.bad_request("metadata.managedFields must be nil")
        if metadata.get("name") not in (None, name):
            raise ApiError.bad_request(
                f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
            )
        metadata["name"] = name
        place(info, namespace, metadata)
        config = conform.decode(call, info, config, default=False)
        if twice := ownership.repeated(config, info):
            raise ApiError.bad_request(f"failed to create typed patch object ({name}; {info.kind}): {twice}")
        key = (namespace if info.namespaced else "", name)
        for _ in range(3):
            if self.store.get(info.bucket, key) is not None:
                try:
                    return await self.modify(
                        call, info, namespace, name, lambda old: old, subresource, applied=config
                    ), False
                except ApiError as exc:
                    if exc.code != 404:
                        raise
                    continue
            if subresource:
                raise ApiError.not_found(info.plural, name, info.group)
            if uid := metadata.get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise ApiError.conflict(info.plural, name, why, info.group)
            fresh = meta.clone(config)
            fresh["metadata"]["managedFields"] = ownership.applied_entry(config, info, call.manager)
            try:
                return await self.create(
                    Call(call.user, "", call.dry_run, call.validation, warnings=call.warnings), info, namespace, fresh
                ), True
            except ApiError as exc:
                if exc.reason != "AlreadyExists":
                    raise
        raise ApiError.conflict(info.plural, name, group=info.group)

    # ------------------------------------------------------------------ delete

    async def delete(
        self, call: Call, info: ResourceInfo, namespace: str, name: str, options: DeleteOptions
    ) -> tuple[bytes, bool]:
        """Deletes an object, or marks it for deletion where a finalizer or a grace period stands before.

        Returns:
            The object as it is then, and whether it is gone.
        """
        key = (namespace if info.namespaced else "", name)
        async with self.store.lock(info.bucket, key) as entry:
            if entry is None:
                raise ApiError.not_found(info.plural, name, info.group)
            old = orjson.loads(self.render(entry, info))
            metadata = old["metadata"]
            if options.uid and options.uid != metadata["uid"]:
                why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {metadata['uid']}"
                raise ApiError.conflict(info.plural, name, why, info.group)
            if options.resource_version and options.resource_version != metadata["resourceVersion"]:
                why = f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, ResourceVersion in object meta: {metadata['resourceVersion']}"
                raise ApiError.conflict(info.plural, name, why, info.group)
            self.strategies.admit_delete(info, old)
            new = meta.clone(old)
            self._mark(info, new, options)
            gone = self._finished(info, new)
            if call.dry_run:
                return self._encode(new, info, entry.rv), gone
            if gone or new != old:
                entry = await self._put(info, key, new, deleted=gone)
        if gone or new != old:
            await self.strategies.after_write(info, old, None if gone else new)
        return self.render(entry, info), gone

    def _mark(self, info: ResourceInfo, obj: Obj, options: DeleteOptions) -> None:
        metadata = obj["metadata"]
        finalizers = [f for f in metadata.get("finalizers") or () if f not in (_FOREGROUND, _ORPHAN)]
        policy = options.propagation
        if not policy:
            finalizers = list(metadata.get("finalizers") or ())
        elif policy == "Foreground":
            finalizers.append(_FOREGROUND)
        elif policy == "Orphan":
            finalizers.append(_ORPHAN)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = self.strategies.grace(info, obj, options.grace)
        present = metadata.get("deletionGracePeriodSeconds")
        if metadata.get("deletionTimestamp"):
            if present is not None and grace < present:
                metadata["deletionGracePeriodSeconds"] = grace
                metadata["deletionTimestamp"] = meta.later(metadata["deletionTimestamp"], grace - present)
        else:
            metadata["deletionTimestamp"] = meta.later(meta.now(), grace)
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        self.strategies.prepare_delete(info, obj)

    def _finished(self, info: ResourceInfo, obj: Obj) -> bool:
        metadata = obj["metadata"]
        if metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds"):
            return False
        return not (info.bucket == "namespaces" and obj.get("spec", {}).get("finalizers"))

    # ------------------------------------------------------------------ parts

    def _validate(self, info: ResourceInfo, obj: Obj, old: Obj | None, subresource: str = "") -> None:
        causes = conform.validate(info, obj, old) + self.strategies.validate(info, obj, old, subresource)
        if causes:
            raise ApiError.invalid(info.kind, obj["metadata"].get("name", ""), causes, info.group)

    def _encode(self, obj: Obj, target: ResourceInfo, rv: int) -> bytes:
        """Bytes of an object; apiVersion and kind come first, so that the version can be rewritten in place."""
        head = {"apiVersion": target.api_version, "kind": target.kind, "metadata": obj["metadata"]}
        if rv:
            head["metadata"]["resourceVersion"] = str(rv)
        else:
            head["metadata"].pop("resourceVersion", None)
        return orjson.dumps({**head, **{k: v for k, v in obj.items() if k not in head}})

    async def _put(self, info: ResourceInfo, key: tuple[str, str], obj: Obj, *, deleted: bool = False) -> Entry:
        stored, target = convert.to_stored(info, obj)

        def encode(rv: int) -> bytes:
            data = self._encode(stored, target, rv)
            if len(data) > _MAX_OBJECT and not deleted:
                raise ApiError.too_large(_MAX_OBJECT)
            return data

        return await self.store.put(info.bucket, key, encode, deleted=deleted)

    async def ensure(self, info: ResourceInfo, namespace: str, obj: Obj) -> None:
        """Creates an object of the server's own at start-up, where it is absent."""
        key = (namespace, obj["metadata"]["name"])
        if self.store.get(info.bucket, key) is None:
            await self.create(Call(SYSTEM, "kube-apiserver"), info, namespace, obj)
