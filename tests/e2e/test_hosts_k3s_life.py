"""The life of a slice on k3s, on real systemd hosts over SSH: grown, shrunk, upgraded, backed up, restored onto bare hosts.

The programs `k3s` and `karmadactl` are stand-ins (`standins/k3s.py`, `standins/k3s_life.py`, `standins/karmadactl.py`). What they
cannot show is whether the real etcd takes a snapshot or gives up a member; instead they write down word by word what k3s is asked,
and `test_etcd_is_asked_as_its_documentation_says` holds that against k3s' documentation. Everything around them is real. One
slice goes through all of it, so the tests stand in the order in which things happen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import ON_HOSTS
from k3s_bed import K3sBed, k3s_bed
from newcomer import Run, wait_for
from release_files import VERSION, publish_k3s

pytestmark = [pytest.mark.timeout(1200), *ON_HOSTS]
REFUSED, NOT_FOUND, PARTIAL_FAILURE = 5, 6, 9
NEXT, BROKEN, SKIPPING, OLD = "v1.37.0+k3s1", "v1.37.1+k3s1", "v1.38.0+k3s1", "v1.35.9+k3s1"
ONE = {"worker1": "worker"}
TWO = {**ONE, "worker2": "worker"}
SERVERS = {**ONE, "worker2": "server"}
K3S_PIDS = "systemctl show -P MainPID k3s k3s-agent"


class Life:
    """One slice and the person who has it."""

    def __init__(self, k3s: K3sBed) -> None:
        self.k3s = k3s
        self.bed = k3s.bed
        self.shared = {"mls_artifacts_mirror": k3s.server.url, "k3s_server_timeout": 180, "k3s_agent_timeout": 180}
        self.bare: dict[str, set[str]] = {}
        self.roles = ONE
        self.version = VERSION
        self.calls: list[list[str]] = []

    def inventory(self, roles: dict[str, str], **more: Any) -> Path:
        return self.k3s.inventory("life", roles=roles, **{"mls_k3s_version": self.version, **self.shared, **more})

    def mls(self, words: str, **more: Any) -> Run:
        return self.k3s.person.run(f"mls framework {words} -q", timeout=500, **more)

    def get(self, words: str, *, host: str = "server", name: str = "admin") -> Any:
        return self.k3s.kubectl(self.k3s.admin(host, name), f"get {words}")

    def names(self, words: str, **where: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.get(words, **where)["items"]}

    def pids(self, *hosts: str) -> dict[str, str]:
        return {host: self.bed.ssh(host, K3S_PIDS) for host in hosts}

    def agents(self) -> dict[str, str]:
        """Pods of agents by their node."""
        pods = self.get("pods -n mlsysops-framework -l app.kubernetes.io/name=node-agent")["items"]
        return {pod["spec"]["nodeName"]: pod["metadata"]["uid"] for pod in pods}

    def versions(self) -> dict[str, str]:
        nodes = self.get("nodes")["items"] + self.get("nodes", host="mgmt", name="host")["items"]
        return {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    for k3s in k3s_bed(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("released")):
        made = Life(k3s)
        made.bare["worker2"] = k3s.state("worker2")
        made.mls(f"deploy-all -i {made.inventory(ONE)}")
        yield made


def test_a_worker_joins_and_nobody_else_is_bothered(life: Life) -> None:
    path = life.inventory(TWO)
    assert life.mls(f"add-node worker2 --check -i {path} -o json").json()["changed"] > 3
    assert life.k3s.state("worker2") == life.bare["worker2"]
    others, agents = life.pids("mgmt", "server", "worker1"), life.agents()
    joined = life.mls(f"add-node worker2 -i {path} -o json").json()
    assert set(joined["hosts"]) == {"worker2", "server"}
    assert life.pids("mgmt", "server", "worker1") == others
    node = life.get("node worker2")
    assert node["metadata"]["labels"]["mlsysops.eu/continuumLayer"] == "node"
    assert life.agents()["worker1"] == agents["worker1"]  # a pod of another node was not started again
    assert set(life.agents()) == {"worker1", "worker2"}
    assert life.names("mlsnode -A", host="mgmt") == {"worker1", "worker2"}
    assert life.mls(f"add-node worker2 -i {path} -o json").json()["changed"] == 0


def test_a_worker_leaves_without_a_trace(life: Life) -> None:
    assert "worker2.node-password.k3s" in life.names("secrets -n kube-system")
    refused = life.mls("remove-node server", expect=REFUSED)
    assert "server cannot leave: it leads cluster cluster1" in refused.err
    assert "no worker or server mgmt" in life.mls("remove-node mgmt", expect=NOT_FOUND).err
    left = life.mls("remove-node worker2 -o json").json()
    assert set(left["hosts"]) == {"worker2", "server"}
    now = life.k3s.state("worker2")
    assert sorted(now - life.bare["worker2"]) == []
    assert sorted(life.bare["worker2"] - now) == []
    assert life.names("nodes") == {"server", "worker1"}
    assert not [name for name in life.names("secrets -n kube-system") if "worker2" in name]
    wait_for("that the continuum forgets it", lambda: life.names("mlsnode -A", host="mgmt") == {"worker1"}, timeout=60)
    assert life.mls(f"deploy-all -i {life.inventory(ONE)} -o json").json()["changed"] == 0


def test_a_server_joins_a_cluster_that_had_one(life: Life) -> None:
    """Its store goes over to etcd, which takes one start of the first server."""
    joined = life.k3s.person.run(f"mls framework add-node worker2 -i {life.inventory(SERVERS)} -o json", timeout=400)
    assert "cluster cluster1 has 2 servers then" in joined.err
    life.roles = SERVERS
    assert set(joined.json()["hosts"]) == {"worker2", "server"}
    assert life.names("nodes") == {"server", "worker1", "worker2"}
    assert life.bed.ssh("worker2", "systemctl is-active k3s").strip() == "active"
    life.bed.ssh("server", "test -d /var/lib/rancher/k3s/server/db/etcd")
    assert life.mls(f"deploy-all -i {life.inventory(SERVERS)} -o json").json()["changed"] == 0


def test_a_server_leaves_where_etcd_keeps_its_majority(life: Life) -> None:
    life.bed.ctl("crash", "worker2")
    try:

        def away() -> bool:
            node = life.get("node worker2")
            return {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"] != "True"

        wait_for("that the cluster misses its server", away, timeout=120, every=1)
        refused = life.mls("remove-node worker2 --force", expect=REFUSED)
        assert "worker2 cannot leave: 1 of 2 servers are ready" in refused.err
        assert len(refused.err.strip().splitlines()) == 1
    finally:
        life.bed.ctl("start", "worker2")
    wait_for("its server again", lambda: not away(), timeout=120, every=1)
    left = life.mls("remove-node worker2 -o json").json()
    life.roles = ONE
    assert set(left["hosts"]) == {"worker2", "server"}
    assert life.names("nodes") == {"server", "worker1"}
    now = life.k3s.state("worker2")
    assert sorted(now - life.bare["worker2"]) == []


@pytest.mark.parametrize(("version", "why"), [
    (SKIPPING, "one minor version at a time: set mls_k3s_version to a release of v1.37 first"),
    (OLD, "k3s does not go back"),
])  # fmt: skip
def test_versions_that_cannot_follow_are_refused_before_anything_is_done(life: Life, version: str, why: str) -> None:
    before = life.pids("mgmt", "server", "worker1")
    refused = life.mls(f"upgrade -i {life.inventory(ONE, mls_k3s_version=version)}", expect=None)
    assert refused.code != 0
    *told, summary = refused.err.strip().splitlines()
    assert all(line.startswith("error: ") and why in line for line in told)
    assert summary.startswith(f"error: {len(told)} of 3 hosts failed")
    assert life.pids("mgmt", "server", "worker1") == before
    assert set(life.versions().values()) == {VERSION}


def test_karmada_is_not_upgraded(life: Life) -> None:
    refused = life.mls(f"upgrade -i {life.inventory(ONE, mls_karmada_version='v1.19.0')}", expect=None)
    assert refused.code != 0
    assert "Karmada v1.18.2 runs, and the inventory wants v1.19.0" in refused.err


def test_an_upgrade_goes_server_by_server_and_node_by_node(life: Life) -> None:
    publish_k3s(life.k3s.server, NEXT)
    agents = life.agents()
    path = life.inventory(ONE, mls_k3s_version=NEXT)
    done = life.k3s.person.run(f"mls framework upgrade -i {path} -o json", timeout=500)
    life.version = NEXT
    order = re.findall(r"changed +(\S+): Upgrade k3s: Run k3s", done.err)
    assert order == ["mgmt", "server", "worker1"], done.err
    assert life.versions() == dict.fromkeys(("mgmt", "server", "worker1"), NEXT)
    assert life.agents() == agents  # no pod was touched
    for host in ("mgmt", "server", "worker1"):
        assert life.bed.ssh(host, "ls /var/lib/mlsysops/k3s/*/k3s-release 2>/dev/null || true") == ""
    assert life.mls(f"upgrade -i {path} -o json").json()["changed"] == 0


def test_an_upgrade_that_fails_stops_with_the_old_version_running(life: Life) -> None:
    publish_k3s(life.k3s.server, BROKEN, broken="starting kubernetes: planted")
    program = "sha256sum /usr/local/bin/k3s /var/lib/rancher/k3s/agent/images/* /etc/rancher/k3s/config.yaml"
    before = {host: life.bed.ssh(host, program, expect=None) for host in ("mgmt", "server", "worker1")}
    life.shared |= {"k3s_server_timeout": 15, "k3s_agent_timeout": 15}
    stopped = life.mls(f"upgrade -i {life.inventory(ONE, mls_k3s_version=BROKEN)}", expect=PARTIAL_FAILURE)
    life.shared |= {"k3s_server_timeout": 180, "k3s_agent_timeout": 180}
    assert len(stopped.err.strip().splitlines()) == 2  # a line for the host, and what it means for the others
    assert "the upgrade stopped at mgmt" in stopped.err
    assert "planted" in stopped.err
    assert "the old version runs again" in stopped.err
    assert {host: life.bed.ssh(host, program, expect=None) for host in before} == before
    wait_for("the old versions", lambda: set(life.versions().values()) == {NEXT}, timeout=30)
    assert life.bed.ssh("mgmt", "systemctl is-active k3s").strip() == "active"
    # The inventory as it was changes nothing.
    assert life.mls(f"deploy-all -i {life.inventory(ONE, mls_k3s_version=NEXT)} -o json").json()["changed"] == 0


def identities(life: Life) -> dict[str, str]:
    found = life.get("configmaps -n mlsysops")["items"] + life.get("nodes,mlsnode -A")["items"]
    found += life.get("clusters,mlsnode,configmaps -A", host="mgmt")["items"]
    return {
        one["metadata"]["uid"]: one["metadata"]["name"]
        for one in found
        if one["metadata"]["name"] != "kube-root-ca.crt"
    }


def asked(life: Life) -> list[list[str]]:
    """What k3s of the cluster's first server was asked to back up and restore; nothing where it has SQLite."""
    lines = life.bed.ssh("server", "cat /var/lib/rancher/k3s/calls.jsonl 2>/dev/null || true").splitlines()
    return [json.loads(line) for line in lines]


def test_a_backup_brings_everything_back_onto_bare_hosts(life: Life, tmp_path: Path) -> None:
    for host, name in (("server", "admin"), ("mgmt", "admin")):
        kubeconfig = life.k3s.admin(host, name)
        life.k3s.person.run(
            f"kubectl --kubeconfig {kubeconfig} create configmap kept-{host} -n mlsysops --from-literal=a=b"
        )
    before = identities(life)
    earlier = len(asked(life))  # an upgrade takes a snapshot, too
    file = tmp_path / "k3s.tar"
    pids = life.pids("mgmt", "server")
    taken = life.mls(f"backup --file {file} -o json").json()
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(taken["parts"]) == {"mgmt.tar.gz", "server.tar.gz", "+state.tar.gz"}
    assert life.pids("mgmt", "server") == pids
    for host in ("mgmt", "server"):
        assert life.bed.ssh(host, "find / -xdev -name 'backup.tar.gz' -o -xdev -name '.backup-*'") == ""
        assert life.bed.ssh(host, "ps -eo stat= | grep -c '^T' || true").strip() == "0"
    context = json.loads(life.k3s.person.run("mls context show -o json").out)
    life.calls = asked(life)[earlier:]
    life.mls("destroy-all --yes")
    assert life.bed.ssh("server", "find /var/lib/rancher /etc/rancher -mindepth 1 2>/dev/null || true") == ""
    path = life.inventory(life.roles)
    life.mls(f"restore --file {file} -i {path}")
    life.calls += asked(life)
    after = identities(life)
    assert {uid: name for uid, name in before.items() if uid not in after} == {}
    assert json.loads(life.k3s.person.run("mls context show -o json").out) == context
    assert life.k3s.person.run("mls manage ping", timeout=60).code == 0
    assert life.mls(f"deploy-all -i {path} -o json").json()["changed"] == 0


def test_etcd_is_asked_as_its_documentation_says(life: Life) -> None:
    """https://docs.k3s.io/cli/etcd-snapshot: save, delete, and the reset with the path of a snapshot."""
    save, delete, reset = life.calls
    assert save[:4] == ["etcd-snapshot", "save", "--name", "mls-backup"]
    assert save[4] == "--etcd-snapshot-dir"
    assert delete[:2] == ["etcd-snapshot", "delete"]
    assert re.fullmatch(r"mls-backup-server-\d+", delete[2])
    assert delete[3:] == save[4:]
    assert reset[:3] == ["server", "--config", "/etc/rancher/k3s/config.yaml"]
    assert reset[3] == "--cluster-reset"
    assert re.fullmatch(r"--cluster-reset-restore-path=/\S+/store", reset[4])
    assert len(reset) == 5  # the token is in its file, and on no command line


def test_a_dead_worker_leaves_by_force(life: Life) -> None:
    life.bed.ctl("crash", "worker1")
    left = life.mls("remove-node worker1 --force -o json").json()
    assert "unit k3s-agent" in left["left"]["worker1"]
    assert life.names("nodes") == {"server"}
    assert not [name for name in life.names("secrets -n kube-system") if "worker1" in name]
