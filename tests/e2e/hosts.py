"""The systemd hosts of `mls testbed`, shared by the tests that work over SSH, and the person who works with them.

They are booted once a module. Where this machine lets nobody make them - no root, no Debian packages, a sandbox that
forbids mounts, a testbed of somebody else's - the tests are skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml
from newcomer import Newcomer, wait_for

#: For `pytestmark` of the module that boots hosts in every `make test`.
ALWAYS_ON_HOSTS = [pytest.mark.timeout(900)]
#: For `pytestmark` of every other module that boots hosts: minutes each, on demand.
ON_HOSTS = [
    pytest.mark.timeout(600),
    pytest.mark.skipif("MLS_TEST_HOSTS" not in os.environ, reason="boots five hosts: `make hosts` runs it"),
]
#: Exit codes of `mls testbed up` where it is this machine that lacks something: packages (2), a mirror of them that
#: answers (4), the right to mount and to make namespaces (5), a free network (7). Whatever else fails is a fault of ours.
LACKING = {2, 4, 5, 7}
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

    def deploy(self, inventory: str = "", **more: Any) -> Any:
        command = f"mls framework deploy-all -q -i {inventory or self.inventory} -o json"
        return self.person.run(command, timeout=500, **more)

    def kubectl(self, cluster: str, words: str) -> Any:
        path = f"{{.clusters.{cluster}.kubeconfig}}" if cluster else "{.kubeconfig}"
        return self.person.run(
            f"kubectl --request-timeout=5s --kubeconfig \"$(mls context show -o jsonpath='{path}')\" {words} -o json"
        ).json()

    def pods(self) -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["name"]: pod for pod in self.kubectl("cluster1", "get pods -n mlsysops")["items"]}

    def contents(self, host: str) -> set[str]:
        """What a host has: files, units, accounts, packages, mounts, interfaces, packet filter rules."""
        return set(self.ssh(host, INVENTORY_OF_A_HOST).splitlines())

    def without(self, *workers: str, far_edge: bool = True) -> str:
        """The testbed's inventory without some of its workers, or without what is behind a gateway."""
        document = yaml.safe_load(Path(self.inventory).read_text(encoding="utf-8"))
        children = document["all"]["children"]
        for name in workers:
            del children["cluster1"]["children"]["worker_nodes"]["hosts"][name]
        if not far_edge:
            del children["far_edge"]
        path = self.person.work / f"without-{'-'.join([*workers, *([] if far_edge else ['far-edge'])]) or 'none'}.yml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return str(path)

    def start(self, words: str) -> subprocess.Popen[bytes]:
        """Start a command of `mls` and go on."""
        return subprocess.Popen(
            ["mls", *words.split()],
            cwd=self.person.work, env=self.person.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until nothing that a command started on this machine is left."""
        process.wait(timeout=60)
        mark = f"{self.person.home}/.local/share/mlsysops/slices/hosts/run/"

        def gone() -> bool:
            return not [pid for pid in self.person.processes() if mark in _command_line(pid)]

        wait_for("the end of what the command had started", gone, timeout=60)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:  # gone meanwhile
        return ""


def boot(home: Path) -> Iterator[Bed]:
    """Bring the hosts up for a person with an empty home, and remove them afterwards; the body of a fixture."""
    if os.geteuid() != 0:
        pytest.skip("hosts are made by root: network namespaces and mounts")
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("hosts are made of Debian packages, and this machine has no apt-get")
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl in PATH")
    person = Newcomer(home, Path(__file__).parents[2])
    # The image and the hosts' environment are kept between runs, as for anybody who runs it twice.
    person.environment["XDG_CACHE_HOME"] = str(platformdirs.user_cache_path())
    if "PYTHONPATH" in os.environ:
        person.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    try:  # from the first host on: who is interrupted here leaves nothing either
        up = person.run("mls testbed up --install --isolated", timeout=900, expect=None)
        if up.code in LACKING:
            pytest.skip(up.err.strip().splitlines()[-1])
        assert up.code == 0, up.err
        yield Bed(person, up.out.strip())
    finally:
        person.run("mls testbed down", expect=None)
