"""The ConfigMaps, Secrets, tokens and services a pod refers to, kept on disk so that it can restart while the API is away."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from mlsysops_embedded.client.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.kubelet.environment import service_environment
from mlsysops_embedded.kubelet.volumes import binary_data, references

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mlsysops_embedded.client import Client, Object

__all__ = ["PodResources", "write_private"]

_RESOURCES = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
_AWAY = (429, 500, 502, 503, 504)


def write_private(path: Path, data: Any) -> None:
    """Write JSON in one step to a file of mode 0600."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class PodResources:
    """The newest known contents; an API that is away leaves the last ones in force.

    Args:
        client: API to read from.
        services: Gives all known services, or None while they are not known.
        path: File that keeps the contents.
    """

    def __init__(self, client: Client, services: Callable[[], Iterable[Object] | None], path: Path) -> None:
        self._client = client
        self._services = services
        self._path = path
        self._data: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.services: dict[str, str] = {}
        try:
            kept = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        self._data, self.tokens, self.services = kept["data"], kept["tokens"], kept["services"]

    def binary(self, kind: str, name: str) -> dict[str, bytes] | None:
        """Contents as bytes, or None where the object does not exist."""
        data = self._data.get(f"{kind}/{name}")
        return None if data is None else {key: base64.b64decode(value) for key, value in data.items()}

    def text(self, kind: str, name: str) -> dict[str, str] | None:
        """Contents as text, or None where the object does not exist."""
        data = self.binary(kind, name)
        return None if data is None else {key: value.decode("utf-8", "replace") for key, value in data.items()}

    async def refresh(self, pod: Object) -> None:
        """Read everything that a pod names; raises `ApiError` where that is refused."""
        namespace, spec = pod["metadata"]["namespace"], pod["spec"]
        for kind, name in sorted(references(spec)):
            try:
                obj = await self._client.get(_RESOURCES[kind], name, namespace)
            except ApiError as exc:
                if exc.code == 404:
                    self._data.pop(f"{kind}/{name}", None)
                elif exc.code not in _AWAY:
                    raise
                continue
            binary = binary_data({"kind": kind, **obj})
            self._data[f"{kind}/{name}"] = {key: base64.b64encode(value).decode() for key, value in binary.items()}
        await self._refresh_tokens(pod)
        known = self._services()
        if known is not None and spec.get("enableServiceLinks") is not False:
            self.services = service_environment(known, namespace)
        write_private(self._path, {"data": self._data, "tokens": self.tokens, "services": self.services})

    async def _refresh_tokens(self, pod: Object) -> None:
        sources = [
            source["serviceAccountToken"]
            for volume in pod["spec"].get("volumes") or ()
            for source in (volume.get("projected") or {}).get("sources") or ()
            if "serviceAccountToken" in source
        ]
        metadata = pod["metadata"]
        for source in sources:
            audience = source.get("audience") or ""
            bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
            request = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": [audience] if audience else [],
                    "expirationSeconds": int(source.get("expirationSeconds") or 3600),
                    "boundObjectRef": bound,
                },
            }
            account = pod["spec"].get("serviceAccountName") or "default"
            try:
                answer = await self._client.create(
                    SERVICE_ACCOUNTS, request, metadata["namespace"], name=account, subresource="token"
                )
            except ApiError as exc:
                if exc.code in _AWAY and audience in self.tokens:
                    continue
                raise
            self.tokens[audience] = answer["status"]["token"]
