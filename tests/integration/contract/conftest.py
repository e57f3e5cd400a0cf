"""Targets of the contract tests, and what each test gets of them: users, a namespace of its own, kubectl."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "kubernetes"))

from kube_api import Api, path, wait_for
from kube_cli import Kubectl, kubectls
from kube_embedded import EmbeddedControlPlane
from kube_real import REQUIRED, KubeApiserver, absent, kubebuilder_assets
from kube_targets import Target

_COUNTER = itertools.count(1)
NODES = ("worker-1", "worker-2")


def _version_of(program: str) -> str:
    if not program:
        return "no kubectl"
    argv = [program, "version", "--client", "-o", "json"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    return str(json.loads(done.stdout)["clientVersion"]["gitVersion"])


@pytest.fixture(scope="session", params=["embedded", "kube-apiserver"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A running API server."""
    if request.param == "kube-apiserver":
        assets = kubebuilder_assets()
        if missing := absent(assets, REQUIRED):
            pytest.skip(f"no {' and '.join(missing)} in {assets} (set KUBEBUILDER_ASSETS)")
        directory = tmp_path_factory.mktemp("kube-apiserver")
        server: EmbeddedControlPlane | KubeApiserver = KubeApiserver(directory, assets, nodes=NODES)
    else:
        server = EmbeddedControlPlane(tmp_path_factory.mktemp("embedded"), nodes=NODES)
    common = (request.param, server.directory, server.url, server.authority, server.kubeconfig, server.kubelets)
    try:
        server.start()
        if isinstance(server, KubeApiserver):
            running = Target(*common, missing=" and ".join(server.missing), compact=server.compact)
        else:
            running = Target(*common, embedded=server)
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
    if target.missing:
        pytest.skip(f"{target.name} runs without {target.missing}, which KUBEBUILDER_ASSETS does not hold")


@pytest.fixture(scope="session")
def nodes(target: Target, api: Api, controllers: None) -> list[str]:
    """Two Ready nodes on which every pod runs in name only."""
    for node in NODES:
        target.kubelets.start(node)

    def ready() -> bool:
        listing = api.read(path("nodes"))["items"]
        good = [
            node["metadata"]["name"]
            for node in listing
            for condition in node.get("status", {}).get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return set(NODES) <= set(good)

    wait_for("nodes are Ready", ready, timeout=30)
    return list(NODES)


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


@pytest.fixture(scope="session", params=kubectls() or [""], ids=_version_of)
def kubectl_program(request: pytest.FixtureRequest) -> str:
    """A real kubectl; MLS_KUBECTL lists others than the one in PATH."""
    program: str = request.param
    if not program:
        pytest.skip("no kubectl in PATH, and none in MLS_KUBECTL")
    return program


@pytest.fixture(scope="session")
def kubectl_home(target: Target, kubectl_program: str) -> Path:
    """Caches of kubectl, one home a target and program."""
    home = target.directory / f"home-{kubectls().index(kubectl_program)}"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture
def kubectl(target: Target, kubectl_program: str, kubectl_home: Path, namespace: str) -> Kubectl:
    """The real kubectl, in the test's namespace."""
    return Kubectl(kubectl_program, target.kubeconfig, kubectl_home, namespace)
