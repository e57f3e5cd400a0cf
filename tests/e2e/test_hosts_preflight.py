"""Faults planted on real hosts: each is named on one line with its host and what to do, in bounded time, and the others go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ON_HOSTS, Bed, boot
from newcomer import Run

pytestmark = ON_HOSTS
PARTIAL_FAILURE = 9
#: Seconds: a machine under load, four hosts, ten to connect to one that is not there.
BOUND = 120
Hosts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    yield from boot(tmp_path_factory.mktemp("home"))


def changed_inventory(bed: Bed, name: str, change: Callable[[Hosts], None]) -> str:
    """The testbed's inventory with other variables of its hosts."""
    document = yaml.safe_load(Path(bed.inventory).read_text())
    groups = document["all"]["children"]
    hosts: Hosts = dict(groups["management_cluster"]["hosts"])
    for group in groups["cluster1"]["children"].values():
        hosts |= group["hosts"]
    change(hosts)
    path = bed.person.work / name
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(path)


def look(bed: Bed, inventory: str, *options: str, code: int) -> dict[str, list[dict[str, str]]]:
    """Run `preflight`; return what it says of each host."""
    run: Run = bed.person.run(
        f"mls framework preflight -q -i {inventory} -o json {' '.join(options)}", timeout=300, expect=code
    )
    assert run.seconds < BOUND
    rows: dict[str, list[dict[str, str]]] = {}
    for row in run.json()["items"]:
        assert "\n" not in row["found"] + row["fix"]
        assert row["fix"] or row["state"] == "ok", row
        rows.setdefault(row["host"], []).append(row)
    return rows


def test_bare_hosts_are_fit(bed: Bed) -> None:
    rows = look(bed, bed.inventory, code=0)
    assert {host: [row["state"] for row in found] for host, found in rows.items()} == {
        host: ["ok"] for host in ("mgmt", "server", "worker1", "worker2")
    }


@pytest.fixture(scope="module")
def planted(bed: Bed) -> dict[str, list[dict[str, str]]]:
    """Every fault that can be made on a host, spread over three of four; one run."""
    bed.ssh("server", "systemd-run --unit squatter python3 -m http.server 6443")
    bed.ssh("server", "mkdir -p /opt/mlsysops && mount -t tmpfs -o size=8M full /opt/mlsysops")
    bed.ssh("worker1", "hostname server")
    bed.ssh("worker1", "echo nameserver 192.0.2.1 > /etc/resolv.conf")  # TEST-NET-1 (RFC 5737): nobody answers
    bed.ssh("worker1", "sed -i 's/^ID=.*/ID=plan9/; s/^PRETTY_NAME=.*/PRETTY_NAME=Plan9/' /etc/os-release")
    bed.ssh("worker1", "mkdir -p /var/lib/mlsysops && mount -t tmpfs -o ro readonly /var/lib/mlsysops")
    identity = bed.ssh("server", "cat /etc/machine-id").strip()
    bed.ssh("worker2", f"echo {identity} > /etc/machine-id")

    def change(hosts: Hosts) -> None:
        hosts["server"]["mls_http_proxy"] = "http://somebody:secret-of-the-proxy@192.168.255.255:1"
        # A guest has this machine's clock: it is the control node's that is wrong here, for one host.
        hosts["worker2"]["preflight_now"] = "{{ now().timestamp() + 600 }}"

    return look(bed, changed_inventory(bed, "planted.yml", change), code=1)


@pytest.mark.parametrize(
    ("host", "check", "found", "fix"),
    [
        (
            "server",
            "port",
            r"port 6443 of \S+ \(control plane\) is taken by process \d+ \(.*http\.server 6443\)",
            "stop it",
        ),
        ("server", "disk", r"\d+ MB free in /opt/mlsysops, \d+ MB are needed", "make room"),
        ("server", "proxy", r"proxy 192\.168\.255\.255:1", "mls_http_proxy"),
        ("server", "identity", r"host name server is also that of worker1", "hostnamectl set-hostname server"),
        ("worker1", "identity", r"host name server is also that of server", "hostnamectl set-hostname worker1"),
        ("worker1", "DNS", r"name server 192\.0\.2\.1 does not answer within 3 s", "/etc/resolv.conf"),
        ("worker1", "system", r"Plan9 is not supported", "Debian 11"),
        ("worker1", "disk", r"/var/lib/mlsysops is read-only", "remount"),
        ("worker2", "clock", r"clock is [56]\d\d s behind the control", "NTP"),
        ("worker2", "identity", r"machine id is also that of server", "systemd-machine-id-setup"),
    ],
)
def test_a_fault_of_a_host(
    planted: dict[str, list[dict[str, str]]], host: str, check: str, found: str, fix: str
) -> None:
    rows = [row for row in planted[host] if row["check"] == check and re.search(found, row["found"])]
    assert len(rows) == 1, planted[host]
    assert rows[0]["state"] == "fail"
    assert fix in rows[0]["fix"]


def test_the_host_without_fault_is_fit_and_no_password_is_shown(planted: dict[str, list[dict[str, str]]]) -> None:
    assert [row["state"] for row in planted["mgmt"]] == ["ok"]
    assert "secret-of-the-proxy" not in str(planted)


def test_hosts_that_cannot_be_worked_on(bed: Bed) -> None:
    bed.ssh("worker2", "useradd -m runner && cp -r /root/.ssh /home/runner/ && chown -R runner: /home/runner/.ssh")
    bed.person.run("ssh-keygen -q -t ed25519 -N '' -f stranger")
    stranger = bed.person.work / "stranger"
    key = " ".join(stranger.with_suffix(".pub").read_text().split()[:2])
    (bed.person.work / "known").write_text(f"{bed.address['server']} {key}\n")

    def change(hosts: Hosts) -> None:
        hosts["mgmt"]["ansible_host"] = bed.address["mgmt"].rpartition(".")[0] + ".99"
        hosts["server"]["ansible_ssh_common_args"] = f"-o GlobalKnownHostsFile={bed.person.work / 'known'}"
        hosts["worker1"]["ansible_ssh_private_key_file"] = str(stranger)
        hosts["worker2"] |= {"ansible_user": "runner", "ansible_become": True}

    rows = look(bed, changed_inventory(bed, "unreachable.yml", change), code=1)
    expected = {
        "mgmt": (r"No route to host|timed out", "switched on"),
        "server": (r"[Hh]ost key verification failed|HAS CHANGED", "ssh-keygen -R|known_hosts"),
        "worker1": (r"Permission denied \(publickey\)", "authorized_keys"),
        "worker2": (r"sudo|become", "sudoers"),
    }
    for host, (found, fix) in expected.items():
        (row,) = rows[host]
        assert re.search(found, row["found"]), row
        assert re.search(fix, row["fix"]), row


def test_a_host_without_python(bed: Bed) -> None:
    def change(hosts: Hosts) -> None:
        hosts["worker2"]["ansible_python_interpreter"] = "/usr/bin/python9"

    (row,) = look(bed, changed_inventory(bed, "python.yml", change), "--limit worker2", code=1)["worker2"]
    assert "python9" in row["found"]
    assert "install Python" in row["fix"]


def test_deploying_goes_on_without_the_broken_host(bed: Bed, planted: object) -> None:
    bed.ssh("server", "systemctl stop squatter; umount /opt/mlsysops")
    bed.ssh("worker1", "hostname worker1; sed -i 's/^ID=.*/ID=debian/' /etc/os-release; : > /etc/resolv.conf")
    bed.ssh("worker1", "umount /var/lib/mlsysops")
    bed.ssh("worker2", "rm /etc/machine-id; systemd-machine-id-setup")
    bed.ssh("worker2", "systemd-run --unit squatter python3 -m http.server 10250")
    try:
        run = bed.deploy(expect=PARTIAL_FAILURE)
        told, summary = [line for line in run.err.splitlines() if line.startswith("error: ")]
        assert "error: worker2: Check the host: port 10250" in told
        assert "error: 1 of 4 hosts failed (" in summary
        assert "stop it" in told
        running = bed.person.run("mls framework status -o json", expect=None).json()["processes"]
        hosts = {row["name"].rpartition("-")[0].split("-")[0] for row in running if row["state"] == "running"}
        assert hosts == {"mgmt", "server", "worker1"}
        bed.ssh("worker2", "systemctl stop squatter")
        assert bed.deploy().json()["hosts"]["worker2"]["changed"] > 0
    finally:
        bed.person.run("mls framework destroy-all --yes", timeout=300)
