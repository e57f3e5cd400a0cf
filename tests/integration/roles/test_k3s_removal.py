"""What is left of k3s on a host goes, and what is not its own stays: in a network and a file system of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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
import importlib.util, json, subprocess, sys
from pathlib import Path

def sh(text):
    done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout

def load(name):
    spec = importlib.util.spec_from_file_location(f"ansible.module_utils.{name}", f"{sys.argv[1]}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

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
for name in ("mls_supervisor", "mls_download", "mls_k3s", "mls_k3s_removal"):
    load(name)
removal, k3s = sys.modules["ansible.module_utils.mls_k3s_removal"], sys.modules["ansible.module_utils.mls_k3s"]
ours = k3s.K3s("lab", "agent")
assert removal.remove(ours, check=False) == ([], []), "nothing was there"
assert ours.claim(check=False) and not ours.claim(check=False)
other = k3s.K3s("other", "agent").foreign()
assert "slice lab has its k3s here" in other, other
assert removal.remove(k3s.K3s("other", "agent"), check=False) == ([], []), "it is another slice's"
# What containers, CNI and kube-proxy leave.
sh("ip link add cni0 type bridge; ip link add v1 type veth peer name v2; ip link set v1 master cni0; ip link add v3 type veth peer name v4")
sh("mkdir -p /var/lib/rancher/k3s/server /run/k3s/sandbox /run/flannel /var/lib/cni/x /var/log/pods/x /var/lib/kubelet/pods/x")
sh("touch /etc/rancher/k3s/config.yaml /etc/systemd/system/k3s-agent.service /var/lib/rancher/k3s/server/token")
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
