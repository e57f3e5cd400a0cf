"""A slice on real systemd hosts over SSH: from bare to running, through a power cut and a cut link, and back to bare.

The hosts are those of `mls testbed`. Nothing is replaced by a stand-in: systemd, sshd, the network between the hosts and
the test application are real. Where root or Debian's packages are missing, everything here is skipped with the reason.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml
from newcomer import Newcomer, wait_for

pytestmark = [
    pytest.mark.timeout(600),
    # Ten minutes, an image of 300 MB and root: on demand, not in every `make test`.
    pytest.mark.skipif("MLS_TEST_HOSTS" not in os.environ, reason="boots five hosts: `make hosts` runs it"),
]
NODES = ("mgmt", "server", "worker1", "worker2")
#: What a host has beside what its own services write while it runs.
INVENTORY_OF_A_HOST = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /var/log -o -path /var/lib/systemd \
  -o -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' \) -prune -o -print
systemctl list-unit-files --no-legend --no-pager | awk '$2 != "transient" {print "unit " $1 " " $2}'
cut -d: -f1 /etc/passwd /etc/group | sed 's/^/account /'
dpkg-query --show --showformat='package ${Package} ${Version}\n'
awk '{print "mount " $2 " " $3}' /proc/mounts | grep -v ' /run/user'
ls /sys/class/net | sed 's/^/interface /'
nft list ruleset | sed 's/^/nft /'
find /sys/fs/cgroup -maxdepth 2 -name 'embedded*' -printf 'cgroup %p\n'
crontab -l 2>/dev/null | sed 's/^/cron /'
"""


class Bed:
    """The testbed and the person who works with it."""

    def __init__(self, person: Newcomer, inventory: str) -> None:
        self.person = person
        self.inventory = inventory
        self.address = {row["name"]: row["address"] for row in person.run("mls testbed status -o json").json()["items"]}
        self.directory = Path(inventory).parent

    def ssh(self, host: str, command: str, **more: Any) -> str:
        options = f"-i {self.directory}/id_ed25519 -o UserKnownHostsFile={self.directory}/known_hosts -o BatchMode=yes"
        return self.person.run(f"ssh {options} root@{self.address[host]} bash -s", stdin=command, **more).out

    def ctl(self, *words: str) -> None:
        self.person.run(f"mls testbed ctl {' '.join(words)}")

    def deploy(self, **more: Any) -> Any:
        return self.person.run(f"mls framework deploy-all -q -i {self.inventory} -o json", timeout=500, **more)

    def kubectl(self, cluster: str, words: str) -> Any:
        path = f"{{.clusters.{cluster}.kubeconfig}}" if cluster else "{.kubeconfig}"
        return self.person.run(
            f"kubectl --request-timeout=5s --kubeconfig \"$(mls context show -o jsonpath='{path}')\" {words} -o json"
        ).json()

    def pods(self) -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["name"]: pod for pod in self.kubectl("cluster1", "get pods -n mlsysops")["items"]}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory):
    if os.geteuid() != 0:
        pytest.skip("hosts are made by root: network namespaces and mounts")
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("hosts are made of Debian packages, and this machine has no apt-get")
    person = Newcomer(tmp_path_factory.mktemp("home"), Path(__file__).parents[2])
    # The image and the hosts' environment are kept between runs, as for anybody who runs it twice.
    person.environment["XDG_CACHE_HOME"] = str(platformdirs.user_cache_path())
    if "PYTHONPATH" in os.environ:
        person.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    up = person.run("mls testbed up --install --isolated", timeout=900, expect=None)
    try:
        if up.code == 2:
            pytest.skip(up.err.strip())
        assert up.code == 0, up.err
        yield Bed(person, up.out.strip())
    finally:
        person.run("mls testbed down", expect=None)


@pytest.fixture(scope="module")
def bare(bed: Bed) -> dict[str, set[str]]:
    """What the hosts had before."""
    return {host: set(bed.ssh(host, INVENTORY_OF_A_HOST).splitlines()) for host in NODES}


@pytest.fixture(scope="module")
def first(bed: Bed, bare: dict[str, set[str]]) -> Any:
    """The first deployment; the hosts have no internet."""
    return bed.deploy().json()


@pytest.fixture(scope="module")
def application(bed: Bed, first: Any) -> str:
    """The test application, its client on one worker and its server on the other."""
    text = bed.person.run("mls framework create-app-test-description --file -").out
    description = yaml.safe_load(text)
    for component, node in zip(description["MLSysOpsApp"]["components"], ("worker1", "worker2"), strict=True):
        component["node_placement"] = {"node": node}
    (bed.person.work / "app.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    bed.person.run("mls apps deploy-app --path app.yaml --wait --timeout 120", timeout=150)
    return "test-application"


def test_hosts_without_internet_become_a_slice(bed: Bed, first: Any) -> None:
    assert first["changed"] > 0
    assert first["northbound"] == f"https://{bed.address['mgmt']}:8000"
    nodes = bed.kubectl("cluster1", "get nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"worker1", "worker2"}


def test_a_second_run_changes_nothing(bed: Bed, first: Any) -> None:
    assert bed.deploy().json()["changed"] == 0


def test_status_over_ssh_names_every_process(bed: Bed, first: Any) -> None:
    rows = bed.person.run("mls framework status -o json").json()["processes"]
    assert {row["state"] for row in rows} == {"running"}
    assert len(rows) == 9


def test_no_secret_outside_private_files(bed: Bed, first: Any) -> None:
    access = Path(bed.person.home, ".local/share/mlsysops/slices/hosts/access")
    secrets = [(access / "mgmt/northbound/token").read_text().strip()]
    kubeconfig = yaml.safe_load((access / "mgmt/kubeconfigs/admin.kubeconfig").read_text())
    secrets.append(kubeconfig["users"][0]["user"]["client-key-data"])
    for path in Path(bed.person.home).rglob("*"):
        # The hosts' own disks lie in the testbed's directory.
        if path.is_relative_to(bed.directory) or not path.is_file() or path.stat().st_size > 10_000_000:
            continue
        data = path.read_bytes()
        if any(secret.encode() in data for secret in secrets):
            assert path.is_relative_to(access) or "contexts" in path.parts, path
            assert path.stat().st_mode & 0o077 == 0, path


def test_traffic_between_workers(bed: Bed, application: str) -> None:
    assert {pod["spec"]["nodeName"] for pod in bed.pods().values()} == {"worker1", "worker2"}

    def measured() -> bool:
        answer = bed.person.run(f"mls apps get-app-performance {application} -o json").json()
        text = str(answer)
        return "'satisfied': True" in text

    wait_for("messages that arrive at the other worker", measured, timeout=90, every=1)


def test_a_power_cut_of_a_worker_ends_when_it_is_switched_on(bed: Bed, application: str) -> None:
    before = {name: pod["metadata"]["uid"] for name, pod in bed.pods().items()}
    bed.ctl("crash", "worker2")
    bed.ctl("start", "worker2")

    def back() -> bool:
        pods = bed.pods()
        assert {name: pod["metadata"]["uid"] for name, pod in pods.items()} == before
        (pod,) = [pod for pod in pods.values() if pod["spec"]["nodeName"] == "worker2"]
        state = pod["status"]["containerStatuses"][0]
        return bool(state["restartCount"] >= 1 and state["ready"])

    wait_for("the pod of the worker that was off", back, timeout=120, every=1)


def test_a_cut_management_link_and_a_reboot_delete_nothing(bed: Bed, application: str) -> None:
    before = {name: pod["metadata"]["uid"] for name, pod in bed.pods().items()}
    bed.ctl("cut", "mgmt")
    try:
        bed.ssh("worker1", "systemd-run --on-active=1 systemctl reboot")

        def rebooted() -> bool:
            assert {name: pod["metadata"]["uid"] for name, pod in bed.pods().items()} == before
            (pod,) = [pod for pod in bed.pods().values() if pod["spec"]["nodeName"] == "worker1"]
            state = pod["status"]["containerStatuses"][0]
            return bool(state["restartCount"] >= 1 and state["ready"])

        wait_for("the pod of the worker that booted without its management", rebooted, timeout=120, every=1)
    finally:
        bed.ctl("heal", "mgmt")

    def caught_up() -> bool:
        found = bed.person.run(f"mls apps get-app-status {application} -o json", expect=None)
        return found.code == 0 and "Running" in found.out

    wait_for("the application's status in the continuum", caught_up, timeout=90, every=1)
    assert {name: pod["metadata"]["uid"] for name, pod in bed.pods().items()} == before


def test_one_host_down_does_not_stop_the_others(bed: Bed, first: Any) -> None:
    bed.ctl("cut", "worker2")
    try:
        run = bed.deploy(expect=None)
        assert run.code in (4, 9)
        assert "worker2" in run.err
        assert run.seconds < 300
    finally:
        bed.ctl("heal", "worker2")
    wait_for("worker2 over SSH", lambda: bed.ssh("worker2", "true") == "", timeout=30)


def test_the_way_back_leaves_the_hosts_as_they_were(bed: Bed, application: str, bare: dict[str, set[str]]) -> None:
    bed.person.run("mls framework destroy-all --yes", timeout=300)
    for host in NODES:
        now = set(bed.ssh(host, INVENTORY_OF_A_HOST).splitlines())
        assert sorted(now - bare[host]) == [], host
        assert sorted(bare[host] - now) == [], host
        assert bed.ssh(host, "ps -eo args | grep -c '[m]lsysops' || true").strip() == "0"
    assert not Path(bed.person.home, ".local/share/mlsysops/slices").exists()
