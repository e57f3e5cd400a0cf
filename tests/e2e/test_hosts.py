"""A slice on real systemd hosts over SSH, from bare to running and back, through everything that interrupts one in practice.

Faults that keep hosts from taking their parts, a run whose command and whose connection are killed, a node that joins, a
power cut, a management host that is cut off while the workers reboot, a node that leaves. The hosts are those of
`mls testbed`. Nothing is replaced by a stand-in: systemd, sshd, the network between the hosts and the test application
are real. This module is part of `make test` wherever hosts can be made; the other ones about hosts are `make hosts`.

One slice goes through all of it, so the tests stand in the order in which things happen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ALWAYS_ON_HOSTS, Bed, boot
from newcomer import wait_for

pytestmark = ALWAYS_ON_HOSTS
NODES = ("mgmt", "server", "worker1", "worker2")
WORKERS = ("worker1", "worker2")
#: Seconds that the management host is cut off: longer than its lease of the clusters lasts (40).
CUT_OFF = 60
#: A name server that hears and never answers.
SILENT = (
    "import signal, socket; heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    "heard.bind(('127.0.0.53', 53)); signal.pause()"
)
#: Waits on a host until something listens.
LISTENING = "timeout 30 sh -c 'until ss {} | grep -qF \"{} \"; do sleep 0.1; done'"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def bare(bed: Bed) -> dict[str, set[str]]:
    """What the hosts had before."""
    return {host: bed.contents(host) for host in NODES}


def test_planted_faults_are_found(bed: Bed, bare: dict[str, set[str]]) -> None:
    bed.ssh(
        "server",
        f"systemd-run --quiet --unit squatter python3 -m http.server 6443; {LISTENING.format('-ltn', ':6443')}",
    )
    bed.ssh("worker1", "hostname server")
    bed.ssh(
        "worker2",
        f'systemd-run --quiet --unit silent python3 -c "{SILENT}"; {LISTENING.format("-lun", "127.0.0.53:53")}',
    )
    bed.ssh("worker2", "cp /etc/resolv.conf /run/kept; echo nameserver 127.0.0.53 > /etc/resolv.conf")
    try:
        run = bed.person.run(f"mls framework preflight -q -i {bed.inventory} -o json", timeout=120, expect=1)
    finally:
        bed.ssh("server", "systemctl stop squatter")
        bed.ssh("worker1", "hostname worker1")
        bed.ssh("worker2", "systemctl stop silent; cat /run/kept > /etc/resolv.conf; rm /run/kept")
    rows = {(row["host"], row["check"]): row for row in run.json()["items"]}
    assert {place for place, row in rows.items() if row["state"] == "fail"} == {
        ("server", "port"), ("server", "identity"), ("worker1", "identity"), ("worker2", "DNS"),
    }  # fmt: skip
    assert rows["mgmt", "all"]["state"] == "ok"
    assert "port 6443" in rows["server", "port"]["found"]
    assert "http.server 6443" in rows["server", "port"]["found"]
    assert "127.0.0.53 does not answer within 3 s" in rows["worker2", "DNS"]["found"]
    assert {host: bed.contents(host) for host in NODES} == bare


@pytest.fixture(scope="module")
def small(bed: Bed) -> str:
    """The inventory before worker2 joins."""
    return bed.without("worker2")


def test_a_dry_run_leaves_bare_hosts_alone(bed: Bed, bare: dict[str, set[str]], small: str) -> None:
    checked = bed.person.run(f"mls framework deploy-all -q --check --diff -i {small} -o json", timeout=600, expect=None)
    if "package index" in checked.err:  # what hosts run is fetched once, here
        pytest.skip(checked.err.strip())
    assert checked.code == 0, checked.err
    assert checked.json()["changed"] > 8
    assert bed.contents("worker1") == bare["worker1"]


@pytest.fixture(scope="module")
def first(bed: Bed, bare: dict[str, set[str]], small: str) -> Any:
    """The first deployment, by hosts that have no internet: its command and one host's SSH server are killed, and it is run again."""
    server = bed.ssh("worker1", "systemctl show -P MainPID ssh")
    run = bed.start(f"framework deploy-all -i {small}")

    def unpacked() -> str:
        if run.poll() is not None:
            raise RuntimeError(f"the run has ended by itself, with exit code {run.returncode}")
        return bed.ssh(
            "server", "ls /opt/mlsysops/hosts/venv/lib/python3*/site-packages/mlsysops.pth 2>/dev/null || true"
        )

    try:
        wait_for("an environment on the server", unpacked, timeout=600)
        # Every process of it: the one that listens, and those that the run's connections are.
        bed.ssh("worker1", "systemd-run --quiet pkill -KILL --exact sshd", expect=None)
        assert run.poll() is None
    finally:
        run.kill()
        bed.ended(run)

    def again() -> bool:
        return bed.ssh("worker1", "systemctl show -P MainPID ssh", expect=None) not in ("", server)

    wait_for("another SSH server", again, timeout=30)
    return bed.deploy(small).json()


def test_an_interrupted_run_is_resumed(bed: Bed, first: Any) -> None:
    assert first["changed"] > 0
    assert first["northbound"] == f"https://{bed.address['mgmt']}:8000"
    nodes = bed.kubectl("cluster1", "get nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"worker1"}


def test_a_second_run_changes_nothing(bed: Bed, first: Any, small: str) -> None:
    assert bed.deploy(small).json()["changed"] == 0


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


@pytest.fixture(scope="module")
def joined(bed: Bed, first: Any) -> Any:
    """What was done to let worker2 join."""
    return bed.person.run(f"mls framework add-node worker2 -q -i {bed.inventory} -o json", timeout=300).json()


def test_a_node_joins(bed: Bed, joined: Any) -> None:
    assert set(joined["hosts"]) == {"worker2", "server"}
    rows = bed.person.run("mls framework status -o json").json()["processes"]
    assert {row["state"] for row in rows} == {"running"}
    assert len(rows) == 9
    assert {node["metadata"]["name"] for node in bed.kubectl("cluster1", "get nodes")["items"]} == set(WORKERS)


@pytest.fixture(scope="module")
def application(bed: Bed, joined: Any) -> str:
    """The test application, its client on one worker and its server on the other."""
    text = bed.person.run("mls framework create-app-test-description --file -").out
    description = yaml.safe_load(text)
    for component, node in zip(description["MLSysOpsApp"]["components"], WORKERS, strict=True):
        component["node_placement"] = {"node": node}
    (bed.person.work / "app.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    bed.person.run("mls apps deploy-app --path app.yaml --wait --timeout 120", timeout=150)
    return "test-application"


def test_traffic_between_workers(bed: Bed, application: str) -> None:
    assert {pod["spec"]["nodeName"] for pod in bed.pods().values()} == set(WORKERS)

    def measured() -> bool:
        answer = bed.person.run(f"mls apps get-app-performance {application} -o json").json()
        return "'satisfied': True" in str(answer)

    wait_for("messages that arrive at the other worker", measured, timeout=120, every=1)


def starts(bed: Bed) -> dict[str, int]:
    """How often the pod of each worker was started again; none of them may be another pod than before."""
    return {
        pod["spec"]["nodeName"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in bed.pods().values()
    }


def identities(bed: Bed) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in bed.pods().items()}


def started_again(bed: Bed, before: dict[str, int], *nodes: str) -> bool:
    """Whether the pods of these workers are ready and were started again."""
    ready = all(pod["status"]["containerStatuses"][0]["ready"] for pod in bed.pods().values())
    now = starts(bed)
    return ready and all(now[node] > before[node] for node in nodes)


def test_a_power_cut_of_a_worker_ends_when_it_is_switched_on(bed: Bed, application: str) -> None:
    pods, before = identities(bed), starts(bed)
    bed.ctl("crash", "worker2")
    bed.ctl("start", "worker2")
    wait_for("its pod", lambda: started_again(bed, before, "worker2"), timeout=120, every=1)
    assert identities(bed) == pods


def test_workers_reboot_while_the_management_host_is_cut_off_and_nothing_is_deleted(bed: Bed, application: str) -> None:
    pods, before = identities(bed), starts(bed)
    cut = time.monotonic()
    bed.ctl("cut", "mgmt")
    try:
        for worker in WORKERS:
            bed.ssh(worker, "systemd-run --quiet --on-active=1 systemctl reboot")

        def rebooted() -> bool:
            assert identities(bed) == pods
            return started_again(bed, before, *WORKERS)

        wait_for("both pods, without the management host", rebooted, timeout=150, every=1)
        # The point is that it lasts: long enough for every lease of the continuum to run out.
        wait_for("the end of the cut", lambda: time.monotonic() - cut > CUT_OFF, timeout=CUT_OFF, every=1)
        assert identities(bed) == pods
    finally:
        bed.ctl("heal", "mgmt")

    def caught_up() -> bool:
        (app,) = bed.kubectl("", "get mlsapp -n mlsysops")["items"]
        components = {one["name"]: (one["restarts"], one["ready"]) for one in app["status"]["components"]}
        inside = {
            pod["metadata"]["labels"]["mlsysops.eu/component"]: (
                pod["status"]["containerStatuses"][0]["restartCount"],
                pod["status"]["containerStatuses"][0]["ready"],
            )
            for pod in bed.pods().values()
        }
        return components == inside

    wait_for("the application's status in the continuum", caught_up, timeout=120, every=1)
    assert identities(bed) == pods


def test_a_node_leaves_and_is_bare(bed: Bed, application: str, bare: dict[str, set[str]]) -> None:
    bed.person.run(f"mls apps remove-app {application}")
    wait_for("the end of its pods", lambda: not bed.pods(), timeout=90, every=1)
    left = bed.person.run("mls framework remove-node worker2 -q -o json", timeout=300).json()
    assert set(left["hosts"]) == {"worker2", "server"}
    assert sorted(bed.contents("worker2") ^ bare["worker2"]) == []
    assert {node["metadata"]["name"] for node in bed.kubectl("cluster1", "get nodes")["items"]} == {"worker1"}


def test_the_way_back_leaves_the_hosts_as_they_were(bed: Bed, joined: Any, bare: dict[str, set[str]]) -> None:
    bed.person.run("mls framework destroy-all --yes", timeout=300)
    for host in NODES:
        assert sorted(bed.contents(host) ^ bare[host]) == [], host
        assert bed.ssh(host, "ps -eo args | grep -c '[m]lsysops' || true").strip() == "0"
    assert not Path(bed.person.home, ".local/share/mlsysops/slices").exists()
