"""Clusters that exist, on hosts over SSH: kubeconfigs in, agents as systemd units of the hosts, and back to what was there.

The clusters are somebody else's: control planes and kubelets of the embedded engine, started by hand on the same hosts, each
as a unit of its own with files of its own. Whoever deploys gets two kubeconfigs and the hosts' addresses.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import CONTINUUM, Clusters
from hosts import ON_HOSTS, Bed, boot
from newcomer import wait_for

from mlsysops_cli.runtime import Target, build_archives

pytestmark = ON_HOSTS
HOSTS = ("mgmt", "server", "worker1", "worker2")
WORKERS = ("worker1", "worker2")
#: Where the owners of the clusters keep their programs.
THEIRS = "/srv/theirs"
KINDS = (
    "serviceaccounts,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,services,deployments,daemonsets,"
    "pods,nodes,namespaces,customresourcedefinitions"
)
OF_KARMADA = "propagationpolicies,clusterpropagationpolicies,resourcebindings,works,clusters.cluster.karmada.io"
WHAT_IT_IS = (
    "import json, platform; print(json.dumps({'python': platform.python_version(), 'machine': platform.machine(), "
    "'libc': ' '.join(platform.libc_ver())}))"
)


class ClustersOnHosts(Clusters):
    """Clusters whose control planes and kubelets run on hosts of a testbed.

    Args:
        root: Directory for their files, here and on the hosts.
        bed: The hosts: ``mgmt`` has the continuum, ``server`` the member, the workers are its nodes.
    """

    def __init__(self, root: Path, bed: Bed) -> None:
        program = ["/usr/bin/env", f"PYTHONPATH={THEIRS}", "/usr/bin/python3", "-m", "mlsysops_testapp"]
        images = [{"image": "harbor.nbfc.io/mlsysops/test-app:*", "exec": program}]
        super().__init__(root, {"member1": list(WORKERS)}, images)
        self.bed = bed

    def plane_address(self, name: str) -> str:
        return self.bed.address[self._host(name)]

    def address(self, member: str, node: str) -> str:
        return self.bed.address[node]

    def pod_network(self, number: int, index: int) -> dict[str, Any]:
        return {}  # pods use their host's network

    def check(self, name: str) -> None:
        state = self.bed.ssh(self._host(name), "systemctl is-active theirs || journalctl -q -u theirs -n 20")
        assert state.strip() == "active", state

    def stop(self) -> None:
        """Their hosts go as a whole."""

    def _host(self, name: str) -> str:
        return {CONTINUUM: "mgmt", "member1": "server"}.get(name) or name.partition("-")[2]

    def _run(self, name: str, *command: str) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(self.root, arcname=".")
        host = self._host(name)
        self.send(host, f"mkdir -p {self.root} && tar -C {self.root} -x", packed.getvalue())
        start = f"systemd-run --quiet --unit theirs --setenv PYTHONPATH={THEIRS} /usr/bin/python3 -m mlsysops_embedded"
        self.bed.ssh(host, f"{start} {' '.join(command)}")

    def send(self, host: str, command: str, data: bytes) -> None:
        """Run a command on a host with data as its input."""
        bed = self.bed
        options = ["-i", str(bed.directory / "id_ed25519"), "-o", f"UserKnownHostsFile={bed.directory}/known_hosts"]
        argv = ["ssh", *options, "-o", "BatchMode=yes", f"root@{bed.address[host]}", command]
        subprocess.run(argv, input=data, check=True, timeout=120)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def clusters(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> ClustersOnHosts:
    made = ClustersOnHosts(tmp_path_factory.mktemp("clusters"), bed)
    target = Target.of(json.loads(bed.ssh("mgmt", f'python3 -c "{WHAT_IT_IS}"')))
    for archive in build_archives(target, print):
        for host in HOSTS:
            made.send(host, f"mkdir -p {THEIRS} && tar -C {THEIRS} -xz", archive.path.read_bytes())
    made.start()
    return made


@pytest.fixture(scope="module")
def inventory(bed: Bed, clusters: ClustersOnHosts) -> str:
    """The testbed's hosts, and a kubeconfig of each API."""
    document = yaml.safe_load(Path(bed.inventory).read_text(encoding="utf-8"))
    document["all"]["vars"] |= {"mls_engine": "existing", "mls_agents": "processes"}
    groups = document["all"]["children"]
    del groups["far_edge"]
    groups["management_cluster"]["hosts"]["mgmt"]["mls_kubeconfig"] = str(clusters.kubeconfig(CONTINUUM))
    cluster = groups["cluster1"]["children"]
    for group in cluster.values():
        for host in group["hosts"].values():
            host["k3s_cluster_name"] = "member1"
    cluster["master_nodes"]["hosts"]["server"]["mls_kubeconfig"] = str(clusters.kubeconfig("member1"))
    path = bed.person.work / "existing.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return str(path)


def state(bed: Bed, clusters: ClustersOnHosts) -> dict[str, set[str]]:
    """What hosts and APIs have, but for the files of the clusters themselves."""
    found = {
        host: {line for line in bed.contents(host) if not line.startswith((THEIRS, str(clusters.root), "cgroup "))}
        for host in HOSTS
    }
    for name, kinds in ((CONTINUUM, f"{KINDS},{OF_KARMADA}"), ("member1", KINDS)):
        listed = clusters.json(name, kinds, "-A")["items"]
        found[name] = {f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}" for o in listed}
    return found


@pytest.fixture(scope="module")
def before(bed: Bed, clusters: ClustersOnHosts) -> dict[str, set[str]]:
    return state(bed, clusters)


@pytest.fixture(scope="module")
def first(bed: Bed, inventory: str, before: dict[str, set[str]]) -> Any:
    return bed.deploy(inventory).json()


def test_agents_run_as_units_of_the_hosts(bed: Bed, first: Any, inventory: str) -> None:
    assert first["changed"] > 0
    assert first["northbound"] == f"https://{bed.address['mgmt']}:8000"
    assert bed.deploy(inventory).json()["changed"] == 0
    processes = bed.person.run("mls framework status -o json").json()["processes"]
    assert {process["name"]: process["state"] for process in processes} == dict.fromkeys(
        ("mgmt-continuum-agent", "mgmt-northbound", "server-cluster-agent", "worker1-node-agent", "worker2-node-agent"),
        "running",
    )
    units = "systemctl list-units --plain --no-legend 'mls-hosts-*' | cut -d' ' -f1"
    assert bed.ssh("worker1", units).split() == ["mls-hosts-worker1-node-agent.service"]


def test_kubeconfigs_on_hosts_are_those_of_agents(bed: Bed, clusters: ClustersOnHosts, first: Any) -> None:
    administrator = yaml.safe_load(clusters.kubeconfig("member1").read_text())["users"][0]["user"]["client-key-data"]
    for host in HOSTS:
        private = bed.ssh(host, "find /var/lib/mlsysops -name '*.kubeconfig' -printf '%m %f\\n'").splitlines()
        assert private
        assert {line.split()[0] for line in private} == {"600"}
        assert bed.ssh(host, f"grep -rlF '{administrator}' /var/lib/mlsysops /opt/mlsysops || true") == ""


def test_an_application_runs_on_nodes_of_the_cluster(bed: Bed, clusters: ClustersOnHosts, first: Any) -> None:
    person = bed.person
    description = yaml.safe_load(person.run("mls framework create-app-test-description --file -").out)
    for component, node in zip(description["MLSysOpsApp"]["components"], WORKERS, strict=True):
        component["node_placement"] = {"node": node}
    (person.work / "app.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    person.run("mls apps deploy-app --path app.yaml --wait --timeout 120", timeout=150)
    pods = clusters.json("member1", "pods", "-n", "mlsysops")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(WORKERS)

    def measured() -> bool:
        rows = person.run("mls apps get-app-performance test-application -o json").json()["items"]
        return bool(rows) and all(row["value"] is not None and row["value"] > 0 for row in rows)

    wait_for("metrics of both components", measured, timeout=120, every=1)


def test_the_way_back_leaves_clusters_and_hosts_as_they_were(
    bed: Bed, clusters: ClustersOnHosts, first: Any, before: dict[str, set[str]]
) -> None:
    refused = bed.person.run("mls framework destroy-all --yes", expect=5)
    assert "test-application" in refused.err
    bed.person.run("mls framework destroy-all --yes --remove-applications --purge", timeout=300)
    now = state(bed, clusters)
    assert {name: sorted(now[name] ^ before[name]) for name in before} == {name: [] for name in before}
    assert clusters.condition(CONTINUUM, "cluster", "member1")
    for host in HOSTS:
        assert bed.ssh(host, "systemctl is-active theirs").strip() == "active"
        assert bed.ssh(host, "ps -eo args | grep -c '[m]lsysops_agents' || true").strip() == "0"
    assert not Path(bed.person.home, ".local/share/mlsysops/slices").exists()
