"""The life of a slice on systemd hosts over SSH: looked at, interrupted, resumed, grown, shrunk, upgraded, backed up, restored.

One slice goes through all of it, so the tests stand in the order in which things happen.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import ON_HOSTS, Bed, boot
from newcomer import Run, wait_for

pytestmark = ON_HOSTS
REPOSITORY = Path(__file__).parents[2]
CONFLICT, TIMED_OUT, PARTIAL_FAILURE = 7, 8, 9
STATE = ".local/share/mlsysops/slices/hosts"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def bare(bed: Bed) -> set[str]:
    """What worker1 had before."""
    return bed.contents("worker1")


def inventory(bed: Bed, *, without: tuple[str, ...] = ()) -> str:
    """The testbed's inventory without some of its workers; devices behind a gateway would keep it from leaving."""
    return bed.without(*without, far_edge=False)


def mls(bed: Bed, words: str, **more: Any) -> Run:
    return bed.person.run(f"mls framework {words}", timeout=500, **more)


def test_check_says_what_would_change_and_leaves_bare_hosts_alone(bed: Bed, bare: set[str]) -> None:
    checked = mls(bed, f"deploy-all --check --diff -i {inventory(bed, without=('worker2',))} -o json")
    document = checked.json()
    assert document["changed"] > 8
    assert {"mgmt", "server", "worker1"} == set(document["hosts"])
    assert all(host["failed"] == 0 for host in document["hosts"].values())
    assert bed.contents("worker1") == bare
    assert not Path(bed.person.home, STATE).exists()


def test_a_killed_run_is_resumed_and_a_second_one_at_a_time_refused(bed: Bed, bare: set[str]) -> None:
    words = f"-i {inventory(bed, without=('worker2',))}"
    run = bed.start(f"framework deploy-all {words}")
    try:
        unpacked = "ls /opt/mlsysops/hosts/venv/lib/python3*/site-packages/mlsysops.pth 2>/dev/null || true"
        wait_for("an environment on the server", lambda: bed.ssh("server", unpacked), timeout=300, every=0.5)
        second = mls(bed, f"deploy-all -q {words}", expect=CONFLICT)
        assert re.fullmatch(r"error: another command \(process \d+\) is working on slice hosts.*", second.err.strip())
        assert run.poll() is None
    finally:
        os.kill(run.pid, signal.SIGKILL)
        bed.ended(run)
    first = mls(bed, f"deploy-all -q {words} -o json").json()
    assert first["changed"] > 0
    # What was carried before is not carried again.
    log = newest_log(bed, "site")
    assert (
        "changed: [server]" not in log.partition("TASK [mlsysops_runtime : Carry the environment]")[2].split("TASK")[0]
    )
    assert list(Path(bed.person.home, STATE, "run").iterdir()) == []
    assert mls(bed, f"deploy-all -q {words} -o json").json()["changed"] == 0


def newest_log(bed: Bed, playbook: str) -> str:
    logs = sorted(Path(bed.person.home, STATE, "logs/runs").glob(f"{playbook}-*.log"))
    return logs[-1].read_text()


def test_a_session_that_dies_fails_that_host_alone_and_the_next_run_mends_it(bed: Bed) -> None:
    words = f"-i {inventory(bed, without=('worker2',))} --tags nodes,agents"
    bed.ssh("worker1", "systemctl stop 'mls-hosts-*' && rm /etc/systemd/system/mls-hosts-worker1-node-agent.service")
    # The server's key is let in and its sessions die: as where a host is switched off between two tasks.
    bed.ssh("worker1", "echo 'ForceCommand kill -9 $PPID' > /etc/ssh/sshd_config.d/die.conf && systemctl reload ssh")
    try:
        broken = mls(bed, f"deploy-all -q {words}", expect=None)
        assert broken.code in (4, PARTIAL_FAILURE)
        assert "worker1" in broken.err
        assert "server:" not in broken.err
        first, *summary = broken.err.strip().splitlines()
        assert first.startswith("error: worker1: ")
        assert len(summary) <= 1  # where other hosts were changed, how many failed
    finally:
        root = Path(bed.directory, "hosts/worker1/root")
        (root / "etc/ssh/sshd_config.d/die.conf").unlink()
        bed.ctl("crash", "worker1")
        bed.ctl("start", "worker1")
    mended = mls(bed, f"deploy-all -q {words} -o json").json()
    assert mended["hosts"]["worker1"]["changed"] > 0
    assert mended["hosts"]["mgmt"]["changed"] == mended["hosts"]["server"]["changed"] == 0


def test_parts_of_a_run_can_be_chosen(bed: Bed) -> None:
    words = f"-q -i {inventory(bed, without=('worker2',))} -o json"
    limited = mls(bed, f"deploy-all --limit worker1 {words}").json()
    assert set(limited["hosts"]) == {"worker1"}
    started = mls(bed, f"deploy-all --start-at-task 'Make the bearer token' {words}").json()
    assert started["changed"] == 0
    log = newest_log(bed, "site")
    assert "Make the bearer token" in log
    assert "Run the kubelet" not in log
    unknown = mls(bed, f"deploy-all --limit nobody {words}", expect=None)
    assert unknown.code != 0
    assert len(unknown.err.strip().splitlines()) == 1


def test_a_node_that_joins_concerns_its_server_alone(bed: Bed) -> None:
    joined = mls(bed, f"add-node worker2 -q -i {inventory(bed)} -o json").json()
    assert set(joined["hosts"]) == {"worker2", "server"}
    assert all(host["failed"] == 0 for host in joined["hosts"].values())
    names = {node["metadata"]["name"] for node in bed.kubectl("cluster1", "get nodes")["items"]}
    assert names == {"worker1", "worker2"}
    described = {one["metadata"]["name"] for one in bed.kubectl("", "get mlsnode -A")["items"]}
    assert described == {"worker1", "worker2"}
    again = mls(bed, f"add-node worker2 -q -i {inventory(bed)} -o json").json()
    assert again["changed"] == 0
    assert mls(bed, f"deploy-all -q -i {inventory(bed)} -o json").json()["changed"] == 0


def test_a_host_that_is_no_worker_cannot_join(bed: Bed) -> None:
    refused = mls(bed, f"add-node server nobody -q -i {inventory(bed)}", expect=6)
    assert "server, nobody: no worker of" in refused.err


@pytest.fixture(scope="module")
def deployed(bed: Bed) -> None:
    """The slice with both workers, for a test that is run without those before it."""
    if not Path(bed.person.home, STATE).exists():
        mls(bed, f"deploy-all -q -i {inventory(bed)}")


@pytest.fixture(scope="module")
def application(bed: Bed, deployed: None) -> str:
    """The test application, its client on worker1 as long as there is one."""
    bed.person.run("mls framework create-app-test-description")
    bed.person.run("mls apps deploy-app --path mlsysops-app-test-description.yaml --wait --timeout 120", timeout=150)
    return "test-application"


def running(bed: Bed, node: str) -> Callable[[], bool]:
    def look() -> bool:
        pods = [pod for pod in bed.pods().values() if not pod["metadata"].get("deletionTimestamp")]
        states = [pod["status"].get("containerStatuses", [{}])[0].get("ready") for pod in pods]
        return len(pods) == 2 and all(states) and {pod["spec"].get("nodeName") for pod in pods} == {node}

    return look


def test_a_node_that_leaves_is_emptied_first_and_is_bare_afterwards(bed: Bed, application: str, bare: set[str]) -> None:
    left = mls(bed, "remove-node worker1 -o json").json()
    assert set(left["hosts"]) == {"worker1", "server"}
    wait_for("the application on the other worker", running(bed, "worker2"), timeout=90, every=1)
    now = bed.contents("worker1")
    assert sorted(now - bare) == []
    assert sorted(bare - now) == []
    for cluster, kinds in (("cluster1", "nodes,roles,rolebindings,leases,mlsnode"), ("", "mlsnode,mlscluster")):

        def forgotten(cluster: str = cluster, kinds: str = kinds) -> bool:
            return "worker1" not in json.dumps(bed.kubectl(cluster, f"get {kinds} -A"))

        wait_for(
            f"that {kinds} of {cluster or 'the continuum'} know nothing of worker1", forgotten, timeout=60, every=1
        )
    assert sorted(bed.ssh("server", "ls /var/lib/mlsysops/hosts").split()) == ["server", "worker2"]


@pytest.fixture
def only_worker2(bed: Bed, application: str) -> None:
    """worker1 has left, by the test before or now."""
    if "worker1" in {node["metadata"]["name"] for node in bed.kubectl("cluster1", "get nodes")["items"]}:
        mls(bed, "remove-node worker1 -q")


def test_a_node_does_not_leave_while_something_has_nowhere_to_go(bed: Bed, only_worker2: None) -> None:
    stuck = mls(bed, "remove-node worker2 -q --timeout 5", expect=TIMED_OUT)
    assert "worker2 is not empty after 5 s" in stuck.err
    assert len(stuck.err.strip().splitlines()) == 1
    bed.person.run(
        "kubectl --kubeconfig \"$(mls context show -o jsonpath='{.clusters.cluster1.kubeconfig}')\" uncordon worker2"
    )
    wait_for("the application where it was", running(bed, "worker2"), timeout=90, every=1)


def test_a_dead_node_leaves_by_force(bed: Bed, application: str) -> None:
    mls(bed, f"add-node worker1 -q -i {inventory(bed)}")
    bed.ctl("crash", "worker2")
    try:
        left = mls(bed, f"remove-node worker2 --force -i {inventory(bed)} -o json").json()
        assert "/opt/mlsysops/hosts" in left["left"]["worker2"]
        wait_for("the application on the worker that is left", running(bed, "worker1"), timeout=120, every=1)
    finally:
        bed.ctl("start", "worker2")
    mls(bed, f"add-node worker2 -q -i {inventory(bed)}")
    assert len(bed.kubectl("cluster1", "get nodes")["items"]) == 2


def identities(bed: Bed) -> dict[str, str]:
    objects = (
        bed.kubectl("cluster1", "get mlsapp,deploy -n mlsysops")["items"] + bed.kubectl("", "get mlsapp -A")["items"]
    )
    return {obj["metadata"]["uid"]: obj["metadata"]["name"] for obj in objects}


def test_a_backup_brings_everything_back_onto_bare_hosts(bed: Bed, application: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts.tar"
    before = identities(bed)
    assert len(before) == 4
    taken = mls(bed, f"backup -q --file {file} -o json").json()
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(taken["parts"]) == {"mgmt.tar.gz", "server.tar.gz"}
    assert mls(bed, f"backup -q --file {file}", expect=CONFLICT).err.startswith("error: ")
    for host in ("mgmt", "server"):
        assert bed.ssh(host, "find / -xdev -name 'backup.tar.gz' -o -xdev -name '.backup-*'") == ""
    mls(bed, "destroy-all -q --yes")
    mls(bed, f"restore -q --file {file} -i {inventory(bed)}")
    assert identities(bed) == before
    wait_for("the application after the restore", running(bed, "worker1"), timeout=120, every=1)


def release(tmp_path: Path, version: str, edit: Callable[[Path], None] = lambda root: None) -> dict[str, str]:
    """Another version of this software; returns the environment in which `mls` is it."""
    root = tmp_path / version
    kept = shutil.ignore_patterns(
        ".git", ".venv*", "build", "__pycache__", ".mypy_cache", ".pytest_cache", ".hypothesis"
    )
    shutil.copytree(REPOSITORY, root, ignore=kept, symlinks=True)
    about = root / "mlsysops_cli/__init__.py"
    about.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', about.read_text()))
    edit(root)
    return {"PYTHONPATH": ":".join(str(root / part) for part in ("", "agents", "northbound"))}


def versions(bed: Bed) -> dict[str, str]:
    """The version of our software that each node's agent runs, by node."""
    nodes = bed.kubectl("cluster1", "get mlsnode -n mlsysops")["items"]
    return {node["metadata"]["name"]: node["status"]["agent"]["version"] for node in nodes}


def restarts(bed: Bed) -> dict[str, int]:
    return {
        f"{name} {pod['metadata']['uid']}": pod["status"]["containerStatuses"][0]["restartCount"]
        for name, pod in bed.pods().items()
    }


@pytest.fixture
def as_version(bed: Bed) -> Iterator[Callable[[dict[str, str]], None]]:
    """Lets the person's `mls` be another version for a while."""
    kept = dict(bed.person.environment)
    yield bed.person.environment.update
    bed.person.environment.clear()
    bed.person.environment.update(kept)


def test_an_upgrade_goes_host_by_host_and_touches_no_pod(
    bed: Bed, application: str, tmp_path: Path, as_version: Callable[[dict[str, str]], None]
) -> None:
    before = restarts(bed)
    as_version(release(tmp_path, "7.1.0"))
    assert bed.person.run("mls --version").out.split() == ["mls", "7.1.0"]
    done = mls(bed, "upgrade -o json")
    assert done.json()["version"] == "7.1.0"
    order = re.findall(r"changed +(\S+): Upgrade: Run the agent", done.err)
    assert order == ["mgmt", "server", "worker1", "worker2"]
    wait_for("the nodes' new version", lambda: set(versions(bed).values()) == {"7.1.0"}, timeout=60, every=1)
    assert restarts(bed) == before


def test_an_upgrade_that_fails_stops_with_the_old_version_running(
    bed: Bed, application: str, tmp_path: Path, as_version: Callable[[dict[str, str]], None]
) -> None:
    def break_nodes(root: Path) -> None:
        agent = root / "agents/mlsysops_agents/node/__init__.py"
        agent.write_text(agent.read_text() + "\nraise RuntimeError('planted')\n")

    before = restarts(bed)
    as_version(release(tmp_path, "7.2.0", break_nodes))
    stopped = mls(bed, "upgrade -q", expect=PARTIAL_FAILURE)
    assert len(stopped.err.strip().splitlines()) == 2  # a line for the host, and what it means for the others
    assert "the upgrade stopped at worker1" in stopped.err
    assert "the old version runs again" in stopped.err
    assert "left alone: worker2" in stopped.err
    units = "systemctl is-active mls-hosts-worker1-kubelet mls-hosts-worker1-node-agent"
    assert bed.ssh("worker1", units).split() == ["active", "active"]
    code = "/opt/mlsysops/hosts/venv/bin/python -c 'import mlsysops_cli; print(mlsysops_cli.__version__)'"
    assert {host: bed.ssh(host, code).strip() for host in bed.address if host != "edge"} == {
        "mgmt": "7.2.0", "server": "7.2.0", "worker1": "7.1.0", "worker2": "7.1.0",
    }  # fmt: skip
    assert restarts(bed) == before
