"""A Kubernetes API seen as plain HTTP: requests, watches and the paths of resources."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

Obj = dict[str, Any]
T = TypeVar("T")

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

#: Where the resources that the tests use live: plural -> path of the group and version.
ROOTS = {
    **dict.fromkeys(
        ("configmaps", "secrets", "pods", "services", "serviceaccounts", "events", "namespaces", "nodes"), "/api/v1"
    ),
    **dict.fromkeys(("deployments", "replicasets", "daemonsets"), "/apis/apps/v1"),
    **dict.fromkeys(
        ("roles", "rolebindings", "clusterroles", "clusterrolebindings"), "/apis/rbac.authorization.k8s.io/v1"
    ),
    "leases": "/apis/coordination.k8s.io/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
}


def path(resource: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """URL path of a built-in resource, e.g. ``path("pods", "default", "web", "log")``."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    parts = [ROOTS[resource] + scope, resource, name, subresource]
    return "/".join(part for part in parts if part)


def wait_for(what: str, condition: Callable[[], T | None], *, timeout: float = 15.0, every: float = 0.05) -> T:
    """Poll until the condition gives something true.

    Raises:
        AssertionError: It did not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(every)


def failure(response: httpx.Response, code: int, reason: str) -> Obj:
    """The `Status` of a refused request, which has to have this code and reason."""
    assert response.status_code == code, f"{response.status_code} is not {code}: {response.text[:500]}"
    status: Obj = response.json()
    assert status["kind"] == "Status", status
    assert status["apiVersion"] == "v1", status
    assert status["status"] == "Failure", status
    assert status["code"] == code, status
    assert status.get("reason") == reason, status
    return status


def causes(status: Obj) -> dict[str, str]:
    """Field -> message of a Status' causes."""
    return {cause["field"]: cause["message"] for cause in status["details"]["causes"]}


class Watch:
    """An open watch: an iterator of events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self) -> Obj:
        """The next event.

        Raises:
            StopIteration: The server ended the watch.
            httpx.ReadTimeout: None came in the client's time.
        """
        event: Obj = json.loads(next(self._lines))
        return event

    def take(self, count: int) -> list[Obj]:
        """The next so many events."""
        return [self.next() for _ in range(count)]

    def rest(self) -> Iterator[Obj]:
        """All events until the server ends the watch."""
        return (json.loads(line) for line in self._lines)


class Api:
    """One user's access to an API server.

    Args:
        url: Base URL.
        ca_file: Certificate authority of the server.
        cert: Files of a client certificate and its key.
        token: Bearer token.
    """

    def __init__(self, url: str, ca_file: Path, cert: tuple[Path, Path] | None = None, token: str = "") -> None:
        self.url = url
        self.context = ssl.create_default_context(cafile=str(ca_file))
        if cert:
            self.context.load_cert_chain(cert[0], cert[1])
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(
            base_url=url,
            verify=self.context,
            headers={"Accept": "application/json", "User-Agent": "contract-test/1.0", **self.headers},
            timeout=30,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    # Plain requests: whatever the answer is.

    def get(self, url: str, accept: str = "", **params: Any) -> httpx.Response:
        """GET."""
        return self.http.get(url, params=params, headers={"Accept": accept} if accept else None)

    def post(self, url: str, obj: Any, **params: Any) -> httpx.Response:
        """POST JSON."""
        return self.http.post(url, json=obj, params=params)

    def put(self, url: str, obj: Any, **params: Any) -> httpx.Response:
        """PUT JSON."""
        return self.http.put(url, json=obj, params=params)

    def patch(self, url: str, patch: Any, kind: str = MERGE, **params: Any) -> httpx.Response:
        """PATCH; `kind` is the patch's content type."""
        return self.http.patch(url, content=json.dumps(patch), params=params, headers={"Content-Type": kind})

    def delete(self, url: str, options: Obj | None = None, **params: Any) -> httpx.Response:
        """DELETE with DeleteOptions in the body."""
        return self.http.request("DELETE", url, json=options, params=params)

    # Requests that have to succeed: the object of the answer.

    def read(self, url: str, **params: Any) -> Obj:
        """GET that succeeds."""
        return answer(self.get(url, **params), 200)

    def create(self, url: str, obj: Any, **params: Any) -> Obj:
        """POST that creates."""
        return answer(self.post(url, obj, **params), 201)

    def replace(self, url: str, obj: Any, **params: Any) -> Obj:
        """PUT that succeeds."""
        return answer(self.put(url, obj, **params), 200)

    def merge(self, url: str, patch: Obj, **params: Any) -> Obj:
        """Merge patch that succeeds."""
        return answer(self.patch(url, patch, **params), 200)

    def apply(self, url: str, obj: Obj, manager: str, **params: Any) -> Obj:
        """Server-side apply that succeeds, creating or not."""
        return answer(self.patch(url, obj, APPLY, fieldManager=manager, **params), 200, 201)

    def remove(self, url: str, options: Obj | None = None, **params: Any) -> Obj:
        """DELETE that is accepted."""
        return answer(self.delete(url, options, **params), 200, 202)

    def gone(self, url: str) -> bool:
        """Whether there is no such object."""
        return self.get(url).status_code == 404

    @contextmanager
    def watch(self, url: str, accept: str = "", silence: float = 15, **params: Any) -> Iterator[Watch]:
        """Open a watch.

        Args:
            url: Of the collection.
            accept: Accept header.
            silence: Seconds without an event after which reading fails.
            params: Query parameters.
        """
        with self.http.stream(
            "GET",
            url,
            params={"watch": "true", **params},
            timeout=httpx.Timeout(30, read=silence),
            headers={"Accept": accept} if accept else None,
        ) as response:
            if response.status_code != 200:
                response.read()
                raise AssertionError(f"watch refused: {response.status_code} {response.text}")
            yield Watch(response)


def answer(response: httpx.Response, *codes: int) -> Obj:
    """The object of an answer, which has to have one of these codes."""
    assert response.status_code in codes, f"{response.status_code} is not in {codes}: {response.text[:2000]}"
    obj: Obj = response.json()
    return obj


# Small objects.


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Obj:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": data if data is not None else {"key": "value"},
    }


def lease(name: str, value: str = "value", **metadata: Any) -> Obj:
    """A Lease: of these, unlike of ConfigMaps, nobody else puts one into a test's namespace."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, **metadata},
        "spec": {"holderIdentity": value},
    }


def hold(value: str) -> Obj:
    """Merge patch that changes a Lease."""
    return {"spec": {"holderIdentity": value}}


def pod(name: str, *, image: str = "example.com/simulated:1", **spec: Any) -> Obj:
    """A Pod with one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image}], **spec},
    }


def deployment(name: str, *, replicas: int = 1, image: str = "example.com/simulated:1", **spec: Any) -> Obj:
    """A Deployment of a one-container pod."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            **spec,
        },
    }


def names(listing: Obj) -> list[str]:
    """Names of a list's items."""
    return [item["metadata"]["name"] for item in listing["items"]]


def version(obj: Obj) -> int:
    """The resourceVersion as a number (for order alone)."""
    return int(obj["metadata"]["resourceVersion"])
