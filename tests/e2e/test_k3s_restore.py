"""A server of k3s is backed up, loses everything, and comes back with what it held: in a file system and a network of the test's.

The program is the stand-in (`standins/k3s.py`, `standins/k3s_life.py`) with the embedded engine behind it, so the objects that come
back are real; what of a real etcd it cannot show, its own text says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "standins"))

from release_files import k3s_program

PLUGINS = Path(__file__).parents[2] / "mlsysops_cli/ansible_plugins/module_utils"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces and mounts"),
    pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare"),
]
#: Runs in namespaces of its own, where nothing of this machine is touched.
SCRIPT = r"""
import atexit, importlib.util, json, subprocess, sys, time
from pathlib import Path

plugins, program, datastore = sys.argv[1:]
K3S, KUBECONFIG = "/usr/local/bin/k3s", "/etc/rancher/k3s/k3s.yaml"

def sh(text):
    done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True)
    assert done.returncode == 0, f"{text}: {done.stderr}"

def load(name):
    spec = importlib.util.spec_from_file_location(f"ansible.module_utils.{name}", f"{plugins}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

def start():
    for path, text in files.items():
        if text and path.parent == k3s.CONFIG:
            k3s.write_file(path, text, 0o600)
    process = subprocess.Popen([K3S, "server", "--config", "/etc/rancher/k3s/config.yaml"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not Path(KUBECONFIG).exists() or identity("/api/v1/nodes/server") is None:
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.3)
    return process

def identity(path):
    done = subprocess.run([K3S, "kubectl", "--kubeconfig", KUBECONFIG, "get", "--raw", path], capture_output=True, text=True)
    return json.loads(done.stdout)["metadata"]["uid"] if done.returncode == 0 else None

def held():
    secret = "/api/v1/namespaces/kube-system/secrets/server.node-password.k3s"
    return [identity(path) for path in ("/api/v1/namespaces/kube-system", "/api/v1/nodes/server", secret)]

def stop(process):
    process.terminate()
    process.wait(60)

places = [Path(name) for name in ("/etc/rancher", "/var/lib/rancher", "/usr/local/bin", "/mnt")]
missing = [place for place in places if not place.exists()]

def leave():
    # Mount points that this machine did not have.
    for place in missing:
        sh(f"umount --lazy {place}")
        place.rmdir()

atexit.register(leave)
for place in places:
    place.mkdir(exist_ok=True)
    sh(f"mount -t tmpfs tmpfs {place}")
sh("ip link set lo up; mkdir -p /etc/rancher/k3s /var/lib/rancher/k3s")
sh(f"install -m 755 {program} {K3S}")
for name in ("mls_files", "mls_download", "mls_k3s_version", "mls_frozen", "mls_parcel", "mls_k3s", "mls_k3s_store"):
    load(name)
k3s, module = (sys.modules[f"ansible.module_utils.{name}"] for name in ("mls_k3s", "mls_k3s_store"))
ours, store = k3s.K3s("lab", "server"), module.Store(Path("/nonexistent"), Path("/nonexistent"))
ours.note(slice="lab")
config = {"node-name": "server", "node-ip": "127.0.0.1", **({"cluster-init": True} if datastore == "etcd" else {})}
files = ours.files(config, {}, {})
process = start()
before = held()
archive = Path("/mnt/archive.tar.gz")
store.take(archive)
kind = "etcd" if store.embedded_etcd else "sqlite"
stop(process)
sh("rm -rf /var/lib/rancher/k3s/* /etc/rancher/*; mkdir -p /etc/rancher/k3s")
ours.note(slice="lab")
store.put_back(archive, ours, files, 120)
process = start()
after = held()
module.readmit(KUBECONFIG)
left = held()[2]
stop(process)
print(json.dumps({"kind": kind, "before": before, "after": after, "left": left}))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "k3s"
    path.write_bytes(k3s_program())
    return path


@pytest.mark.parametrize("datastore", ["sqlite", "etcd"])
def test_a_server_that_lost_everything_comes_back(program: Path, datastore: str) -> None:
    space = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--propagation", "private"]
    # The host's Python, as on a host.
    command = [*space, "/usr/bin/python3", "-c", SCRIPT, str(PLUGINS), str(program), datastore]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kind"] == datastore
    assert None not in found["before"]
    assert found["after"] == found["before"]
    assert found["left"] is None  # the password of a node that may come from a bare host is forgotten
