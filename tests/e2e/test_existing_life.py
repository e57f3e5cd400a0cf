"""The life of a slice on clusters that exist: hosts join and leave, what is ours is upgraded, backed up and restored.

As in `test_existing`, the clusters are control planes and kubelets of the embedded engine, started by hand. Whatever happens to
the slice, nothing of them is installed, cordoned or removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM, ON_CLUSTERS, Clusters, remove_state_of_pods
from newcomer import Newcomer, Run, wait_for
from test_existing import images, inventory

pytestmark = ON_CLUSTERS
REFUSED, NOT_FOUND, CONFLICT, PARTIAL_FAILURE = 5, 6, 7, 9


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A continuum, the cluster on which it is said to run, and a member with two nodes."""
    members = {"host": ["host-node"], "member1": ["node-a", "node-b"]}
    made = Clusters(tmp_path_factory.mktemp("clusters"), members, images("127.122.2.1:6443"), block="127.122")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with an empty home, of whom nothing is left in the end."""
    newcomer = Newcomer(tmp_path, Path(__file__).parents[2])
    if "PYTHONPATH" in os.environ:
        newcomer.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    yield newcomer
    newcomer.run("mls framework destroy-all --yes --remove-applications --purge --abandon", expect=None, timeout=400)
    for pid in newcomer.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree("/var/lib/mlsysops/xpods", ignore_errors=True)
    remove_state_of_pods("xpods")


def mls(person: Newcomer, words: str, **more: Any) -> Run:
    return person.run(f"mls framework {words} -q", timeout=400, **more)


def foreign(clusters: Clusters) -> dict[str, Any]:
    """What the clusters' owners have: nodes with their specs, members of Karmada, namespaces of others."""
    nodes = {one["metadata"]["uid"]: one["spec"] for one in clusters.json("member1", "nodes")["items"]}
    members = {one["metadata"]["uid"]: one["spec"] for one in clusters.json(CONTINUUM, "clusters")["items"]}
    return nodes | members


def names(clusters: Clusters, cluster: str, kinds: str) -> set[str]:
    return {one["metadata"]["name"] for one in clusters.json(cluster, kinds, "-A")["items"]}


def with_variables(person: Newcomer, file: str, **more: Any) -> str:
    """Add variables of all hosts to an inventory."""
    path = person.work / file
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["all"]["vars"] |= more
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


def by_hand(person: Newcomer, file: str, playbook: str, **variables: Any) -> int:
    """Run a playbook with the slice's plan as somebody without `mls` does; returns how much it changed."""
    root = Path(__file__).parents[2]
    state = person.home / ".local/share/mlsysops/slices/xprocesses"
    plugins = root / "mlsysops_cli/ansible_plugins"
    person.environment |= {
        "ANSIBLE_ROLES_PATH": str(root / "roles"),
        "ANSIBLE_LIBRARY": str(plugins / "modules"),
        "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
    }
    words = f"-i {file} -i {state}/hosts.json -e @{state}/plan.json -e '{json.dumps(variables)}' {root}/playbooks/{playbook}.yml"
    said = person.run(f"ansible-playbook {words}", timeout=300).out
    return sum(int(number) for number in re.findall(r"changed=(\d+)", said))


def test_hosts_of_processes_join_and_leave_and_their_nodes_stay(person: Newcomer, clusters: Clusters) -> None:
    mls(person, f"deploy-all -i {inventory(person, clusters, 'processes', workers=('node-a',))}")
    before = foreign(clusters)
    file = inventory(person, clusters, "processes")
    assert mls(person, f"add-node node-b --check -i {file} -o json").json()["changed"] > 0
    assert "mlsysops-node-agent-node-b" not in names(clusters, "member1", "serviceaccounts")
    joined = mls(person, f"add-node node-b -i {file} -o json").json()
    assert set(joined["hosts"]) == {"node-b", "api1"}
    assert "mlsysops-node-agent-node-b" in names(clusters, "member1", "serviceaccounts")
    assert names(clusters, CONTINUUM, "mlsnode") == {"node-a", "node-b"}
    assert mls(person, f"deploy-all -i {file} -o json").json()["changed"] == 0
    assert by_hand(person, file, "add_nodes", mls_nodes=["node-b"]) == 0
    assert "no worker" in mls(person, f"add-node api1 -i {file}", expect=NOT_FOUND).err

    left = mls(person, "remove-node node-b -o json").json()
    assert set(left["hosts"]) == {"node-b", "api1"}
    assert not [
        one
        for one in names(clusters, "member1", "serviceaccounts,roles,rolebindings,leases")
        if "node-b" in one and "mlsysops" in one
    ]
    assert names(clusters, CONTINUUM, "mlsnode") == {"node-a"}
    status = person.run("mls framework status -o json").json()
    assert not [process for process in status["processes"] if "node-b" in process["name"]]
    assert foreign(clusters) == before  # not even cordoned
    file = inventory(person, clusters, "processes", workers=("node-a",))
    assert mls(person, f"deploy-all -i {file} -o json").json()["changed"] == 0
    assert mls(person, "upgrade -o json").json()["changed"] == 0
    assert foreign(clusters) == before


def test_what_another_slice_has_taken_over_is_left_to_it(person: Newcomer, clusters: Clusters) -> None:
    mls(person, f"deploy-all -i {inventory(person, clusters, 'processes')}")
    before = foreign(clusters)
    # Its nodes' ports are taken: it has none here.
    other = inventory(person, clusters, "processes", workers=(), vars={"mls_slice": "second"})
    assert "of slice xprocesses" in mls(person, f"deploy-all -i {other}", expect=CONFLICT).err
    mls(person, f"deploy-all -i {other} --take-ownership")

    def objects() -> dict[str, Any]:
        kinds = "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,clusterpropagationpolicies"
        found = (
            clusters.json(CONTINUUM, kinds, "-A")["items"],
            clusters.json("member1", kinds.rpartition(",")[0], "-A")["items"],
        )
        return {one["metadata"]["uid"]: one["metadata"].get("labels") for items in found for one in items}

    def of(slice_: str) -> dict[str, Any]:
        return {uid: labels for uid, labels in objects().items() if (labels or {}).get("mlsysops.eu/slice") == slice_}

    theirs, descriptions = of("second"), names(clusters, CONTINUUM, "mlsysopsclusters,mlsysopscontinuums")
    assert theirs
    assert of("xprocesses"), "what only nodes need"
    for extent in ("", "--remove-applications --purge"):
        refused = mls(person, f"destroy-all --yes --slice xprocesses {extent}", expect=REFUSED)
        assert "slice second has taken over clusters of slice xprocesses" in refused.err
        assert "--abandon" in refused.err
    mls(person, "destroy-all --yes --slice xprocesses --remove-applications --purge --abandon")
    assert of("second") == theirs
    assert names(clusters, CONTINUUM, "mlsysopsclusters,mlsysopscontinuums") == descriptions
    assert not of("xprocesses")
    assert not [
        pid for pid in person.processes() if b"/slices/xprocesses/" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert mls(person, f"deploy-all -i {other} -o json").json()["changed"] == 0
    mls(person, "destroy-all --yes --slice second --remove-applications --purge")
    assert not [one for one in objects().values() if (one or {}).get("app.kubernetes.io/managed-by") == "mls"]
    assert foreign(clusters) == before


def test_a_backup_of_processes_brings_back_what_people_made(
    person: Newcomer, clusters: Clusters, tmp_path: Path
) -> None:
    file = inventory(person, clusters, "processes")
    mls(person, f"deploy-all -i {file}")
    before = foreign(clusters)
    parts = tmp_path / "parts"
    parts.mkdir()
    assert by_hand(person, file, "backup", mls_backup_directory=str(parts)) == 0
    assert {path.name for path in parts.iterdir()} == {"mgmt.tar.gz", "api1.tar.gz", "+host.tar.gz", "+state.tar.gz"}
    person.run(f"mls framework create-app-test-description -i {file} --force")
    person.run("mls apps deploy-app --path mlsysops-app-test-description.yaml --wait --timeout 120", timeout=180)
    person.run("mls manage set-mode --mode 1")
    person.run(
        f"kubectl --kubeconfig {clusters.kubeconfig('member1')} create configmap own -n mlsysops --from-literal=a=b"
    )
    ours = "app.kubernetes.io/part-of=mlsysops"
    person.run(f"kubectl --kubeconfig {clusters.kubeconfig('member1')} label configmap own -n mlsysops {ours}")
    settings = clusters.json(CONTINUUM, "configmap", "mlsysops-settings", "-n", "mlsysops-framework")["data"]
    assert settings["mode"] == "1"
    token = person.run("mls context show -o json").json()
    archive = tmp_path / "x.tar"
    taken = mls(person, f"backup --file {archive} -o json").json()
    assert archive.stat().st_mode & 0o777 == 0o600
    assert set(taken["parts"]) == {"mgmt.tar.gz", "api1.tar.gz", "+host.tar.gz", "+state.tar.gz"}
    mls(person, "destroy-all --yes --remove-applications --purge")
    assert "mlsysopsapps.mlsysops.eu" not in names(clusters, CONTINUUM, "customresourcedefinitions")
    mls(person, f"restore --file {archive} -i {file}")
    assert names(clusters, CONTINUUM, "mlsapp") == {"test-application"}
    person.run("mls apps get-app-status test-application")

    def running() -> bool:
        pods = clusters.json("member1", "pods", "-n", "mlsysops")["items"]
        return len(pods) == 2 and all(pod["status"].get("phase") == "Running" for pod in pods)

    wait_for("the application's pods", running, timeout=120)
    assert person.run("mls manage ping -o json", expect=None).json()
    assert clusters.json(CONTINUUM, "configmap", "mlsysops-settings", "-n", "mlsysops-framework")["data"] == settings
    assert clusters.json("member1", "configmap", "own", "-n", "mlsysops")["data"] == {"a": "b"}
    assert person.run("mls context show -o json").json() == token
    assert foreign(clusters) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a node agent keeps its state below /var/lib, which is root's")
def test_what_is_ours_in_clusters_is_upgraded_or_goes_back(
    person: Newcomer, clusters: Clusters, tmp_path: Path
) -> None:
    file = inventory(person, clusters, "pods")
    mls(person, f"deploy-all -i {file}")
    before = foreign(clusters)
    refused = mls(person, f"add-node node-c -i {file}", expect=REFUSED)
    assert "their DaemonSet follows the clusters' nodes" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert "remove-node is for hosts of ours" in mls(person, "remove-node node-a", expect=REFUSED).err
    assert mls(person, "upgrade -o json").json()["changed"] == 0

    def run(kind: str, name: str, cluster: str) -> dict[str, Any]:
        found: dict[str, Any] = clusters.json(cluster, kind, name, "-n", "mlsysops-framework")
        return found

    def image(kind: str, name: str, cluster: str) -> str:
        return str(run(kind, name, cluster)["spec"]["template"]["spec"]["containers"][0]["image"])

    new = with_variables(person, file, mls_agents_image="mlsysops-agents:7.1")
    done = mls(person, f"upgrade -i {new} -o json").json()
    assert done["changed"] > 0
    assert image("deployment", "mlsysops-continuum-agent", "host") == "mlsysops-agents:7.1"
    assert image("daemonset", "mlsysops-node-agent", "member1") == "mlsysops-agents:7.1"

    # An image that nothing runs for: its pods are never ready.
    broken = with_variables(person, file, mls_agents_image="nobody:1", agents_kubernetes_timeout=15)
    stopped = mls(person, f"upgrade -i {broken}", expect=PARTIAL_FAILURE)
    assert len(stopped.err.strip().splitlines()) == 2  # a line for the host, and what it means for the others
    assert "the upgrade stopped at mgmt" in stopped.err
    assert "the old version runs again" in stopped.err
    assert image("deployment", "mlsysops-continuum-agent", "host") == "mlsysops-agents:7.1"
    assert image("daemonset", "mlsysops-node-agent", "member1") == "mlsysops-agents:7.1"  # was left alone
    assert foreign(clusters) == before

    good = with_variables(person, file, mls_agents_image="mlsysops-agents:7.1", agents_kubernetes_timeout=120)
    assert mls(person, f"deploy-all -i {good} -o json").json()["changed"] == 0
    archive = tmp_path / "pods.tar"
    authority = Path(person.run("mls context show -o jsonpath={.api.ca_file}").out).read_bytes()
    assert set(mls(person, f"backup --file {archive} -o json").json()["parts"]) == {
        "mgmt.tar.gz",
        "api1.tar.gz",
        "+state.tar.gz",
    }
    mls(person, "destroy-all --yes --purge")
    mls(person, f"restore --file {archive} -i {good}")
    assert Path(person.run("mls context show -o jsonpath={.api.ca_file}").out).read_bytes() == authority
    person.run("mls manage ping", timeout=60)
    assert foreign(clusters) == before
