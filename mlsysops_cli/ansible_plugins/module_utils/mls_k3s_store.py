"""What a server of k3s cannot do without: its datastore, its token, its keys; out into one private file and back.

As k3s' documentation says: of SQLite the file is copied, of embedded etcd a snapshot is taken and put back with
``--cluster-reset`` (https://docs.k3s.io/datastore/backup-restore, https://docs.k3s.io/cli/etcd-snapshot); either needs the
token that it was taken with. Standard library only.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_frozen import frozen
from ansible.module_utils.mls_k3s import CONFIG, DATA, PROGRAM, K3s, K3sError, run
from ansible.module_utils.mls_parcel import pack, unpack

__all__ = ["Store", "readmit"]

_SERVER = DATA / "server"
_SNAPSHOT = "mls-backup"
#: What both datastores need, and what an etcd snapshot holds by itself.
_ALWAYS = (
    _SERVER / "token", _SERVER / "agent-token", _SERVER / "manifests", CONFIG / "agent-token", CONFIG.parent / "node" / "password",
)  # fmt: skip
_IN_SNAPSHOT = (_SERVER / "cred", _SERVER / "tls")
_SECRETS = "/api/v1/namespaces/kube-system/secrets"
_PASSWORD = ".node-password.k3s"  # noqa: S105 - the end of a Secret's name, no password


class Store:
    """The datastore and the keys of this host's server of k3s.

    Args:
        karmada: Directory of Karmada's kubeconfig and certificates, or of a member's; may be missing.
        etcd: Directory of Karmada's own etcd; may be missing.
    """

    def __init__(self, karmada: Path, etcd: Path) -> None:
        self._karmada = karmada
        self._etcd = etcd

    @property
    def embedded_etcd(self) -> bool:
        """Whether the datastore is embedded etcd; k3s looks at the same directory."""
        return bool((_SERVER / "db" / "etcd").is_dir())

    def take(self, file: Path) -> None:
        """Copy everything while it runs.

        Args:
            file: Where to.

        Raises:
            K3sError: There is no datastore, or k3s takes no snapshot of it.
            OSError: A file cannot be read or written.
        """
        members = {_name(path): path for path in (*_ALWAYS, self._karmada) if path.exists()}
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as scratch:
            store = Path(scratch, "store")
            if self.embedded_etcd:
                self._snapshot(store)
            else:
                _copy_sqlite(_SERVER / "db" / "state.db", store)
                members |= {_name(path): path for path in _IN_SNAPSHOT if path.exists()}
            about = Path(scratch, "about.json")
            about.write_text(json.dumps({"datastore": "etcd" if self.embedded_etcd else "sqlite"}) + "\n")
            if self._etcd.is_dir():
                copy = Path(scratch, "karmada-etcd")
                with frozen(self._etcd):
                    shutil.copytree(self._etcd, copy)
                members["karmada-etcd"] = copy
            pack(file, {"about.json": about, "store": store, **members})

    @staticmethod
    def _snapshot(target: Path) -> None:
        directory = target.with_name("snapshots")
        directory.mkdir(mode=0o700)
        words = [str(PROGRAM), "etcd-snapshot"]
        where = ["--etcd-snapshot-dir", str(directory)]
        done = run(*words, "save", "--name", _SNAPSHOT, *where, timeout=600)
        found = sorted(directory.glob(f"{_SNAPSHOT}-*"))
        if done.returncode != 0 or len(found) != 1:
            raise K3sError(f"k3s takes no snapshot of etcd: {_last_line(done)}")
        shutil.copyfile(found[0], target)
        # The cluster keeps a list of its snapshots.
        run(*words, "delete", found[0].name, *where, timeout=120)

    def put_back(self, file: Path, k3s: K3s, files: dict[Path, str], timeout: float) -> None:
        """Replace everything by what an archive holds; k3s must not run, and is started by whoever runs it next.

        Args:
            file: The archive.
            k3s: This host's.
            files: Its configuration, with which an etcd snapshot is put back.
            timeout: Seconds for that.

        Raises:
            K3sError: k3s does not take the snapshot.
            OSError: A file cannot be read or written.
        """
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".restore-", dir=file.parent)))
            unpack(file, scratch)
            etcd = json.loads((scratch / "about.json").read_text(encoding="utf-8"))["datastore"] == "etcd"
            empty_server()
            for path in (*_ALWAYS, *(() if etcd else _IN_SNAPSHOT), self._karmada):
                _replace(scratch / _name(path), path)
            _replace(scratch / "karmada-etcd", self._etcd)
            if etcd:
                k3s.write(files)
                self._reset(scratch / "store", timeout)
            else:
                _replace(scratch / "store", _SERVER / "db" / "state.db")
            k3s.note(restored=True)

    @staticmethod
    def _reset(snapshot: Path, timeout: float) -> None:
        done = run(
            str(PROGRAM), "server", "--config", str(CONFIG / "config.yaml"), "--cluster-reset",
            f"--cluster-reset-restore-path={snapshot}", timeout=timeout,
        )  # fmt: skip
        if done.returncode != 0:
            raise K3sError(f"k3s does not take the snapshot of etcd: {_last_line(done)}")


def empty_server() -> None:
    """Remove the datastore and its keys, so that a server begins anew or joins another one again."""
    for path in (_SERVER / "db", *_IN_SNAPSHOT):
        if path.exists():
            shutil.rmtree(path)
    (_SERVER / "token").unlink(missing_ok=True)


def readmit(kubeconfig: str) -> None:
    """Let nodes of a restored datastore in again: whose host was bare has another node password than the datastore knows.

    Each is written down again when its node joins (https://docs.k3s.io/architecture#how-agent-node-registration-works).

    Args:
        kubeconfig: Of this host's k3s.

    Raises:
        K3sError: The API does not answer.
    """
    kubectl = [str(PROGRAM), "kubectl", "--kubeconfig", kubeconfig]
    done = run(*kubectl, "get", "--raw", _SECRETS)
    if done.returncode != 0:
        raise K3sError(f"the restored API does not answer: {_last_line(done)}")
    names = [item["metadata"]["name"] for item in json.loads(done.stdout)["items"]]
    for name in names:
        if name.endswith(_PASSWORD):
            run(*kubectl, "delete", "--raw", f"{_SECRETS}/{name}")


def _copy_sqlite(source: Path, target: Path) -> None:
    if not source.is_file():
        raise K3sError(f"{source} is missing: k3s has no datastore here", "not-found")
    import sqlite3  # every server has it, and no agent needs it

    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as exc:
        raise K3sError(f"{source} cannot be copied: {exc}") from exc
    target.chmod(0o600)


def _replace(found: Path, wanted: Path) -> None:
    if not found.exists():
        return
    if wanted.is_dir():
        shutil.rmtree(wanted)
    wanted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(found, wanted)


def _name(path: Path) -> str:
    return f"files{path}"


def _last_line(done: Any) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    faults = [line for line in lines if "level=fatal" in line or "level=error" in line or "rror" in line]
    return str((faults or lines or ["it said nothing"])[-1][-300:])
