"""How systemd hosts are reached over SSH: keys seen for the first time, a user with a sudo password in a vault, two clusters, logs."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ON_HOSTS, Bed, boot
from newcomer import Run, wait_for

pytestmark = ON_HOSTS
UNREACHABLE, PARTIAL_FAILURE = 4, 9
SUDO_PASSWORD = "correct-horse-battery"
VAULT_PASSWORD = "staple-of-the-vault"
NODES = ("mgmt", "server", "worker1", "worker2", "edge")
STATE = ".local/share/mlsysops/slices/access"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def inventory(bed: Bed) -> str:
    """Two clusters on five hosts, reached as `runner`, who becomes root by a password that stands in a vault."""
    key = (bed.directory / "id_ed25519.pub").read_text().strip()
    for host in NODES:
        bed.ssh(
            host,
            f"useradd --create-home --shell /bin/bash runner && echo runner:{SUDO_PASSWORD} | chpasswd"
            " && echo 'runner ALL=(ALL) ALL' > /etc/sudoers.d/runner"
            f" && install -d -m 700 -o runner -g runner ~runner/.ssh && echo '{key}' > ~runner/.ssh/authorized_keys",
        )
    work = bed.person.work
    (work / "vault-password").write_text(VAULT_PASSWORD + "\n")
    (work / "vault-password").chmod(0o600)
    (work / "group_vars").mkdir()
    (work / "group_vars/all.yml").write_text(f"ansible_become_password: {SUDO_PASSWORD}\n")
    bed.person.run("ansible-vault encrypt --vault-password-file vault-password group_vars/all.yml")
    assert SUDO_PASSWORD not in (work / "group_vars/all.yml").read_text()
    at = {name: {"ansible_host": bed.address[name]} for name in NODES}
    clusters = {"cluster1": ("server", "worker1"), "cluster2": ("worker2", "edge")}
    document = {
        "all": {
            "vars": {
                "ansible_user": "runner",
                "ansible_ssh_private_key_file": str(bed.directory / "id_ed25519"),
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_ssh_common_args": "-o IdentitiesOnly=yes",
                "mls_slice": "access",
                "mls_engine": "embedded",
            },
            "children": {
                "management_cluster": {"hosts": {"mgmt": at["mgmt"] | {"k3s_cluster_name": "continuum"}}},
                **{
                    name: {
                        "children": {
                            f"{name}_master_nodes": {"hosts": {server: at[server] | {"k3s_cluster_name": name}}},
                            f"{name}_worker_nodes": {"hosts": {worker: at[worker] | {"k3s_cluster_name": name}}},
                        }
                    }
                    for name, (server, worker) in clusters.items()
                },
            },
        }
    }
    path = work / "access.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(path)


def mls(bed: Bed, words: str, **more: Any) -> Run:
    return bed.person.run(f"mls framework {words}", timeout=500, **more)


def fingerprint(bed: Bed, host: str) -> str:
    return bed.ssh(host, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]


def test_keys_seen_for_the_first_time_are_shown_and_refused(bed: Bed, inventory: str) -> None:
    refused = mls(bed, f"deploy-all -i {inventory} --vault-password-file vault-password", expect=UNREACHABLE)
    for host in NODES:
        (line,) = [line for line in refused.err.splitlines() if line.startswith(f"{host} (")]
        assert fingerprint(bed, host) in line
    errors = [line for line in refused.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(NODES) + 1
    assert all("--accept-host-keys" in line for line in errors[:-1])


@pytest.fixture(scope="module")
def slice_(bed: Bed, inventory: str) -> Run:
    """Deployed with the keys accepted, as in CI."""
    return mls(bed, f"deploy-all -i {inventory} --vault-password-file vault-password --accept-host-keys -o json")


def test_accepted_keys_are_shown_recorded_and_checked_from_then_on(bed: Bed, inventory: str, slice_: Run) -> None:
    for host in NODES:
        assert f"recorded the SSH key of {bed.address[host]}: {fingerprint(bed, host)}" in slice_.err
    known = Path(bed.person.home, STATE, "known_hosts")
    assert known.stat().st_mode & 0o077 == 0
    again = mls(bed, f"deploy-all -q -i {inventory} --vault-password-file vault-password -o json")
    assert again.json()["changed"] == 0


def test_two_clusters_over_ssh_are_one_slice(bed: Bed, slice_: Run) -> None:
    state = mls(bed, "status -q -o json --slice access --vault-password-file vault-password", expect=None)
    well = {row["name"]: row["state"] for row in state.json()["processes"]}
    assert set(well.values()) == {"running"}, well
    for cluster, worker in (("cluster1", "worker1"), ("cluster2", "edge")):
        (node,) = bed.kubectl(cluster, "get nodes")["items"]
        assert node["metadata"]["name"] == worker

    def joined() -> bool:
        clusters = bed.kubectl("", "get clusters.cluster.karmada.io")["items"]
        ready = [
            c["metadata"]["name"]
            for c in clusters
            for k in c["status"]["conditions"]
            if (k["type"], k["status"]) == ("Ready", "True")
        ]
        return sorted(ready) == ["cluster1", "cluster2"]

    wait_for("both clusters in the continuum", joined, timeout=60, every=1)


def test_the_sudo_password_stands_nowhere(bed: Bed, slice_: Run) -> None:
    for path in Path(bed.person.home).rglob("*"):
        if path.is_relative_to(bed.directory) or not path.is_file() or path.name == "vault-password":
            continue
        data = path.read_bytes()
        assert SUDO_PASSWORD.encode() not in data, path
        assert VAULT_PASSWORD.encode() not in data, path


def test_passwords_may_be_asked_for(bed: Bed, inventory: str, slice_: Run) -> None:
    words = f"deploy-all -q -i {inventory} --limit worker1 -o json"
    asked = mls(bed, f"{words} --ask-vault-pass", stdin=VAULT_PASSWORD + "\n")
    assert asked.json()["changed"] == 0
    wrong = mls(bed, f"{words} --ask-vault-pass", stdin="wrong\n", expect=None)
    assert wrong.code != 0
    assert len(wrong.err.strip().splitlines()) == 1
    assert "vault" in wrong.err.lower() or "decrypt" in wrong.err.lower()


def test_logs_come_from_the_hosts_journals(bed: Bed, slice_: Run) -> None:
    vault = "--vault-password-file vault-password"
    one = mls(bed, f"logs server-controlplane --slice access --tail 3 {vault}").out.splitlines()
    assert 0 < len(one) <= 3
    assert all(" INFO " in line or " WARNING " in line for line in one)
    several = mls(bed, f"logs agent --slice access --tail 1 {vault}").out
    assert {"[mgmt-continuum-agent]", "[server-cluster-agent]", "[worker1-node-agent]"} <= set(
        re.findall(r"^\[\S+\]", several, re.MULTILINE)
    )
    unknown = mls(bed, f"logs nothing --slice access {vault}", expect=6)
    assert "processes: " in unknown.err
    following = subprocess.Popen(
        ["mls", "framework", "logs", "worker1-kubelet", "-f", "--tail", "0", "--slice", "access", *vault.split()],
        cwd=bed.person.work,
        env=bed.person.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert following.stdout is not None
        output = following.stdout.fileno()

        def told() -> bool:
            bed.ssh("worker1", "systemctl restart mls-access-worker1-kubelet")
            readable, _, _ = select.select([output], [], [], 10)
            return bool(readable) and b"\n" in os.read(output, 65536)

        wait_for("a line of the kubelet", told, timeout=60)
    finally:
        following.terminate()
        following.communicate(timeout=30)


def test_progress_on_a_terminal(bed: Bed, inventory: str, slice_: Run) -> None:
    session = f"mls-test-{os.getpid()}"
    command = f"mls framework deploy-all -i {inventory} --vault-password-file vault-password; echo over $?; cat"
    words = [
        word for key, value in bed.person.environment.items() if key != "TERM" for word in ("-e", f"{key}={value}")
    ]
    window = ["-x", "120", "-y", "30", "-c", str(bed.person.work)]
    start = ["tmux", "-L", session, "new-session", "-d", *window, *words, f"bash -c {shlex.quote(command)}"]
    if not shutil.which("tmux"):
        pytest.skip("no tmux in PATH")
    # Whatever it is told with -e, tmux gives a command the PATH of whoever starts it.
    subprocess.run(start, check=True, env={**os.environ, "PATH": bed.person.environment["PATH"]})

    def screen() -> str:
        show = ["tmux", "-L", session, "capture-pane", "-p"]
        return subprocess.run(show, capture_output=True, text=True, check=True).stdout

    def showing(*words: str) -> str:
        text = screen()
        return text if all(word in text for word in words) else ""

    try:
        try:
            live = wait_for("hosts on the screen", lambda: showing("worker1", "running"), timeout=120)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{screen()}") from error
        assert re.search(r"deploy all of slice access · .+ · \d+ s", live)
        assert re.search(r"^ host +done +task +state +seconds$", live, re.MULTILINE)
        end = wait_for("the end", lambda: showing("over 0"), timeout=300)
        assert re.search(r"^ host +changed +failed +seconds$", end, re.MULTILINE)
        assert re.search(r"slowest: .+ \(\w+\), \d+\.\d s", end)
        assert "full log: " in end
        assert "running" not in end
    finally:
        subprocess.run(["tmux", "-L", session, "kill-server"], capture_output=True, check=False)


def test_a_key_that_changed_is_refused_in_any_case(bed: Bed, inventory: str, slice_: Run) -> None:
    known = Path(bed.person.home, STATE, "known_hosts")
    kept = known.read_text()
    other = next(line.split(" ", 1)[1] for line in kept.splitlines() if line.startswith(bed.address["mgmt"]))
    changed = [
        line if not line.startswith(bed.address["worker1"]) else f"{bed.address['worker1']} {other}"
        for line in kept.splitlines()
    ]
    known.write_text("\n".join(changed) + "\n")
    words = f"deploy-all -q -i {inventory} --vault-password-file vault-password --accept-host-keys"
    try:
        refused = mls(bed, words, expect=None)
        assert refused.code in (UNREACHABLE, PARTIAL_FAILURE)
        first, *summary = refused.err.strip().splitlines()
        assert first.startswith("error: worker1: ")
        assert len(summary) <= 1
        assert "ssh-keygen -R" in refused.err
    finally:
        known.write_text(kept)


def test_hosts_here_and_hosts_there_are_no_slice(bed: Bed, inventory: str) -> None:
    document = yaml.safe_load(Path(inventory).read_text())
    document["all"]["children"]["management_cluster"]["hosts"]["mgmt"]["ansible_connection"] = "local"
    document["all"]["vars"]["mls_slice"] = "mixed"
    mixed = bed.person.work / "mixed.yml"
    mixed.write_text(yaml.safe_dump(document, sort_keys=False))
    refused = mls(bed, f"deploy-all -q -i {mixed} --vault-password-file vault-password", expect=5)
    assert len(refused.err.strip().splitlines()) == 1
    assert "cannot be in one slice" in refused.err


def test_destroy_with_the_vault(bed: Bed, slice_: Run) -> None:
    mls(bed, "destroy-all -q --yes --slice access --vault-password-file vault-password")
    for host in NODES:
        assert bed.ssh(host, "ls -d /opt/mlsysops /var/lib/mlsysops /var/tmp/.mls-* 2>/dev/null || true") == ""
