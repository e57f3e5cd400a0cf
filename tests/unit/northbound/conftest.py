"""The API in this process, over a store in memory: no sockets."""

from __future__ import annotations

import copy
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlsysops_core.errors import Conflict, MlsError, NotFound
from mlsysops_northbound.app import create_app
from mlsysops_northbound.config import Config
from mlsysops_northbound.store import Object, Page, Resource

TOKEN = "t0ken-of-at-least-16-characters"


class MemoryStore:
    """The store's contract with Kubernetes' meaning of resourceVersion, uid, generation and dry run."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.failure: MlsError | None = None
        self.writes = 0
        self._version = 0

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def put(self, resource: Resource, obj: Mapping[str, Any], namespace: str = "mlsysops") -> Object:
        """Place an object as another writer (an agent, a user) would."""
        self._version += 1
        stored = copy.deepcopy(dict(obj))
        stored.update(apiVersion=resource.api_version, kind=resource.kind)
        metadata = stored.setdefault("metadata", {})
        metadata.setdefault("uid", str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource.plural}/{metadata['name']}")))
        metadata.setdefault("creationTimestamp", "2026-11-20T10:00:00Z")
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(self._version)
        self.objects[resource.plural, namespace, metadata["name"]] = stored
        return copy.deepcopy(stored)

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        self._check()
        try:
            return copy.deepcopy(self.objects[resource.plural, namespace, name])
        except KeyError:
            raise NotFound(f"{resource.plural} {name} not found") from None

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = "", limit: int = 0, continue_token: str = ""
    ) -> Page:
        self._check()
        assert not labels
        names = sorted(key[2] for key in self.objects if key[:2] == (resource.plural, namespace))
        names = [name for name in names if name > continue_token]
        part = names[:limit] if limit else names
        items = [copy.deepcopy(self.objects[resource.plural, namespace, name]) for name in part]
        return Page(items, part[-1] if len(part) < len(names) else "")

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        self._check()
        if (resource.plural, namespace, obj["metadata"]["name"]) in self.objects:
            raise Conflict("already exists")
        if dry_run:
            return copy.deepcopy(dict(obj))
        self.writes += 1
        return self.put(resource, obj, namespace)

    async def update(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str, *, dry_run: bool = False
    ) -> Object:
        present = await self.get(resource, obj["metadata"]["name"], namespace)
        version = obj["metadata"].get("resourceVersion")
        if version is not None and version != present["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        if dry_run:
            return copy.deepcopy(dict(obj))
        self.writes += 1
        changed = copy.deepcopy(dict(obj))
        changed["metadata"]["generation"] = present["metadata"]["generation"] + (obj.get("spec") != present.get("spec"))
        return self.put(resource, changed, namespace)

    async def delete(
        self, resource: Resource, name: str, namespace: str, *, uid: str = "", dry_run: bool = False
    ) -> None:
        present = await self.get(resource, name, namespace)
        if uid and uid != present["metadata"]["uid"]:
            raise Conflict("the uid differs")
        if not dry_run:
            self.writes += 1
            del self.objects[resource.plural, namespace, name]

    async def version(self) -> str:
        self._check()
        return "v1.33.0+memory"

    async def close(self) -> None:
        return None


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    return Config(
        slice="local", kubeconfig=tmp_path / "kubeconfig", token_file=token_file, state_dir=tmp_path, max_body=200_000
    )


@pytest.fixture
async def api(config: Config, store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    """A client that carries the token."""
    app = create_app(config, store)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://northbound",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client


APP = """\
# what the farm runs
MLSysOpsApp:
  name: shop
  components:
    - metadata: {name: web}
      containers:
        - image: example.org/web:1   # pinned
          platform_requirements: {cpu: {requests: 250m}}
      qos_metrics:
        - {application_metric_id: latency, target: 20, relation: lower_or_equal}
    - metadata: {name: cart}
      containers: [{image: "example.org/cart:1"}]
"""

NODE = """\
MLSysOpsNode:
  name: node-1
  cluster_id: cluster1
  continuum_layer: edge
  environment: {node_type: virtualized, os: ubuntu, container_runtime: [containerd]}
  hardware:
    cpu: {cores: 2, architecture: amd64, frequency: [1400000000, 1700000000]}
    memory: 4
    disk: "120"
"""


@pytest.fixture
def app_yaml() -> str:
    return APP


@pytest.fixture
def node_yaml() -> str:
    return NODE
