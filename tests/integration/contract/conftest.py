"""Targets of the contract tests, and what each test gets of them: users, a namespace of its own, kubectl."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from kube_api import Api, path, wait_for
from kube_cli import KUBECTL, Kubectl
from kube_targets import EmbeddedControlPlane, KubeApiserver, Target, kubebuilder_assets

_COUNTER = itertools.count(1)


@pytest.fixture(scope="session", params=["embedded", "kube-apiserver"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running API server."""
    if request.param == "kube-apiserver":
        assets = kubebuilder_assets()
        missing = [name for name in ("etcd", "kube-apiserver") if not (assets / name).is_file()]
        if missing:
            pytest.skip(f"no {' and '.join(missing)} in {assets} (set KUBEBUILDER_ASSETS)")
        server: EmbeddedControlPlane | KubeApiserver = KubeApiserver(tmp_path_factory.mktemp("kube-apiserver"), assets)
    else:
        server = EmbeddedControlPlane(tmp_path_factory.mktemp("embedded"), nodes=("worker-1", "worker-2"))
    try:
        server.start()
        running = server.target()
        try:
            yield running
        finally:
            running.close()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def api(target: Target) -> Api:
    """An administrator."""
    return target.user("kubernetes-admin", "system:masters")


@pytest.fixture(scope="session")
def controllers(target: Target) -> None:
    """For tests that need controllers."""
    if not target.controllers:
        pytest.skip(f"{target.name} runs without controllers")


@pytest.fixture(scope="session")
def nodes(target: Target, api: Api) -> list[str]:
    """Two Ready nodes on which every pod runs in name only."""
    if target.embedded is None:
        pytest.skip(f"{target.name} runs without kubelets")
    plane = target.embedded
    for node in plane.nodes:
        plane.start_kubelet(node)

    def ready() -> bool:
        listing = api.read(path("nodes"))["items"]
        good = [
            node["metadata"]["name"]
            for node in listing
            for condition in node.get("status", {}).get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return set(plane.nodes) <= set(good)

    wait_for("nodes are Ready", ready, timeout=30)
    return list(plane.nodes)


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{next(_COUNTER)}"
    api.create(path("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.delete(path("namespaces", name=name))


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"unique-{next(_COUNTER)}"


@pytest.fixture(scope="session")
def kubectl_home(target: Target) -> Path:
    """Caches of kubectl, one home a target."""
    home = target.directory / "home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture
def kubectl(target: Target, kubectl_home: Path, namespace: str) -> Kubectl:
    """The real kubectl, in the test's namespace."""
    if KUBECTL is None:
        pytest.skip("no kubectl in PATH")
    return Kubectl(target.kubeconfig, kubectl_home, namespace)
