"""Clusters that exist, one of them a real Kubernetes: kubeconfigs in, a running application out, and back to what was there.

As in `test_existing`, but the member is kube-apiserver with its own controllers and scheduler (`real_cluster`). Skipped where
KUBEBUILDER_ASSETS holds none. The continuum is the embedded engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import CONTINUUM, Clusters, Planes, remove_state_of_pods
from kube_real import CONTROLLERS, REQUIRED, absent, kubebuilder_assets
from newcomer import Newcomer, wait_for
from real_cluster import RealCluster, network_of_this_machine, snapshot
from test_existing import images, inventory, run_application

_MISSING = absent(kubebuilder_assets(), REQUIRED + CONTROLLERS)
pytestmark = [
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl in PATH"),
    pytest.mark.skipif(bool(_MISSING), reason=f"no {' and '.join(_MISSING)} where KUBEBUILDER_ASSETS says"),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="nodes of a real Kubernetes have addresses, and pods state, of root's giving"
    ),
    pytest.mark.timeout(900),
]
NODES = ("node-a", "node-b")


class RealPlanes(Planes):
    """A continuum of the embedded engine above a real cluster."""

    def __init__(self, root: Path) -> None:
        self.members = {"member1": list(NODES)}
        self.continuum = Clusters(root / "continuum", {}, block="127.125")
        (root / "member").mkdir()
        self.real = RealCluster(root / "member", NODES, images)

    def start(self) -> None:
        self.continuum.start()
        for namespace in ("karmada-cluster", "karmada-es-member1"):
            self.kubectl(CONTINUUM, "create", "namespace", namespace, check=False)  # may be there already
        self.real.start()
        self.real.join("member1", self.continuum.kubeconfig(CONTINUUM))
        wait_for("member1 is ready", lambda: self.condition(CONTINUUM, "cluster", "member1"), timeout=90)

    def stop(self) -> None:
        self.real.stop()
        self.continuum.stop()

    def kubeconfig(self, name: str) -> Path:
        # Karmada runs on its own member here, as it may.
        return self.continuum.kubeconfig(name) if name == CONTINUUM else self.real.kubeconfig

    def snapshot(self) -> dict[str, dict[str, Any]]:
        return {name: snapshot(lambda *words, name=name: self.kubectl(name, *words)) for name in (CONTINUUM, "member1")}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPlanes]:
    """A continuum, and a real cluster that is its member."""
    with network_of_this_machine():
        made = RealPlanes(tmp_path_factory.mktemp("planes"))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    newcomer = Newcomer(tmp_path, Path(__file__).parents[2])
    yield newcomer
    newcomer.run("mls framework destroy-all --yes --remove-applications --purge --abandon", expect=None, timeout=400)
    for pid in newcomer.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    remove_state_of_pods("xpods")


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Names of objects that came, went or changed, by control plane."""
    return {
        name: [key for key in sorted({*before[name], *after[name]}) if before[name].get(key) != after[name].get(key)]
        for name in before
    }


@pytest.mark.parametrize("form", ["processes", "pods"])
def test_there_and_back(person: Newcomer, clusters: RealPlanes, form: str) -> None:
    before = clusters.snapshot()
    unchanged: dict[str, list[str]] = {name: [] for name in before}
    file = inventory(person, clusters, form)
    checked = person.run(f"mls framework deploy-all --check -i {file} -o json", timeout=400).json()
    assert checked["changed"] > 0
    assert differences(before, clusters.snapshot()) == unchanged

    person.run(f"mls framework deploy-all -i {file}", timeout=400)
    assert person.run(f"mls framework deploy-all -i {file} -o json", timeout=400).json()["changed"] == 0
    assert person.run("mls framework status").out.startswith(f"Slice x{form}: ready")
    run_application(person, file)
    pods = clusters.json("member1", "pods", "-n", "mlsysops")["items"]
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert "member1" in person.run("mls apps explain test-application").out

    assert "test-application" in person.run("mls framework destroy-all --yes", expect=5).err
    person.run("mls apps remove-app test-application")
    wait_for("its pods are gone", lambda: not clusters.json("member1", "pods", "-n", "mlsysops")["items"], timeout=90)
    person.run("mls framework destroy-all --yes --purge", timeout=400)
    assert differences(before, clusters.snapshot()) == unchanged
    assert clusters.real.refusals() == set()
