"""Clusters that exist, one of them a real Kubernetes: kubeconfigs in, a running application out, and back to what was there.

As in `test_existing`, but the member is kube-apiserver with its own controllers and scheduler (`real_cluster`). Skipped where
KUBEBUILDER_ASSETS holds none. The continuum is the embedded engine and, where KARMADA_ASSETS holds a release, a real Karmada.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from newcomer import Newcomer, wait_for
from real_planes import ON_REAL_CLUSTERS, RealPlanes, differences, running, somebody
from test_existing import inventory, run_application

pytestmark = ON_REAL_CLUSTERS


@pytest.fixture(scope="module", params=["engine", "karmada"])
def clusters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPlanes]:
    """A continuum, and a real cluster that is its member."""
    with running(tmp_path_factory.mktemp("planes"), request.param) as made:
        yield made


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    with somebody(tmp_path) as newcomer:
        yield newcomer


def change(person: Newcomer, clusters: RealPlanes) -> None:
    """Change the application's description: the pods of the component that it is about are replaced, and no others."""

    def pods() -> dict[str, str]:
        found = clusters.json("member1", "pods", "-n", "mlsysops")["items"]
        return {one["metadata"]["labels"]["mlsysops.eu/component"]: one["metadata"]["uid"] for one in found}

    before = pods()
    path = person.work / "mlsysops-app-test-description.yaml"
    document = yaml.safe_load(path.read_text())
    (client,) = [one for one in document["MLSysOpsApp"]["components"] if one["metadata"]["name"] == "client-app"]
    client["containers"][0].setdefault("env", []).append({"name": "CHANGED", "value": "yes"})
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    person.run(f"mls apps deploy-app --path {path.name} --force --wait --timeout 120", timeout=180)

    def replaced() -> bool:
        now = pods()
        return now["server-app"] == before["server-app"] and now["client-app"] != before["client-app"] and len(now) == 2

    wait_for("the client is another pod, the server is not", replaced, timeout=90)


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
    change(person, clusters)

    assert "test-application" in person.run("mls framework destroy-all --yes", expect=5).err
    person.run("mls apps remove-app test-application")
    wait_for("its pods are gone", lambda: not clusters.json("member1", "pods", "-n", "mlsysops")["items"], timeout=90)
    person.run("mls framework destroy-all --yes --purge", timeout=400)
    assert differences(before, clusters.snapshot()) == unchanged
    assert clusters.real.refusals() == set()
