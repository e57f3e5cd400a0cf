"""A testbed on a real server of Incus or LXD: made, broken, half made, removed.

``MLS_TEST_INCUS`` names an image, as `mls testbed up --image` takes it, and ``MLS_TEST_INCUS_REMOTE`` a server that is not the
client's default one. Nothing is installed or changed there but the hosts themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from newcomer import Newcomer, wait_for

IMAGE = os.environ.get("MLS_TEST_INCUS", "")
REMOTE = os.environ.get("MLS_TEST_INCUS_REMOTE", "")
CLIENT = next((name for name in ("incus", "lxc") if shutil.which(name)), "")
UP = f"mls testbed up --backend incus --image {IMAGE}" + (f" --remote {REMOTE}" if REMOTE else "")
HOSTS = ["edge", "mgmt", "server", "worker1", "worker2"]
#: Where the clients find their settings and their servers.
SETTINGS = ("INCUS_CONF", "INCUS_DIR", "INCUS_SOCKET", "LXD_CONF", "LXD_DIR", "LD_LIBRARY_PATH")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not CLIENT, reason="no client of Incus or LXD in PATH"),
    pytest.mark.skipif(not IMAGE, reason="MLS_TEST_INCUS names no image to make hosts of"),
]


class Bed:
    """A person with a testbed, and a view of the server that goes past `mls`."""

    def __init__(self, person: Newcomer) -> None:
        self.person = person
        self.directory = person.home / ".local/share/mlsysops/testbed"

    def status(self, code: int = 0) -> dict[str, dict[str, Any]]:
        rows = self.person.run("mls testbed status -o json", expect=code).json()["items"]
        return {row["name"]: row for row in rows}

    def ctl(self, *words: str) -> None:
        self.person.run(f"mls -q testbed ctl {' '.join(words)}", timeout=300)

    def ssh(self, host: str, script: str, **more: Any) -> Any:
        options = f"-i {self.directory}/id_ed25519 -o UserKnownHostsFile={self.directory}/known_hosts -o BatchMode=yes"
        address = self.status(code=None)[host]["address"]
        return self.person.run(f"ssh {options} -o ConnectTimeout=5 root@{address} bash -s", stdin=script, **more)

    def instances(self) -> list[str]:
        """Names of all instances on the server that carry the mark of a testbed, whoever made it."""
        said = self.person.run(f"{CLIENT} query '{REMOTE and REMOTE + ':'}/1.0/instances?recursion=1'").out
        return sorted(one["name"] for one in json.loads(said) if "user.mlsysops" in (one["config"] or {}))

    def mine(self) -> list[str]:
        mark = json.loads((self.directory / "incus.json").read_text(encoding="utf-8"))["id"]
        return [name for name in self.instances() if name.startswith(f"mls-{mark}-")]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    person = Newcomer(tmp_path_factory.mktemp("home"), Path(__file__).parents[2])
    person.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for name, usual in (("INCUS_CONF", "~/.config/incus"), ("LXD_CONF", "~/.config/lxc")):
        person.environment[name] = str(Path(usual).expanduser())
    person.environment |= {name: os.environ[name] for name in SETTINGS if name in os.environ}
    usable = person.run(f"{CLIENT} query {REMOTE and REMOTE + ':'}/1.0", expect=None)
    if usable.code != 0:
        pytest.skip(f"the server of {CLIENT} does not answer: {usable.err.strip().splitlines()[-1]}")
    try:
        yield Bed(person)
    finally:
        person.run("mls testbed down", expect=None, timeout=600)


def interrupted(bed: Bed, condition: Callable[[], bool]) -> None:
    """Start making hosts, and kill whoever does it as soon as something is so."""
    command = subprocess.Popen(
        ["bash", "-c", f"exec {UP}"], cwd=bed.person.work, env=bed.person.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("its end", lambda: condition() or command.poll() is not None, timeout=120)
        assert command.poll() is None, "it came to an end before"
    finally:
        command.send_signal(signal.SIGKILL)
        command.wait()


def test_a_run_that_was_killed_leaves_nothing_that_down_does_not_find(bed: Bed) -> None:
    before = bed.instances()
    remembered = bed.directory / "incus.json"
    for condition in (remembered.is_file, lambda: remembered.is_file() and len(bed.mine()) >= 2):
        interrupted(bed, condition)
        bed.person.run("mls -q testbed down", timeout=600)
        assert bed.instances() == before
        assert not bed.directory.exists()


def test_the_life_of_a_testbed(bed: Bed) -> None:
    before = bed.instances()
    inventory = bed.person.run(UP, timeout=800).out.strip()
    assert Path(inventory).is_file()
    rows = bed.status()
    assert sorted(rows) == HOSTS
    assert len(bed.mine()) == 5

    for host in HOSTS:
        assert bed.ssh(host, "hostname; python3 -c 'import ssl'; sudo true; getent hosts mgmt").out.split()[0] == host
    # The facts come over Ansible's own connection, with the keys that the inventory names.
    bed.person.run(f"ansible all -i {inventory} -m ansible.builtin.ping", timeout=300)
    assert f"{rows['edge']['address']}" in bed.ssh("edge", "ip -o -4 address show").out

    bed.ctl("crash", "worker1")
    assert bed.status(1)["worker1"]["power"] == "off"
    bed.ctl("start", "worker1")
    assert bed.status()["worker1"]["address"] == rows["worker1"]["address"]

    bed.ctl("cut", "edge")
    assert bed.status(1)["edge"]["link"] == "down"
    assert bed.ssh("edge", "true", expect=None, timeout=60).code != 0
    bed.ctl("heal", "edge")
    wait_for("an answer of the edge", lambda: bed.ssh("edge", "true", expect=None).code == 0, timeout=60)
    assert bed.status()["edge"]["address"] == rows["edge"]["address"]

    # The banner of the other's SSH server, within five seconds.
    reach = "timeout 5 bash -c 'read -r -n 4 word < /dev/tcp/worker2/22 && [ \"$word\" = SSH- ]'"
    bed.ctl("partition", "worker1", "worker2")
    assert bed.ssh("worker1", reach, expect=None).code != 0
    assert bed.ssh("worker1", reach.replace("worker2", "server"), expect=None).code == 0
    bed.ctl("mend")
    assert bed.ssh("worker1", reach, expect=None).code == 0

    names = bed.mine()
    bed.person.run(UP, timeout=800)
    assert bed.mine() == names
    bed.person.run("mls -q testbed down", timeout=600)
    assert bed.instances() == before
    assert not bed.directory.exists()
