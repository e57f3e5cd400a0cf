"""The Kubernetes API as coroutines over plain dicts, on the official client's transport and configuration.

The official package brings TLS, kubeconfig and in-cluster credentials (`kubernetes.aio.config`) and the HTTP session
(`kubernetes.aio.client.ApiClient`); its typed models are never loaded, which keeps an agent some 40 MB smaller.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config
from mlsysops_core.errors import InvalidInput, MlsError, TimedOut, Unreachable
from yaml import YAMLError

from .credentials import KubeconfigFile, read_kubeconfig
from .errors import error_of_status, parse_status
from .permissions import Permissions, collection_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from .resources import Resource

__all__ = ["KubernetesClient", "Object", "PatchType"]

Object = dict[str, Any]
PatchType = Literal["merge", "json", "strategic", "apply"]

_log = logging.getLogger(__name__)

#: Media types of patches (Kubernetes API concepts, "Patch and apply").
_PATCH_MEDIA: dict[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
#: Length of one watch before server and client agree to open a new one (client-go: 5-10 minutes).
_WATCH_SECONDS = 300
#: A watch that says nothing this long, bookmarks (one a minute) included, hangs on a dead connection.
_WATCH_SILENCE_SECONDS = 150.0


class KubernetesClient:
    """One API server. Every method raises errors of the `MlsError` families and nothing else.

    Families: `NotFound` 404, `Conflict` 409 (`AlreadyExists`, `Expired` are kinds of it), `Refused` 401/403,
    `InvalidInput` 400/422, `TimedOut` and `Unreachable` for transport faults, 429 and 5xx: these two may be retried.
    """

    def __init__(self, api: ApiClient, kubeconfig: Path | None = None) -> None:
        self._api = api
        self._kubeconfig = KubeconfigFile(kubeconfig) if kubeconfig else None
        #: What the API refused, and does still.
        self.permissions = Permissions()

    @classmethod
    async def connect(cls, kubeconfig: str | Path | None = None, *, credentials_dir: Path | None = None) -> Self:
        """A client from a kubeconfig, or from the pod's service account where no kubeconfig is given.

        Args:
            kubeconfig: Path of a kubeconfig; its current context is used.
            credentials_dir: Where certificates embedded in the kubeconfig are unpacked (files of mode 0600, removed
                at exit); the system's temporary directory where None.

        Raises:
            InvalidInput: The file is missing, is no kubeconfig, or its certificates do not load.
        """
        configuration = Configuration()
        try:
            if kubeconfig is None:
                load_incluster_config(client_configuration=configuration)
            else:
                await asyncio.to_thread(_must_be_file, Path(kubeconfig))
                await read_kubeconfig(Path(kubeconfig), configuration, scratch=credentials_dir)
            if _is_loopback(str(configuration.host)):
                # A proxy of the environment cannot reach this machine's loopback, and few people exclude all of 127/8.
                configuration.client_session_kwargs = {"trust_env": False}
            return cls(ApiClient(configuration), None if kubeconfig is None else Path(kubeconfig))
        except (ConfigException, YAMLError, OSError, ValueError, TypeError) as exc:
            source = kubeconfig if kubeconfig is not None else "service account"
            raise InvalidInput(f"{source}: not usable as a kubeconfig: {' '.join(str(exc).split())}") from exc

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self._api.configuration.host)

    async def close(self) -> None:
        """Close the HTTP session; requests under way fail."""
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """One object."""
        return await self._call("GET", resource.path(namespace, name, subresource))

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
        """One page of a collection as the API's List object; all namespaces where namespace is None."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit) if limit else "",
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        return await self._call("GET", resource.path(namespace), query=query)

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, field_manager: str = ""
    ) -> Object:
        """Create an object.

        Raises:
            AlreadyExists: The name is taken.
        """
        path = resource.path(namespace or _namespace_of(obj))
        return await self._call("POST", path, body=obj, query={"fieldManager": field_manager})

    async def update(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        field_manager: str = "",
    ) -> Object:
        """Replace an object (or its status); guarded by ``metadata.resourceVersion`` where the object has one.

        Raises:
            Conflict: The object was changed meanwhile.
        """
        path = resource.path(namespace or _namespace_of(obj), str(obj["metadata"]["name"]), subresource)
        return await self._call("PUT", path, body=obj, query={"fieldManager": field_manager})

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str | None = None,
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Change part of an object.

        Args:
            resource: The resource.
            name: Object name.
            patch: Merge or strategic patch or applied object (a mapping), or JSON patch (a list).
            namespace: Namespace of namespaced resources.
            patch_type: How the patch is read.
            subresource: E.g. ``status``.
            field_manager: Who owns the fields; required by ``apply``.
            force: Take over fields of other managers (``apply`` only).
        """
        query = {"fieldManager": field_manager, "force": "true" if force and patch_type == "apply" else ""}
        path = resource.path(namespace, name, subresource)
        return await self._call("PATCH", path, body=patch, query=query, content_type=_PATCH_MEDIA[patch_type])

    async def apply(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, field_manager: str
    ) -> Object:
        """Server-side apply of the fields in ``obj``, taking over fields others had set; creates where missing."""
        return await self.patch(
            resource,
            str(obj["metadata"]["name"]),
            {"apiVersion": resource.api_version, "kind": resource.kind, **obj},
            namespace or _namespace_of(obj),
            patch_type="apply",
            field_manager=field_manager,
            force=True,
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation_policy: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Delete an object.

        Args:
            resource: The resource.
            name: Object name.
            namespace: Namespace of namespaced resources.
            propagation_policy: ``Background``, ``Foreground`` or ``Orphan``; the server's default where None.
            uid: Delete only the object with this uid.
            resource_version: Delete only this version of it.
        """
        preconditions = {
            key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value is not None
        }
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions:
            options["preconditions"] = preconditions
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        return await self._call("DELETE", resource.path(namespace, name), body=options)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = _WATCH_SECONDS,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Object]:
        """Events ``{"type", "object"}`` from a resourceVersion on, bookmarks included, until the server ends the watch.

        Args:
            resource: The resource.
            namespace: None watches all namespaces.
            resource_version: Where to start; empty starts with an ADDED event for each object there is.
            label_selector: As in the API.
            field_selector: As in the API.
            timeout_seconds: When the server is to end the watch.
            on_open: Called when the server has accepted the watch: the first event may be far away.

        Raises:
            Expired: The resourceVersion is older than the server's history: list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": str(timeout_seconds),
        }
        path = resource.path(namespace)
        what = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS, sock_read=_WATCH_SILENCE_SECONDS)
        with _transport_errors(what):
            response = await self._send("GET", path, query=query, timeout=timeout)
            try:
                if response.status >= 400:
                    body = await response.read()
                    error = error_of_status(response.status, parse_status(body), what=what, headers=response.headers)
                    self.permissions.heard(f"WATCH {path}", error)
                    raise error
                self.permissions.heard(f"WATCH {path}")
                if on_open is not None:
                    on_open()
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event.get("type") == "ERROR":
                        status = event.get("object") or {}
                        raise error_of_status(int(status.get("code") or 0), status, what=what)
                    yield event
            finally:
                response.close()  # not release(): the rest of a watch never ends

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        what = f"{method} {path}"
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS, connect=_CONNECT_SECONDS)
        with _transport_errors(what):
            response = await self._send(
                method, path, query=query, body=body, content_type=content_type, timeout=timeout
            )
            async with response:
                data = await response.read()
            asked = f"{method} {collection_of(path)}"
            if response.status >= 400:
                error = error_of_status(response.status, parse_status(data), what=what, headers=response.headers)
                self.permissions.heard(asked, error)
                raise error
            self.permissions.heard(asked)
            value = json.loads(data)
        if not isinstance(value, dict):
            raise MlsError(f"{what}: the answer is no object")
        return value

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        parameters = [(key, value) for key, value in (query or {}).items() if value]
        headers = {"Accept": "application/json", "Content-Type": content_type}
        while True:
            # Goes through the official client so that rotating tokens and exec credentials are honoured.
            request = await self._api.param_serialize(
                method, path, query_params=parameters, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._api.call_api(*request, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            fresh = await self._kubeconfig.changed() if response.status == 401 and self._kubeconfig else None
            if fresh is None:
                return response
            response.close()
            self._api.configuration.api_key = fresh.api_key


def _namespace_of(obj: Mapping[str, Any]) -> str | None:
    namespace = obj["metadata"].get("namespace")
    return str(namespace) if namespace else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _must_be_file(path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"{path}: no such kubeconfig")


@contextlib.contextmanager
def _transport_errors(what: str) -> Iterator[None]:
    """Give faults of the connection and of the answer's form their family."""
    try:
        yield
    except TimeoutError as exc:
        raise TimedOut(f"{what}: no answer in time") from exc
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as exc:
        raise Unreachable(f"{what}: {str(exc) or type(exc).__name__}") from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise Unreachable(f"{what}: the answer is not JSON: {exc}") from exc


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own reader refuses lines beyond its buffer."""
    pending = bytearray()
    async for chunk in content.iter_any():
        pending += chunk
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if line.strip():
                yield line
