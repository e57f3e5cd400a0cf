"""The client over HTTPS, for kubelets, members of a federation and tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from mlsysops_embedded.client.kubeconfig import Connection, load_kubeconfig
from mlsysops_embedded.client.protocol import Object, PatchType, Resource
from mlsysops_embedded.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["HttpClient"]

_PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
#: The largest single watch event taken; etcd's request limit is 1.5 MiB, an object cannot be larger by much.
_MAX_LINE = 16 * 1024 * 1024


def _status(code: int, reason: str, message: str) -> ApiError:
    return ApiError(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
    )


def _error(code: int, body: bytes) -> ApiError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError({"code": code, **status})
    return _status(code, "", body[:500].decode("utf-8", "replace") or f"HTTP {code}")


class HttpClient:
    """Kubernetes' REST conventions over one pooled session; satisfies `Client`.

    Args:
        connection: Address and credentials.
        timeout: Seconds for one request that is not a watch.
        user_agent: Sent with each request, and the default field manager of the server.
    """

    def __init__(self, connection: Connection, *, timeout: float = 30.0, user_agent: str = "embedded") -> None:
        self.connection = connection
        self._timeout = timeout
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        if connection.token:
            self._headers["Authorization"] = f"Bearer {connection.token}"
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_kubeconfig(cls, path: str | Path, context: str | None = None, **options: Any) -> Self:
        """Connect as the (current) context of a kubeconfig says; raises `InvalidInput`."""
        return cls(load_kubeconfig(path, context), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _ensure_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # Watches hold a connection each, so the pool has no limit.
            connector = aiohttp.TCPConnector(limit=0, ssl=self.connection.ssl_context or True)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, read_bufsize=2**16, trust_env=False
            )
        return self._session

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Do one request and return the body of its 2xx answer; raises `ApiError` for everything else."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else None
        try:
            async with self._ensure_session().request(
                method,
                self.connection.server + path,
                params=params,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            ) as response:
                content = await response.read()
                if response.status >= 300:
                    raise _error(response.status, content)
                return content
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _status(503, "ServiceUnavailable", f"{method} {path}: {str(exc) or type(exc).__name__}") from exc

    async def _object(self, method: str, path: str, **options: Any) -> Object:
        result: Object = orjson.loads(await self.request(method, path, **options))
        return result

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """See `Client.get`."""
        return await self._object("GET", resource.path(namespace, name, subresource))

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
        """See `Client.list`."""
        params = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit or ""),
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        return await self._object("GET", resource.path(namespace), params={k: v for k, v in params.items() if v})

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
        """See `Client.create`."""
        namespace = namespace or (obj.get("metadata") or {}).get("namespace")
        return await self._object(
            "POST", resource.path(namespace, name, subresource), params=_write(dry_run, field_manager), body=obj
        )

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
        """See `Client.update`."""
        metadata = obj["metadata"]
        path = resource.path(namespace or metadata.get("namespace"), metadata["name"], subresource)
        return await self._object("PUT", path, params=_write(dry_run, field_manager), body=obj)

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
        """See `Client.patch`."""
        params = _write(dry_run, field_manager)
        if force:
            params["force"] = "true"
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, params=params, body=patch, content_type=_PATCH_TYPES[patch_type])

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
        """See `Client.delete`."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if given := {key: value for key, value in preconditions.items() if value}:
            options["preconditions"] = given
        return await self._object("DELETE", resource.path(namespace, name), body=options)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[Object]:
        """See `Client.watch`; holds one event at a time, the socket's window slows the server down."""
        params = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "allowWatchBookmarks": "true" if allow_bookmarks else "",
        }
        path = resource.path(namespace)
        # Bookmarks come about once a minute, so silence for longer than a few of them is a dead connection.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=300)
        try:
            async with self._ensure_session().get(
                self.connection.server + path, params={k: v for k, v in params.items() if v}, timeout=timeout
            ) as response:
                if response.status >= 300:
                    raise _error(response.status, await response.read())
                async for line in _lines(response.content):
                    event: Object = orjson.loads(line)
                    if event.get("type") == "ERROR":
                        raise ApiError(event["object"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as exc:
            raise _status(503, "ServiceUnavailable", f"watch {path}: {str(exc) or type(exc).__name__}") from exc

    async def discover(self) -> Sequence[Resource]:
        """See `Client.discover`."""
        versions = [("", "v1")]
        for group in (await self._object("GET", "/apis")).get("groups") or []:
            preferred = group["preferredVersion"]["version"]
            others = [entry["version"] for entry in group["versions"] if entry["version"] != preferred]
            versions += [(group["name"], version) for version in [preferred, *others]]
        listings = await asyncio.gather(*(self._resources(group, version) for group, version in versions))
        best: dict[tuple[str, str], Resource] = {}
        for (group, version), listed in zip(versions, listings, strict=True):
            for entry in listed:
                if "/" not in entry["name"] and {"list", "watch"} <= set(entry.get("verbs") or ()):
                    resource = Resource(group, version, entry["name"], bool(entry["namespaced"]), entry["kind"])
                    best.setdefault((group, entry["name"]), resource)
        return list(best.values())

    async def _resources(self, group: str, version: str) -> Sequence[Object]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            return (await self._object("GET", path)).get("resources") or []
        except ApiError as exc:
            if exc.code == 404:  # the group's last definition went away meanwhile
                return []
            raise


def _write(dry_run: bool, field_manager: str) -> dict[str, str]:
    params = {"dryRun": "All"} if dry_run else {}
    if field_manager:
        params["fieldManager"] = field_manager
    return params


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream.iter_any():
        first, *more = chunk.split(b"\n")
        rest += first
        if len(rest) > _MAX_LINE:
            raise aiohttp.ClientPayloadError("a watch event is larger than 16 MiB")
        for line in more:
            if rest.strip():
                yield rest
            rest = line
