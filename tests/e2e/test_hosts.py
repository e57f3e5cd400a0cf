"""A slice on real systemd hosts over SSH: from bare to running, through a power cut and a cut link, and back to bare.

The hosts are those of `mls testbed`. Nothing is replaced by a stand-in: systemd, sshd, the network between the hosts and
the test application are real. Where root or Debian's packages are missing, everything here is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import INVENTORY_OF_A_HOST, ON_HOSTS, Bed, boot
from newcomer import wait_for

pytestmark = ON_HOSTS
NODES = ("mgmt", "server", "worker1", "worker2")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


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
