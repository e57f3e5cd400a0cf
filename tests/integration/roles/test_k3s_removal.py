"""What is left of k3s on a host goes, and what is not its own stays: in a network, a file system and control groups of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[3] / "mlsysops_cli/ansible_plugins/module_utils"
NEEDED = ("unshare", "ip", "nft", "mount")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces, interfaces and packet filter rules"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]
#: Runs in namespaces of its own, where nothing of this machine is touched.
SCRIPT = r"""
import json, subprocess, sys
from pathlib import Path
import ansible.module_utils

ansible.module_utils.__path__.append(sys.argv[1])

def sh(text):
    done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout

def look():
    paths = sh("find /etc /run /var/lib /var/log -mindepth 1 | sort").split()
    links = sh("ls /sys/class/net").split()
    return {"paths": paths, "links": links, "rules": sh("nft list ruleset"), "mounts": sh("cut -d' ' -f2 /proc/mounts")}

for place in ("/etc", "/run", "/var/lib", "/var/log"):
    sh(f"mount -t tmpfs tmpfs {place}")
sh("mount -t sysfs sysfs /sys; ip link set lo up; mkdir -p /etc/systemd/system /var/lib/kubelet/mine /run/netns")
sh("ip link add own0 type bridge")
Path("/run/rules").write_text('''
add table ip mine
add chain ip mine kept
add rule ip mine kept counter accept
add table ip filter
add chain ip filter FORWARD { type filter hook forward priority 0; }
add rule ip filter FORWARD counter accept
''')
sh("nft -f /run/rules")
before = look()
from ansible.module_utils import mls_k3s as k3s, mls_k3s_removal as removal
ours = k3s.K3s("lab", "agent")
assert removal.remove(ours, check=False) == ([], []), "nothing was there"
assert ours.claim("", check=False) and not ours.claim("", check=False)
other = k3s.K3s("other", "agent").foreign()
assert "slice lab has its k3s here" in other, other
assert removal.remove(k3s.K3s("other", "agent"), check=False) == ([], []), "it is another slice's"
# What containers, CNI and kube-proxy leave.
sh("ip link add cni0 type bridge; ip link add v1 type veth peer name v2; ip link set v1 master cni0; ip link add v3 type veth peer name v4")
sh("mkdir -p /var/lib/rancher/k3s/server /etc/rancher/node /run/k3s/sandbox /run/flannel /var/lib/cni/x /var/log/pods/x /var/lib/kubelet/pods/x")
sh("touch /etc/rancher/node/password /etc/rancher/k3s/config.yaml /etc/systemd/system/k3s-agent.service /var/lib/rancher/k3s/server/token")
sh("mount -t tmpfs tmpfs /run/k3s/sandbox; mount -t tmpfs tmpfs /var/lib/kubelet/pods/x")
Path("/run/rules").write_text('''
add table ip nat
add chain ip nat KUBE-SERVICES
add rule ip nat KUBE-SERVICES counter accept
add chain ip nat CNI-HOSTPORT
add rule ip nat CNI-HOSTPORT counter jump KUBE-SERVICES
add chain ip nat PREROUTING { type nat hook prerouting priority -100; }
add rule ip nat PREROUTING counter jump CNI-HOSTPORT
add chain ip filter KUBE-FORWARD
add rule ip filter KUBE-FORWARD counter accept
add rule ip filter FORWARD counter jump KUBE-FORWARD
''')
sh("nft -f /run/rules")
removed, left = removal.remove(ours, check=False)
sh("ip link delete v3")
after = look()
print(json.dumps({"before": before, "after": after, "removed": removed, "left": left}))
"""


def test_what_k3s_left_goes_and_the_rest_stays() -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, "-c", SCRIPT, str(PLUGINS)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left"] == []
    before, after = found["before"], found["after"]
    for what in ("links", "mounts"):
        assert after[what] == before[what]
    assert set(before["paths"]) == set(after["paths"])
    assert after["rules"] == before["rules"]
    assert "table ip mine" in after["rules"]


#: Runs in namespaces of its own, so that the control groups called as those of k3s are not those of a k3s of this machine.
PROCESSES = r"""
import json, subprocess, sys
from pathlib import Path
import ansible.module_utils

ansible.module_utils.__path__.append(sys.argv[1])

def start(group, *argv):
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    if group:
        place = Path("/sys/fs/cgroup", group)
        place.mkdir(parents=True, exist_ok=True)
        (place / "cgroup.procs").write_text(str(process.pid))
    return process

subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)
from ansible.module_utils import mls_k3s_removal as removal
stubborn = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1 & wait; done")
ours = {
    "shim": start("system.slice/k3s-agent.service", "sleep", "1000"),
    "container": start("kubepods/besteffort/pod1/container", "sleep", "1000"),
    "deaf": start("kubepods.slice/kubepods-pod2.slice", *stubborn),
}
ours["deaf"].stdout.readline()
others = {
    "bystander": start("", "sleep", "1000"),
    "another service": start("system.slice/other.service", "sleep", "1000"),
    "a like name": start("system.slice/k3s-agent.service.d", "sleep", "1000"),
}
done = removal._end_processes(None, {})
print(json.dumps({
    "done": done,
    "ended": {name: -process.wait(20) for name, process in ours.items()},
    "living": [name for name, process in others.items() if process.poll() is None],
}))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of version 2, below which the namespace of the test begins."""
    root = next(
        (p for p in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")) if (p / "cgroup.procs").exists()), None
    )
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no control groups of version 2 that may be changed")
    made = root / f"mls-test-{os.getpid()}"
    made.mkdir()
    yield made
    for directory, _, _ in os.walk(made, topdown=False):
        Path(directory).rmdir()


def test_processes_that_outlive_the_unit_are_found_by_their_control_group(group: Path) -> None:
    command = f'echo $$ > {group}/cgroup.procs; exec unshare --cgroup --pid --fork --mount --mount-proc "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-c", PROCESSES, str(PLUGINS)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # What ends when it is asked to is not killed; the child of what is deaf counts, too.
    assert (found["ended"]["shim"], found["ended"]["container"], found["ended"]["deaf"]) == (15, 15, 9)
    assert found["living"] == ["bystander", "another service", "a like name"]
    assert found["done"][0].endswith(" processes")
