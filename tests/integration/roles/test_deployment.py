"""The roles on this machine, as a user runs them: check mode on a bare host, twice, a port taken, and back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.module_utils import mls_ports


class Home:
    """A user's home directory with one inventory."""

    def __init__(self, root: Path, repository: Path, name: str) -> None:
        self.root = root
        text = (repository / "inventories/local.yml").read_text(encoding="utf-8")
        self.inventory = root / "inventory.yml"
        self.inventory.write_text(text.replace("mls_slice: local", f"mls_slice: {name}"), encoding="utf-8")
        self.environment = {
            "HOME": str(root),
            "PATH": "/usr/bin:/bin",
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_CONFIG_HOME": str(root / "config"),
        }

    def mls(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).parent / "mls")
        done = subprocess.run(
            [program, *arguments],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done

    def deploy(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = self.mls("framework", "deploy-all", "-i", str(self.inventory), "-o", "json", *arguments, code=code)
        return json.loads(done.stdout) if code == 0 else {"error": done.stderr.splitlines()[-1]}

    def files(self) -> list[Path]:
        return [p for p in self.root.rglob("*") if p.is_file() and p != self.inventory]


@pytest.fixture
def home(tmp_path: Path, repository: Path) -> Iterator[Home]:
    made = Home(tmp_path, repository, f"it{os.getpid()}")
    yield made
    if list(tmp_path.glob("data/mlsysops/slices/*/slice.json")):
        made.mls("framework", "destroy-all", "--yes")


def held_by_agent(home: Home, host: str, knob: Path) -> None:
    """Have a file that the host's agent turned from schedutil to performance, and its record of that."""
    knob.write_text("performance")
    (state,) = home.root.glob(f"data/mlsysops/slices/*/hosts/{host}/agent")
    entry = {
        "key": str(knob),
        "previous": "schedutil",
        "ours": ["performance"],
        "asset": "cpu_frequency/policy0",
        "policy": "fast",
        "time": 1.0,
    }
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    record = state / "mechanisms" / "cpu_frequency.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"version": 1, "boot": boot, "entries": [entry]}), encoding="utf-8")


def test_check_deploy_twice_and_destroy(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    checked = home.deploy("--check", "--diff")
    assert checked["changed"] > 10
    assert home.files() == []
    first = home.deploy()
    assert first["changed"] == checked["changed"]
    pods = Path(first["kubeconfigs"]["continuum"])
    assert pods.stat().st_mode & 0o077 == 0
    home.mls("framework", "status")
    second = home.deploy()
    assert second["changed"] == 0
    assert home.deploy("--check")["changed"] == 0
    home.mls("framework", "diff", "-i", str(home.inventory))
    token = next(home.root.rglob("token")).read_text(encoding="utf-8").strip()
    for path in home.files():
        if path.name == "token" or path.parent.name == "contexts" or not token:
            continue
        assert token.encode() not in path.read_bytes(), path
    refused = home.mls("framework", "destroy-all", code=5)
    assert "nobody confirmed" in refused.stderr
    knob = tmp_path_factory.mktemp("machine") / "governor"
    held_by_agent(home, "worker1", knob)
    home.mls("framework", "destroy-all", "--yes")
    assert knob.read_text().strip() == "schedutil"
    assert home.files() == []
    address = first["northbound"].partition("://")[2].rpartition(":")[0]
    for port in (6443, 8000, 43170):
        assert mls_ports.listener(address, port) is None


def test_port_taken_is_one_line_and_nothing_is_done(home: Home) -> None:
    shown = json.loads(home.mls("inventory", "show", str(home.inventory), "-o", "json").stdout)
    # Pinned, so that no other block is chosen in its stead.
    block = shown["hosts"]["worker1"]["address"].split(".")[1]
    text = home.inventory.read_text(encoding="utf-8")
    home.inventory.write_text(
        text.replace("mls_engine:", f"mls_loopback_block: {block}\n    mls_engine:"), encoding="utf-8"
    )
    with socket.socket() as holder:
        holder.bind((shown["hosts"]["worker1"]["address"], 10250))
        holder.listen()
        error = home.deploy(code=7)["error"]
    assert f"port 10250 of {shown['hosts']['worker1']['address']} (kubelet) is taken by process {os.getpid()}" in error
    slices = list(home.root.glob("data/mlsysops/slices/*"))
    assert not any((path / "hosts").exists() for path in slices)
    assert not list(home.root.glob("config/mlsysops/contexts/*"))
