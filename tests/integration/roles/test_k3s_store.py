"""What a server of k3s is backed up and restored as: real SQLite files under real writers, a stand-in for the program k3s.

The stand-in takes no snapshot of an etcd, since there is none; it writes down what it is asked (see also
`tests/e2e/test_hosts_k3s_life.py`, where its words are held against k3s' documentation).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[3] / "mlsysops_cli/ansible_plugins/module_utils"
#: A store that is written to without a pause, by somebody who knows nothing of backups.
WRITER = """\
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA journal_mode=WAL")
store.execute("CREATE TABLE IF NOT EXISTS kine (id INTEGER PRIMARY KEY, name TEXT)")
number = 0
while True:
    store.execute("INSERT INTO kine (name) VALUES (?)", (f"/registry/{number}",))
    number += 1
    if number == 50:
        print("writing", flush=True)
"""
PROGRAM = """\
#!/bin/sh
echo "$@" >> "{root}/asked"
case "$1 $2" in
  "etcd-snapshot save") echo snapshot > "$6/$4-server-1";;
  "server --config") test -f "{root}/data/server/token" || {{ echo "level=fatal msg=token does not exist"; exit 1; }}
    mkdir -p "{root}/data/server/db/etcd"; cp "${{5#*=}}" "{root}/data/server/db/etcd/restored";;
esac
"""


class Server:
    """A server of k3s in a directory of the test's."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.monkeypatch = monkeypatch
        for name in ("mls_files", "mls_download", "mls_k3s_version", "mls_frozen", "mls_parcel"):
            self.load(name)
        self.k3s = self.load("mls_k3s")
        paths = {
            "CONFIG": "etc/rancher/k3s",
            "DATA": "data",
            "UNITS": "units",
            "PROGRAM": "k3s",
            "RECORD": "etc/rancher/k3s/r.json",
        }
        for name, path in paths.items():
            monkeypatch.setattr(self.k3s, name, root / path)
        self.module = self.load("mls_k3s_store")
        (root / "k3s").write_text(PROGRAM.format(root=root))
        (root / "k3s").chmod(0o755)
        self.data = root / "data/server"
        self.write("etc/rancher/k3s/agent-token", "agents")
        self.write("etc/rancher/node/password", "node")
        self.write("karmada/pki/ca.key", "karmada's key")
        for name in ("token", "agent-token", "manifests/mine.yaml", "cred/passwd", "tls/server-ca.key"):
            self.write(f"data/server/{name}", name)
        (self.data / "node-token").symlink_to(self.data / "token")
        self.store = self.module.Store(root / "karmada", root / "karmada-etcd")
        self.ours = self.k3s.K3s("lab", "server")
        self.ours.note(slice="lab")

    def load(self, name: str) -> Any:
        full = f"ansible.module_utils.{name}"
        spec = importlib.util.spec_from_file_location(full, PLUGINS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        self.monkeypatch.setitem(sys.modules, full, module)
        spec.loader.exec_module(module)
        return module

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def files(self) -> dict[str, str]:
        """Everything that somebody could miss."""
        places = [self.data, self.root / "etc", self.root / "karmada"]
        found = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
        return {
            str(path): path.read_text()
            for path in found
            if path.suffix not in (".db", ".json") and "-" not in path.suffix
        }

    def put_back(self, file: Path) -> None:
        files = self.ours.files({"node-name": "server"}, {}, {})
        self.store.put_back(file, self.ours, files, 30)

    def bare(self) -> None:
        """As a host is that has nothing but the program."""
        for name in ("data", "etc", "karmada", "karmada-etcd"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        self.ours.note(slice="lab")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


@pytest.fixture
def writers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def start_writer(writers: list[subprocess.Popen[str]], path: Path) -> subprocess.Popen[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    writers.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(store.execute("SELECT count(*) FROM kine").fetchone()[0])


def test_a_store_is_copied_while_its_writers_stand_still(
    server: Server, tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    process = start_writer(writers, tmp_path / "store/store.sqlite")
    other = start_writer(writers, tmp_path / "other/store.sqlite")
    frozen = sys.modules["ansible.module_utils.mls_frozen"].frozen

    def copy_and_fail() -> None:
        with frozen(tmp_path / "store") as held:
            assert held == [process.pid]
            assert state(process.pid) == "T"
            assert state(other.pid) != "T"
            shutil.copytree(tmp_path / "store", tmp_path / "copy")
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        copy_and_fail()
    deadline = time.monotonic() + 10
    while state(process.pid) == "T":
        assert time.monotonic() < deadline
    assert rows(tmp_path / "copy/store.sqlite") >= 50


def test_sqlite_out_and_back_onto_a_bare_host(
    server: Server, tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    start_writer(writers, server.data / "db/state.db")
    start_writer(writers, tmp_path / "karmada-etcd/member.sqlite")
    before = server.files()
    file = tmp_path / "out.tar.gz"
    server.store.take(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".backup-")] == []
    for process in writers:
        process.kill()
        process.wait()
    server.bare()
    server.put_back(file)
    assert {path: text for path, text in before.items() if not path.endswith("node-token")} == server.files()
    assert rows(server.data / "db/state.db") >= 50
    assert rows(tmp_path / "karmada-etcd/member.sqlite") >= 50
    assert server.ours.record() == {"slice": "lab", "restored": True}
    assert not (tmp_path / "asked").exists()
    assert all(path.stat().st_mode & 0o077 == 0 for path in server.data.rglob("*") if path.is_file())


def test_what_came_after_a_backup_is_gone(server: Server, tmp_path: Path) -> None:
    (server.data / "db").mkdir()
    with closing(sqlite3.connect(server.data / "db/state.db")) as store:
        store.execute("CREATE TABLE kine (name TEXT)")
        store.commit()
    file = tmp_path / "out.tar.gz"
    server.store.take(file)
    server.write("data/server/tls/later.key", "later")
    server.write("data/server/db/state.db-wal", "a log that belongs to another file")
    server.put_back(file)
    assert not (server.data / "tls/later.key").exists()
    assert sorted(path.name for path in (server.data / "db").iterdir()) == ["state.db"]


def test_of_etcd_k3s_itself_takes_a_snapshot_and_takes_it_back(server: Server, tmp_path: Path) -> None:
    (server.data / "db/etcd").mkdir(parents=True)
    file = tmp_path / "out.tar.gz"
    server.store.take(file)
    save, delete = (tmp_path / "asked").read_text().splitlines()
    place = save.rpartition(" ")[2]
    assert save == f"etcd-snapshot save --name mls-backup --etcd-snapshot-dir {place}"
    assert delete == f"etcd-snapshot delete mls-backup-server-1 --etcd-snapshot-dir {place}"
    assert not Path(place).exists()
    with tarfile.open(file) as archive:
        # Its keys are in the snapshot, encrypted with the token.
        assert not [name for name in archive.getnames() if "/server/tls" in name or "/server/cred" in name]
    server.bare()
    server.put_back(file)
    (reset,) = (tmp_path / "asked").read_text().splitlines()[2:]
    assert reset.startswith(
        f"server --config {tmp_path}/etc/rancher/k3s/config.yaml --cluster-reset --cluster-reset-restore-path=/"
    )
    assert (server.data / "db/etcd/restored").read_text() == "snapshot\n"
    assert "node-name" in (tmp_path / "etc/rancher/k3s/config.yaml").read_text()


def test_a_snapshot_that_k3s_does_not_take_is_said(server: Server, tmp_path: Path) -> None:
    (server.data / "db/etcd").mkdir(parents=True)
    (tmp_path / "k3s").write_text("#!/bin/sh\necho 'level=fatal msg=etcd datastore disabled' >&2; exit 1\n")
    with pytest.raises(server.k3s.K3sError, match=r"k3s takes no snapshot of etcd: .*etcd datastore disabled"):
        server.store.take(tmp_path / "out.tar.gz")
    assert not (tmp_path / "out.tar.gz").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil"])
def test_an_archive_that_leads_elsewhere_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    file = tmp_path / "evil.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    parcel = sys.modules["ansible.module_utils.mls_parcel"]
    with pytest.raises(parcel.ParcelError, match="no plain file below it"):
        parcel.unpack(file, tmp_path / "target")
    assert os.path.lexists(tmp_path / "k3s")


def test_nodes_of_a_restored_store_are_let_in_again(server: Server, tmp_path: Path) -> None:
    items = [{"metadata": {"name": name}} for name in ("worker1.node-password.k3s", "mine", "server.node-password.k3s")]
    said = json.dumps({"items": items})
    (tmp_path / "k3s").write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\ncat <<'END'\n{said}\nEND\n")
    server.module.readmit("/kubeconfig")
    asked = (tmp_path / "asked").read_text().splitlines()[1:]
    place = "kubectl --kubeconfig /kubeconfig delete --raw /api/v1/namespaces/kube-system/secrets"
    assert asked == [f"{place}/worker1.node-password.k3s", f"{place}/server.node-password.k3s"]
