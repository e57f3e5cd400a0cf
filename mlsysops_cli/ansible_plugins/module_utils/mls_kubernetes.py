"""A small dynamic Kubernetes client: what applying rendered objects needs, for any kind.

Credentials, TLS and exec plugins of kubeconfigs are those of the official client; requests are plain JSON, so
that no object is changed by a model on its way.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["Api", "ApiError", "ApiUnreachableError", "CredentialsError", "essence", "is_ours", "load_manifests"]

Object = dict[str, Any]

#: How often a request is sent again to a server that asks for it (429 or 503 with Retry-After; client-go: 10), and after how
#: many seconds at the latest, whatever it asks for.
_TIMES_TOLD, _LONGEST_PAUSE = 10, 10.0


class ApiError(Exception):
    """The API refused; the message is that of its Status object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CredentialsError(ApiError):
    """The kubeconfig's program for credentials gave none."""

    def __init__(self, message: str) -> None:
        super().__init__(401, message)


class ApiUnreachableError(Exception):
    """The API does not answer."""


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
        import kubernetes.config  # slow to import, and absent where nothing is applied

        with _told():
            client = kubernetes.config.new_client_from_config(config_file=kubeconfig)
        if not client.configuration.verify_ssl:
            import urllib3.exceptions

            # Whoever wrote insecure-skip-tls-verify knows; a warning at each request tells nobody more.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.host = client.configuration.host.rstrip("/")
        self._pool = client.rest_client.pool_manager
        self._headers = {"Accept": "application/json"}
        for setting in client.configuration.auth_settings().values():
            if setting.get("in") == "header" and setting.get("value"):
                self._headers[setting["key"]] = setting["value"]
        self._kinds: dict[str, dict[str, Object]] = {}
        self._timeout, self._retries = timeout, retries

    def request(
        self, method: str, path: str, *, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Any:
        """Send a request and return the JSON answer.

        Raises:
            ApiError: The answer is an error.
            ApiUnreachableError: There is no answer.
        """
        import urllib3.exceptions

        url = self.host + path + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            answer = self._pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=self._timeout,
                retries=_patience(self._retries),
            )
        except urllib3.exceptions.HTTPError as exc:
            raise ApiUnreachableError("{} does not answer: {}".format(self.host, getattr(exc, "reason", exc))) from exc
        try:
            value = json.loads(answer.data) if answer.data else {}
        except ValueError:
            value = {}
        if answer.status >= 400:
            said = value.get("message") if isinstance(value, dict) else None
            raise ApiError(answer.status, said or f"{method} {path}: HTTP {answer.status}")
        return value

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
        self, obj: Object, *, manager: str, timeout: float, dry_run: bool = False, known: Object | None = None
    ) -> tuple[bool, Object | None, Object]:
        """Apply an object on the server's side.

        Args:
            obj: The object.
            manager: Owner of its fields.
            timeout: Seconds until its kind must be served.
            dry_run: Only ask what it would be.
            known: What it was, where that has been looked up already.

        Returns:
            Whether it changed, what it was, what it is.
        """
        metadata = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"], timeout)
        before = known or self.get(path)
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


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise what the official client only logs: a program for credentials has failed, and it would go on as nobody."""
    said: list[str] = []
    here = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                said.append(" ".join(record.getMessage().split()))

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    if said:
        raise CredentialsError("; ".join(said)[:200])


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
