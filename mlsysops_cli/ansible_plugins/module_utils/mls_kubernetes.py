"""A small dynamic Kubernetes client: what applying rendered objects needs, for any kind.

Requests are plain JSON, so that no object is changed by a model on its way.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Ansible's modules know this package by another name.
from .mls_access import Access, ApiError, ApiUnreachableError, CredentialsError

if TYPE_CHECKING:
    from types import EllipsisType

__all__ = ["Api", "ApiError", "ApiUnreachableError", "CredentialsError", "essence", "is_ours", "load_manifests"]

Object = dict[str, Any]

#: How often a request is sent again to a server that asks for it (429 or 503 with Retry-After; client-go: 10), and after how
#: many seconds at the latest, whatever it asks for.
_TIMES_TOLD, _LONGEST_PAUSE = 10, 10.0
#: HTTP status of an API that does not know who asks.
_WHO_ASKS = 401


class Api:
    """One control plane.

    Args:
        kubeconfig: Path of a kubeconfig; its current context is used.
        timeout: Seconds of one attempt.
        retries: Further attempts where there is no answer.

    Raises:
        CredentialsError: The kubeconfig has a program for credentials, which gives none.
    """

    def __init__(self, kubeconfig: str, *, timeout: float = 30.0, retries: int = 3) -> None:
        self._access = Access(kubeconfig)
        self._renewing = threading.Lock()
        self._kinds: dict[str, dict[str, Object]] = {}
        self._timeout, self._retries = timeout, retries

    @property
    def host(self) -> str:
        """Its URL."""
        return self._access.host

    def request(
        self, method: str, path: str, *, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Any:
        """Send a request and return the JSON answer.

        Where the credentials are not good any more they are read again, and it is sent once more: tokens in files are replaced
        by others while we work, and those that programs give expire.

        Raises:
            ApiError: The answer is an error.
            ApiUnreachableError: There is no answer.
        """
        data = json.dumps(body).encode() if body is not None else None
        typed = {"Content-Type": content_type} if body is not None else {}
        asked = self._access.headers
        answer = self._send(method, path, query, data, typed)
        if answer.status == _WHO_ASKS:
            self._renew(asked)
            answer = self._send(method, path, query, data, typed)
        try:
            value = json.loads(answer.data) if answer.data else {}
        except ValueError:
            value = {}
        if answer.status >= 400:
            said = value.get("message") if isinstance(value, dict) else None
            raise ApiError(answer.status, said or f"{method} {path}: HTTP {answer.status}")
        return value

    def _send(self, method: str, path: str, query: dict[str, str], data: bytes | None, typed: dict[str, str]) -> Any:
        import urllib3.exceptions

        try:
            return self._access.pool.request(
                method,
                self.host + path + ("?" + urllib.parse.urlencode(query) if query else ""),
                body=data,
                headers={"Accept": "application/json", **self._access.headers, **typed},
                timeout=self._timeout,
                retries=_patience(self._retries),
            )
        except urllib3.exceptions.HTTPError as exc:
            raise ApiUnreachableError("{} does not answer: {}".format(self.host, getattr(exc, "reason", exc))) from exc

    def _renew(self, asked: dict[str, str]) -> None:
        """Get credentials anew, once for all threads that were refused with the same ones."""
        with self._renewing:
            if self._access.headers is asked:
                self._access.renew()

    def path(self, api_version: str, kind: str, namespace: str, name: str, timeout: float = 0) -> str:
        """Return the path of an object, waiting until its kind is served.

        Raises:
            ApiError: It is not served in time.
        """
        deadline = time.monotonic() + timeout
        base = "/api/" + api_version if "/" not in api_version else "/apis/" + api_version
        delay = 0.05
        while True:
            found = self._resource(base, api_version, kind)
            if found:
                middle = "/namespaces/" + namespace if found["namespaced"] and namespace else ""
                return "{}{}/{}/{}".format(base, middle, found["name"], name)
            if time.monotonic() >= deadline:
                raise ApiError(404, f"{self.host} does not serve {api_version} {kind}")
            time.sleep(delay)
            delay = min(delay * 1.5, 0.5)
            self._kinds.pop(api_version, None)

    def _resource(self, base: str, api_version: str, kind: str) -> Object | None:
        if api_version not in self._kinds:
            try:
                listed = self.request("GET", base)
            except ApiError as exc:
                if exc.code != 404:
                    raise
                return None
            self._kinds[api_version] = {r["kind"]: r for r in listed.get("resources", []) if "/" not in r["name"]}
        return self._kinds[api_version].get(kind)

    def get(self, path: str) -> Object | None:
        """Return an object, or None where there is none."""
        try:
            found: Object = self.request("GET", path)
        except ApiError as exc:
            if exc.code == 404:
                return None
            raise
        return found

    def find(self, obj: Object) -> Object | None:
        """Return an object as the API has it; None where it has none, or does not serve its kind."""
        metadata = obj["metadata"]
        try:
            return self.get(self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"]))
        except ApiError as exc:
            if exc.code == 404:
                return None
            raise

    def apply(
        self,
        obj: Object,
        *,
        manager: str,
        timeout: float,
        dry_run: bool = False,
        known: Object | EllipsisType | None = ...,
    ) -> tuple[bool, Object | None, Object]:
        """Apply an object on the server's side.

        Args:
            obj: The object.
            manager: Owner of its fields.
            timeout: Seconds until its kind must be served.
            dry_run: Only ask what it would be.
            known: What it was, None where it was not there; looked up where left out.

        Returns:
            Whether it changed, what it was, what it is.
        """
        metadata = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"], timeout)
        before = self.get(path) if known is ... else known
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        after: Object = self.request("PATCH", path, body=obj, content_type="application/apply-patch+yaml", **query)
        return before is None or essence(before) != essence(after), before, after

    def delete(self, path: str, *, dry_run: bool = False, grace: int | None = None) -> bool:
        """Delete an object and, in the background, what it owns; return whether there was one.

        Args:
            path: Its path.
            dry_run: Only ask whether it would go.
            grace: Seconds that a pod gets to end; its own where None.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if dry_run:  # in the body: next to a body Kubernetes does not look at the query, and would really delete
            options["dryRun"] = ["All"]
        try:
            self.request("DELETE", path, body=options)
        except ApiError as exc:
            if exc.code == 404:
                return False
            raise
        return True

    def wait(self, fetch: Callable[[], Object | None], condition: str, deadline: float) -> str:
        """Wait until an object has a condition that is true; return what is missing, or nothing.

        Args:
            fetch: Returns the object.
            condition: Type of the condition.
            deadline: In terms of `time.monotonic`.
        """
        delay = 0.05
        while True:
            found = fetch()
            missing = "it does not exist" if found is None else f"it has no condition {condition} yet"
            for one in ((found or {}).get("status") or {}).get("conditions") or []:
                if one.get("type") == condition:
                    if one.get("status") == "True":
                        return ""
                    missing = (
                        one.get("message")
                        or one.get("reason")
                        or "condition {} is {}".format(condition, one.get("status"))
                    )
            if time.monotonic() >= deadline:
                return missing
            time.sleep(delay)
            delay = min(delay * 1.5, 0.5)


def _patience(retries: int) -> Any:
    """Return which requests are sent again: those without an answer so often, and those of a server that is busy.

    An apply may be sent twice, as what creates or evicts may not.
    """
    import urllib3

    class Patience(urllib3.Retry):
        def get_retry_after(self, response: Any) -> float | None:
            asked: float | None = super().get_retry_after(response)
            return asked if asked is None else min(asked, _LONGEST_PAUSE)

    return Patience(
        _TIMES_TOLD + retries,
        connect=retries,
        read=retries,
        other=retries,
        status=_TIMES_TOLD,
        redirect=0,
        backoff_factor=0.2,
        allowed_methods=urllib3.Retry.DEFAULT_ALLOWED_METHODS | {"PATCH"},
        raise_on_status=False,  # what the server says in the end is what is told
    )


def is_ours(obj: Object) -> bool:
    """Whether an object was rendered and applied by `mls`, as its label says."""
    return bool((obj["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "mls")


def essence(obj: Object) -> Object:
    """Return what makes two states of an object the same to its owner: not bookkeeping, not status."""
    metadata = {
        k: v for k, v in obj.get("metadata", {}).items() if k not in ("managedFields", "resourceVersion", "generation")
    }
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}


def load_manifests(directory: str) -> list[Object]:
    """Return all objects below a directory, in the order of their paths, or those of one file."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects: list[Object] = []
    root = Path(directory)
    for path in [root] if root.is_file() else sorted(root.rglob("*.yaml")):
        documents = yaml.load_all(path.read_text(encoding="utf-8"), Loader=loader)
        objects += [document for document in documents if document]
    return objects
