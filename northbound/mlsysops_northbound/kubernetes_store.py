"""The store on a Kubernetes API server, through the official Python client's asyncio edition."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio import config as kube_config
from mlsysops_core.errors import Conflict, InvalidInput, MlsError, NotFound, Refused, TimedOut, Unreachable

from mlsysops_northbound.store import Object, Page, Resource

__all__ = ["FIELD_MANAGER", "KubernetesStore"]

_log = logging.getLogger(__name__)

FIELD_MANAGER = "mlsysops-northbound"
_TIMEOUT = 10.0
#: Seconds that a kubeconfig's program for credentials gets.
_LOGIN_TIMEOUT = 30.0
_FAMILIES: dict[int, type[MlsError]] = {
    400: InvalidInput,
    401: Refused,
    403: Refused,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    410: Conflict,
    413: InvalidInput,
    422: InvalidInput,
    429: Unreachable,
    500: Unreachable,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}


class KubernetesStore:
    """Objects of one API server.

    Args:
        kubeconfig: How to reach it; read at the first request and again when it changes, so that the API may start before its
            control plane and outlives a renewal of certificates.
        scratch: Private directory for the files that TLS needs; emptied first.
    """

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        self._kubeconfig = kubeconfig
        self._scratch = scratch
        self._client: Any = None
        self._stamp: tuple[int, int] = (0, 0)
        self._lock = asyncio.Lock()
        # Once only: the library remembers which file holds what, also over a second reading.
        shutil.rmtree(scratch, ignore_errors=True)

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        """Return an object."""
        return await self._request("GET", self._path(resource, namespace, name))

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = "", limit: int = 0, continue_token: str = ""
    ) -> Page:
        """Return objects by name."""
        query = {"labelSelector": labels, "limit": str(limit) if limit else "", "continue": continue_token}
        answer = await self._request("GET", self._path(resource, namespace), query)
        items = [
            {"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in answer.get("items") or []
        ]
        return Page(items, str(answer.get("metadata", {}).get("continue") or ""))

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        """Create an object."""
        return await self._request("POST", self._path(resource, namespace), _write_query(dry_run=dry_run), obj)

    async def update(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        """Replace an object."""
        path = self._path(resource, namespace, obj["metadata"]["name"])
        return await self._request("PUT", path, _write_query(dry_run=dry_run), obj)

    async def delete(
        self, resource: Resource, name: str, namespace: str, *, uid: str = "", dry_run: bool = False
    ) -> None:
        """Delete an object and, in the background, what it owns."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if dry_run:
            options["dryRun"] = ["All"]
        await self._request("DELETE", self._path(resource, namespace, name), {}, options)

    async def version(self) -> str:
        """Return the version of the API server."""
        answer = await self._request("GET", "/version")
        return str(answer.get("gitVersion", ""))

    async def close(self) -> None:
        """Close connections and remove the files."""
        async with self._lock:
            if self._client is not None:
                await self._client.close()
                self._client = None
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    def _path(self, resource: Resource, namespace: str, name: str = "") -> str:
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        path = f"{root}/namespaces/{namespace}/{resource.plural}"
        return f"{path}/{name}" if name else path

    async def _connect(self) -> Any:
        async with self._lock:
            try:
                status = self._kubeconfig.stat()
                if self._client is None or self._stamp != (status.st_mtime_ns, status.st_ino):
                    fresh = await self._load()
                    if self._client is not None:
                        await self._client.close()
                    self._client, self._stamp = fresh, (status.st_mtime_ns, status.st_ino)
            except (kube_config.ConfigException, OSError) as exc:
                if self._client is None:
                    raise Unreachable(
                        f"{self._kubeconfig}: {_line(exc)}", hint="the control plane is not set up yet"
                    ) from exc
                _log.warning("%s cannot be read again: %s", self._kubeconfig, _line(exc))
            return self._client

    async def _load(self) -> Any:
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = client.Configuration()
        try:
            async with asyncio.timeout(_LOGIN_TIMEOUT):
                await kube_config.load_kube_config(
                    config_file=str(self._kubeconfig),
                    client_configuration=configuration,
                    persist_config=False,
                    temp_file_path=str(self._scratch),
                )
        except TimeoutError as exc:
            said = f"its program for credentials gave none within {_LOGIN_TIMEOUT:g} s; run it by hand once"
            raise kube_config.ConfigException(said) from exc
        return client.ApiClient(configuration)

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Object:
        api = await self._connect()
        parts = await api.param_serialize(
            method=method,
            resource_path=path,
            query_params=[(name, value) for name, value in (query or {}).items() if value],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=dict(body) if body is not None else None,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await api.call_api(*parts, _request_timeout=_TIMEOUT)
            data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            host = api.configuration.host
            raise Unreachable(
                f"the continuum's API at {host} does not answer: {_line(exc)}", hint="try again shortly"
            ) from exc
        try:
            value = json.loads(data)
        except ValueError as exc:
            raise Unreachable(f"the continuum's API answered {answer.status} with something that is no JSON") from exc
        if answer.status >= 400:
            raise _error(answer.status, value, path)
        return value if isinstance(value, dict) else {}


def _write_query(*, dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All" if dry_run else "", "fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}


def _error(status: int, value: Any, path: str) -> MlsError:
    message = str(value.get("message") or "") if isinstance(value, dict) else ""
    family = _FAMILIES.get(status, Unreachable if status >= 500 else InvalidInput)
    hint = ""
    if status in {401, 403}:
        hint = "the northbound API lacks a permission on the continuum"
    elif family is Unreachable:
        hint = "try again shortly"
    return family(message or f"the continuum's API answered {status} to {path}", hint=hint)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
