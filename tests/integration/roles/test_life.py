"""The life of a slice on this machine: workers join and leave, it is upgraded, backed up and restored; wrong words change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.timeout(900)
REPOSITORY = Path(__file__).parents[3]
PROGRAMS = Path(sys.executable).parent
NOT_FOUND, CONFLICT, INVALID = 6, 7, 3


class Life:
    """A user with one slice."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        self.name = f"life{os.getpid()}"
        self.template = yaml.safe_load((repository / "inventories/local.yml").read_text(encoding="utf-8"))
        self.environment = {
            "HOME": str(root),
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "LC_ALL": "C.UTF-8",
            **{key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ},
        }

    def inventory(self, *workers: str) -> str:
        document = json.loads(json.dumps(self.template))
        document["all"]["vars"]["mls_slice"] = self.name
        document["all"]["children"]["cluster1"]["children"]["worker_nodes"]["hosts"] = dict.fromkeys(workers)
        path = self.root / "inventory.yml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return str(path)

    def mls(self, words: str, *, code: int = 0) -> Any:
        done = subprocess.run(
            [PROGRAMS / "mls", "framework", *words.split(), "-q", "-o", "json"],
            env=self.environment, cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        if code == 0:
            return json.loads(done.stdout)
        *asked, line = done.stderr.strip().splitlines()
        assert all("Type its name" in question for question in asked), done.stderr
        return line

    @property
    def directory(self) -> Path:
        return self.root / "data/mlsysops/slices" / self.name

    def get(self, host: str, words: str) -> list[dict[str, Any]]:
        kubeconfig = self.directory / "hosts" / host / "kubeconfigs/admin.kubeconfig"
        argv = ["kubectl", "--kubeconfig", str(kubeconfig), "get", *words.split(), "-o", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, stdin=subprocess.DEVNULL)
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    made = Life(tmp_path_factory.mktemp("life"), REPOSITORY)
    made.mls(f"deploy-all -i {made.inventory('worker1')}")
    yield made
    if (made.directory / "slice.json").exists():
        argv = [PROGRAMS / "mls", "framework", "destroy-all", "--yes", "-q"]
        subprocess.run(argv, env=made.environment, timeout=280, check=True)


def test_a_worker_joins_and_nobody_else_is_bothered(life: Life) -> None:
    refused = life.mls(f"add-node worker2 -i {life.inventory('worker1')}", code=NOT_FOUND)
    assert "worker2: no worker of" in refused
    checked = life.mls(f"add-node worker2 --check -i {life.inventory('worker1', 'worker2', 'worker3')}")
    assert checked["changed"] > 0
    assert [node["metadata"]["name"] for node in life.get("server1", "nodes")] == ["worker1"]
    joined = life.mls(f"add-node worker2 -i {life.inventory('worker1', 'worker2', 'worker3')}")
    assert set(joined["hosts"]) == {"worker2", "server1"}
    # worker3 stands in the inventory as well, but nobody asked for it.
    assert [node["metadata"]["name"] for node in life.get("server1", "nodes")] == ["worker1", "worker2"]
    assert len(life.get("management", "mlsnode -A")) == 2


def test_a_worker_leaves_without_a_trace(life: Life) -> None:
    unknown = life.mls("remove-node worker9", code=NOT_FOUND)
    assert "workers: worker1, worker2" in unknown
    lost = life.mls(f"remove-node worker2 -i {life.inventory('worker1')}", code=INVALID)
    assert "does not say how worker2 is reached" in lost
    left = life.mls(f"remove-node worker2 -i {life.inventory('worker1', 'worker2')}")
    assert set(left["hosts"]) == {"worker2", "server1"}
    assert not (life.directory / "hosts/worker2").exists()
    for words in ("nodes", "roles -A", "rolebindings -A", "leases -A", "mlsnode -A"):
        assert not [one for one in life.get("server1", words) if "worker2" in one["metadata"]["name"]], words
    assert [one["metadata"]["name"] for one in life.get("management", "mlsnode -A")] == ["worker1"]
    assert life.mls(f"deploy-all -i {life.inventory('worker1')}")["changed"] == 0


def test_an_inventory_that_lost_a_worker_is_told_what_to_do(life: Life) -> None:
    life.mls(f"add-node worker2 -i {life.inventory('worker1', 'worker2')}")
    refused = life.mls(f"deploy-all -i {life.inventory('worker1')}", code=CONFLICT)
    assert "worker2 missing" in refused
    assert "remove-node" in refused
    life.inventory("worker1", "worker2")


def test_an_upgrade_without_news_changes_nothing(life: Life) -> None:
    done = life.mls("upgrade")
    assert (done["changed"], done["before"]) == (0, done["version"])
    assert [host for host, share in done["hosts"].items() if share["failed"]] == []


def test_a_backup_restores_the_slice(life: Life) -> None:
    file = life.root / "slice.tar"
    subprocess.run(
        ["kubectl", "--kubeconfig", str(life.directory / "hosts/server1/kubeconfigs/admin.kubeconfig"),
         "create", "configmap", "kept", "-n", "mlsysops", "--from-literal=key=value"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    before = [one["metadata"]["uid"] for one in life.get("server1", "configmaps -n mlsysops")]
    taken = life.mls(f"backup --file {file}")
    assert set(taken["parts"]) == {"management.tar.gz", "server1.tar.gz"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert "exists" in life.mls(f"backup --file {file}", code=CONFLICT)
    assert "cannot be written" in life.mls("backup --file /nowhere/at/all", code=INVALID)
    damaged = life.root / "damaged.tar"
    damaged.write_bytes(file.read_bytes()[:-200_000])
    assert "not a whole backup" in life.mls(f"restore --yes --file {damaged}", code=INVALID)
    token = (life.directory / "hosts/management/northbound/token").read_text()
    subprocess.run(
        [PROGRAMS / "mls", "framework", "destroy-all", "--yes", "-q"], env=life.environment, timeout=280, check=True
    )
    assert "name its inventory" in life.mls(f"restore --yes --file {file}", code=NOT_FOUND)
    life.mls(f"restore --file {file} -i {life.inventory('worker1', 'worker2')}")
    assert [one["metadata"]["uid"] for one in life.get("server1", "configmaps -n mlsysops")] == before
    assert (life.directory / "hosts/management/northbound/token").read_text() == token
    deadline = time.monotonic() + 60
    while {
        c["status"]
        for node in life.get("server1", "nodes")
        for c in node["status"]["conditions"]
        if c["type"] == "Ready"
    } != {"True"}:
        assert time.monotonic() < deadline, "the nodes are not ready again"
        time.sleep(0.5)
    refused = life.mls(f"restore --file {file}", code=5)
    assert "nobody confirmed" in refused
