"""The systemd hosts of `mls testbed`, shared by the tests that work over SSH, and the person who works with them.

They are booted once a module. Where root or Debian's packages are missing, the tests are skipped with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from newcomer import Newcomer

#: For `pytestmark` of a module that boots hosts.
ON_HOSTS = [
    pytest.mark.timeout(600),
    # Ten minutes, an image of 300 MB and root: on demand, not in every `make test`.
    pytest.mark.skipif("MLS_TEST_HOSTS" not in os.environ, reason="boots five hosts: `make hosts` runs it"),
]
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


def boot(home: Path) -> Iterator[Bed]:
    """Bring the hosts up for a person with an empty home, and remove them afterwards; the body of a fixture."""
    if os.geteuid() != 0:
        pytest.skip("hosts are made by root: network namespaces and mounts")
    if not Path("/usr/bin/apt-get").exists():
        pytest.skip("hosts are made of Debian packages, and this machine has no apt-get")
    person = Newcomer(home, Path(__file__).parents[2])
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
