"""The engine k3s on real systemd hosts over SSH: files without internet, servers, agents, Karmada, and all the way back.

The programs `k3s` and `karmadactl` are stand-ins (see `standins/k3s.py` and `standins/karmadactl.py`, which say what is real
about them). Everything around them is real: the server of released files, downloads and checksums, the artifacts
directory, SSH, Ansible, systemd units, tokens and the order of joining, kubeconfigs, and the removal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ON_HOSTS
from k3s_bed import K3sBed, k3s_bed
from newcomer import wait_for
from release_files import KARMADA, VERSION
from watch import Watch

pytestmark = [pytest.mark.timeout(1200), *ON_HOSTS]
HOSTS = ("mgmt", "server", "worker1", "worker2")
PINNED = "k3s/v1.36.4+k3s1"


@pytest.fixture(scope="module")
def k3s(tmp_path_factory: pytest.TempPathFactory) -> Iterator[K3sBed]:
    yield from k3s_bed(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def bare(k3s: K3sBed) -> dict[str, set[str]]:
    """What the hosts had before."""
    return {host: k3s.state(host) for host in HOSTS}


@pytest.fixture(scope="module")
def offline(k3s: K3sBed, bare: dict[str, set[str]]) -> Path:
    """An inventory of hosts without internet, and the directory that it needs."""
    mirror = {"mls_artifacts_mirror": k3s.server.url}
    fetching = k3s.inventory("fetching", **mirror)
    k3s.server.faults["k3s"] = "truncated"
    try:
        done = k3s.person.run(
            f"mls framework fetch-artifacts -i {fetching} --output-dir {k3s.artifacts} --arch amd64 -o json"
        )
    finally:
        k3s.server.faults.clear()
    rows = {row["name"]: row["trust"] for row in done.json()["items"]}
    assert rows[f"k3s/{VERSION}/k3s"] == "released-list"
    assert rows[f"{KARMADA}/crds.tar.gz"] == "first-use"
    (k3s.artifacts / "images").mkdir()
    (k3s.artifacts / "images" / "own.tar").write_bytes(b"an archive of images")
    return k3s.inventory("offline", mls_artifacts_dir="artifacts")


@pytest.fixture(scope="module")
def watch(k3s: K3sBed) -> Watch:
    """Looks for what k3s' servers make, as soon as it is on their disks, which lie on this machine."""
    places = [k3s.bed.directory / "hosts" / host / "data/rancher/k3s/server" for host in ("mgmt", "server")]

    def made() -> list[str]:
        files = [place / name for place in places for name in ("token", "agent-token") if (place / name).is_file()]
        texts = [file.read_text(encoding="utf-8").strip().rpartition(":")[2] for file in files]
        return [text for text in texts if len(text) > 8]

    return Watch(made, k3s.slice_directory().parent, private=True)


@pytest.fixture(scope="module")
def first(k3s: K3sBed, offline: Path, watch: Watch) -> Any:
    """The first deployment."""
    watch.start()
    try:
        run = k3s.deploy(offline, expect=None)
    finally:
        watch.stop()
    if run.code != 0:  # say why: what runs on the hosts is gone when somebody reads this
        every = "journalctl -q --no-pager -o cat -u k3s -u k3s-agent | tail -15; find /var/lib/rancher/k3s/agent/kubelet -name '*.log' | xargs -r tail -n 5"
        said = "\n".join(f"--- {host}\n{k3s.bed.ssh(host, every, expect=None)}" for host in HOSTS)
        raise AssertionError(f"{run.err}\n{said}")
    return run.json()


def test_check_mode_changes_no_bare_host(k3s: K3sBed, bare: dict[str, set[str]], offline: Path) -> None:
    checked = k3s.deploy(offline, "--check").json()
    assert checked["changed"] > 10
    for host in HOSTS:
        assert k3s.state(host) == bare[host], host


def test_hosts_without_internet_become_clusters(k3s: K3sBed, first: Any) -> None:
    nodes = {node["metadata"]["name"]: node for node in k3s.kubectl(k3s.admin("server"), "get nodes")["items"]}
    assert set(nodes) == {"server", "worker1", "worker2"}
    assert nodes["worker1"]["metadata"]["labels"]["zone"] == "a"
    assert {"key": "slow", "value": "yes", "effect": "PreferNoSchedule"} in nodes["worker1"]["spec"]["taints"]
    assert {node["metadata"]["name"] for node in k3s.kubectl(k3s.admin("mgmt", "host"), "get nodes")["items"]} == {
        "mgmt"
    }
    (member,) = k3s.kubectl(k3s.admin("mgmt"), "get clusters")["items"]
    assert member["metadata"]["name"] == "cluster1"
    assert {"type": "Ready", "status": "True"}.items() <= {
        key: value for key, value in member["status"]["conditions"][0].items() if key in ("type", "status")
    }.items()
    search = "get deployments -n karmada-system karmada-search"
    assert k3s.kubectl(k3s.admin("mgmt", "host"), search)["metadata"]["name"] == "karmada-search"


def test_what_is_installed_is_what_was_released(k3s: K3sBed, first: Any) -> None:
    program = hashlib.sha256((k3s.artifacts / "k3s" / VERSION / "k3s").read_bytes()).hexdigest()
    for host in HOSTS:
        assert k3s.bed.ssh(host, "sha256sum /usr/local/bin/k3s").split()[0] == program
        images = k3s.bed.ssh(host, "ls /var/lib/rancher/k3s/agent/images").split()
        assert images == ["k3s-airgap-images-amd64.tar.zst", "own.tar"]
        assert "Imported images from" in k3s.bed.ssh(host, "journalctl -q --no-pager -u k3s -u k3s-agent")
        assert k3s.bed.ssh(host, "find /var/tmp -name '.mls-artifact*'") == ""
    asked = [path for path, _ in k3s.server.asked if VERSION in path.replace("%2B", "+") and path.endswith("/k3s")]
    assert len(asked) >= 2  # by the control node alone, which had to resume


def test_the_second_server_joined_the_first(k3s: K3sBed, first: Any) -> None:
    config = yaml.safe_load(k3s.bed.ssh("worker2", "cat /etc/rancher/k3s/config.yaml"))
    assert config["server"] == f"https://{k3s.bed.address['server']}:6443"
    assert yaml.safe_load(k3s.bed.ssh("server", "cat /etc/rancher/k3s/config.yaml"))["cluster-init"] is True
    started = [
        int(k3s.bed.ssh(host, f'date -d "$(systemctl show -P ActiveEnterTimestamp {unit})" +%s'))
        for host, unit in (("server", "k3s"), ("worker2", "k3s"), ("worker1", "k3s-agent"))
    ]
    assert started == sorted(started)


def test_tokens_stay_on_the_hosts(k3s: K3sBed, first: Any) -> None:
    tokens = k3s.bed.ssh(
        "server", "cat /var/lib/rancher/k3s/server/token /var/lib/rancher/k3s/server/agent-token"
    ).split()
    secrets = [token.rpartition(":")[2] for token in tokens]
    assert len(set(secrets)) == 2
    assert secrets[0] not in k3s.bed.ssh("worker1", "grep -rsI '' /etc/rancher /var/lib/mlsysops || true")
    for path in Path(k3s.person.home).rglob("*"):
        if path.is_relative_to(k3s.bed.directory) or not path.is_file() or path.stat().st_size > 10_000_000:
            continue
        data = path.read_bytes()
        assert not any(secret.encode() in data for secret in secrets), path
    for host in HOSTS:
        assert not any(secret in k3s.bed.ssh(host, "journalctl -q --no-pager; ps -eo args") for secret in secrets)
        private = k3s.bed.ssh(host, "find /etc/rancher/k3s -type f ! -perm 0600")
        assert private.strip() == "", host
    for path in k3s.slice_directory().rglob("*.kubeconfig"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_process_and_no_run_shows_a_token(k3s: K3sBed, first: Any, watch: Watch) -> None:
    assert watch.looks > 50
    assert watch.found == set()
    # karmadactl takes the word with which a cluster joins as an argument only; it is worthless when joining is over.
    assert [said for said in watch.handed_over if "karmadactl register" not in said] == []


def test_what_this_machine_may_have_it_keeps_in_private_files(k3s: K3sBed, first: Any) -> None:
    access = k3s.slice_directory() / "access"
    secrets = [(access / "mgmt/northbound/token").read_text(encoding="utf-8").strip()]
    for path in access.rglob("*.kubeconfig"):
        users = [user["user"] for user in yaml.safe_load(path.read_text(encoding="utf-8"))["users"]]
        secrets += [user.get("client-key-data") or user["token"] for user in users]
    assert len(set(secrets)) >= 3
    for path in Path(k3s.person.home).rglob("*"):
        if path.is_relative_to(k3s.bed.directory) or not path.is_file() or path.stat().st_size > 10_000_000:
            continue
        data = path.read_bytes()
        if any(secret.encode() in data for secret in secrets):
            assert path.is_relative_to(access) or "contexts" in path.parts, path
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_run_changes_nothing(k3s: K3sBed, offline: Path, first: Any) -> None:
    pids = {host: k3s.bed.ssh(host, "systemctl show -P MainPID k3s k3s-agent") for host in HOSTS}
    assert k3s.deploy(offline).json()["changed"] == 0
    assert {host: k3s.bed.ssh(host, "systemctl show -P MainPID k3s k3s-agent") for host in HOSTS} == pids


def test_only_what_changed_is_started_anew(k3s: K3sBed, first: Any) -> None:
    before = {host: k3s.bed.ssh(host, "systemctl show -P MainPID k3s k3s-agent").split() for host in HOSTS}
    mirrors = {"mirrors": {"docker.io": {"endpoint": ["https://registry.lab"]}}}
    document = yaml.safe_load(k3s.inventory("changed", mls_artifacts_dir="artifacts").read_text(encoding="utf-8"))
    workers = document["all"]["children"]["cluster1"]["children"]["worker_nodes"]["hosts"]
    workers["worker1"] |= {"mls_registries": mirrors}
    path = k3s.person.work / "changed.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert k3s.deploy(path).json()["changed"] >= 1
    after = {host: k3s.bed.ssh(host, "systemctl show -P MainPID k3s k3s-agent").split() for host in HOSTS}
    assert [host for host in HOSTS if before[host] != after[host]] == ["worker1"]
    assert yaml.safe_load(k3s.bed.ssh("worker1", "cat /etc/rancher/k3s/registries.yaml")) == mirrors


def test_a_stolen_agents_token_makes_no_server(k3s: K3sBed, first: Any) -> None:
    said = k3s.bed.ssh(
        "worker1",
        "set -e; printf '%s\\n' 'node-name: thief' 'node-ip: 127.0.0.1' "
        f"'server: https://{k3s.bed.address['server']}:6443' "
        "'token-file: /etc/rancher/k3s/join/var/lib/rancher/k3s/server/agent-token' 'agent-token-file: /dev/null' > /root/t.yaml; "
        "timeout 30 k3s server --config /root/t.yaml 2>&1 || true; rm /root/t.yaml",
    )
    assert "403 Forbidden" in said


def test_a_rebooted_host_comes_back(k3s: K3sBed, first: Any) -> None:
    booted = k3s.bed.ssh("worker1", "cat /proc/sys/kernel/random/boot_id; systemctl show -P MainPID k3s-agent")
    k3s.bed.ctl("crash", "worker1")
    k3s.bed.ctl("start", "worker1")
    wait_for(
        "k3s of the host that was off",
        lambda: k3s.bed.ssh("worker1", "systemctl is-active k3s-agent", expect=None).strip() == "active",
        timeout=60,
    )
    assert k3s.bed.ssh("worker1", "cat /proc/sys/kernel/random/boot_id; systemctl show -P MainPID k3s-agent") != booted

    def ready() -> bool:
        node = k3s.kubectl(k3s.admin("server"), "get node worker1")
        return {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"] == "True"

    wait_for("its node", ready, timeout=120, every=1)


def test_the_way_back_leaves_the_hosts_as_they_were(k3s: K3sBed, first: Any, bare: dict[str, set[str]]) -> None:
    # What containers, CNI and kube-proxy of the real k3s leave: a stand-in has none, so it is planted.
    k3s.bed.ssh(
        "worker1",
        """set -e
        ip link add cni0 type bridge; ip link add vethx type veth peer name vethy; ip link set vethx master cni0
        mkdir -p /run/k3s/x /run/flannel /var/lib/cni /var/log/pods/x; mount -t tmpfs tmpfs /run/k3s/x
        nft -f - <<'N'
add table ip nat
add chain ip nat KUBE-SERVICES
add rule ip nat KUBE-SERVICES counter accept
add chain ip nat KUBE-MARK
add rule ip nat KUBE-MARK counter jump KUBE-SERVICES
add chain ip nat PREROUTING { type nat hook prerouting priority -100; }
add rule ip nat PREROUTING counter jump KUBE-MARK
add table ip mine
add chain ip mine kept
add rule ip mine kept counter accept
N
        nohup sh -c 'echo $$ > /sys/fs/cgroup/systemd/system.slice/k3s-agent.service/cgroup.procs; exec sleep 1000' > /dev/null 2>&1 &
        """,
    )
    k3s.person.run("mls framework destroy-all --yes", timeout=400)
    assert "table ip mine" in k3s.bed.ssh("worker1", "nft list ruleset; nft delete table ip mine")
    for host in HOSTS:
        now = k3s.state(host)
        assert sorted(now - bare[host]) == [], host
        assert sorted(bare[host] - now) == [], host
        assert k3s.bed.ssh(host, "ps -eo args | grep -cE '[m]lsysops|[k]3s|sleep 100[0]' || true").strip() == "0", host
    assert not k3s.slice_directory().exists()
    assert json.loads(k3s.person.run("mls context list -o json").out)["items"] == []


def test_a_wrong_program_reaches_no_host(k3s: K3sBed, bare: dict[str, set[str]]) -> None:
    """The project knows the checksum of this release, so a mirror cannot vouch for another file."""
    k3s.server.publish(f"{PINNED}/k3s", b"not k3s", sums="sha256sum-amd64.txt")
    inventory = k3s.inventory("wrong", mls_k3s_version="", mls_artifacts_mirror=k3s.server.url)
    run = k3s.deploy(inventory, expect=None)
    assert run.code != 0
    for host in HOSTS:
        assert f"{host}: Install files: {PINNED}/k3s: " in run.err
    assert "has the wrong checksum" in run.err
    assert run.seconds < 240
    k3s.person.run("mls framework destroy-all --yes")
    for host in HOSTS:
        assert k3s.state(host) == bare[host], host


def test_a_missing_file_is_said_before_a_host_is_touched(k3s: K3sBed, bare: dict[str, set[str]]) -> None:
    (k3s.person.work / "empty").mkdir()
    run = k3s.deploy(k3s.inventory("empty", mls_artifacts_dir="empty"), expect=None)
    assert run.code == 3
    assert f"k3s/{VERSION}/k3s is missing" in run.err
    assert "fetch-artifacts" in run.err
    k3s.person.run("mls framework destroy-all --yes", expect=None)


def test_a_foreign_k3s_is_left_alone(k3s: K3sBed, bare: dict[str, set[str]], offline: Path) -> None:
    k3s.bed.ssh("worker1", "printf '#!/bin/sh\\n' > /usr/local/bin/k3s")
    try:
        run = k3s.deploy(offline, "--limit worker1", expect=None)
        assert run.code != 0
        assert "worker1: Claim the host: a k3s that mls did not install is here (/usr/local/bin/k3s)" in run.err
        k3s.person.run("mls framework destroy-all --yes", expect=None)
        assert k3s.bed.ssh("worker1", "cat /usr/local/bin/k3s").startswith("#!/bin/sh")
    finally:
        k3s.bed.ssh("worker1", "rm -f /usr/local/bin/k3s")
