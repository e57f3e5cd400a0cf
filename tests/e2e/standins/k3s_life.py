"""The part of the stand-in for k3s that is about its life: where its datastore lies, snapshots of it, passwords of nodes.

What is real about it: the datastore is ``server/db/state.db``, an SQLite file, or below ``server/db/etcd``, where k3s itself
looks which of the two it has; a snapshot holds the cluster's keys and is worthless without the token; a node comes in again only
with its password. What is not: what lies below ``server/db/etcd`` is no etcd. Every command of k3s that backs up or restores
is written down word by word in ``calls.jsonl``, so that tests can hold it against k3s' documentation.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import shutil
import socket
import sqlite3
import ssl
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CONFIG, DATA = Path("/etc/rancher/k3s"), Path("/var/lib/rancher/k3s")
CALLS = DATA / "calls.jsonl"
PASSWORD = Path("/etc/rancher/node/password")
_STORE = "store.sqlite"  # the embedded engine's name for it
_KEYS = ("tls", "cred")


def record(words: list[str]) -> None:
    """Write a command down."""
    with CALLS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(words) + "\n")


# -- the datastore ---------------------------------------------------------------------------------------------------


def store_directory(config: dict[str, Any]) -> Path:
    """Return where the engine keeps its store: where k3s would, under a name that k3s would use."""
    db = DATA / "server/db"
    etcd, state = db / "etcd", db / "state.db"
    db.mkdir(parents=True, exist_ok=True, mode=0o700)
    if config.get("cluster-init") or etcd.is_dir():
        if not etcd.is_dir():  # as k3s goes over from SQLite
            etcd.mkdir(mode=0o700)
            for path in db.glob(f"{_STORE}*"):
                path.rename(etcd / path.name)
            state.unlink(missing_ok=True)
        return etcd
    if state.is_file() and not state.is_symlink():  # somebody put it back
        for path in db.glob(f"{_STORE}*"):
            path.unlink()
        state.rename(db / _STORE)
    if not state.is_symlink():
        state.symlink_to(_STORE)
    return db


def snapshot(words: list[str]) -> int:
    """Run ``k3s etcd-snapshot save|delete``."""
    record(["etcd-snapshot", *words])
    directory = Path(words[words.index("--etcd-snapshot-dir") + 1])
    if words[0] == "delete":
        (directory / words[1]).unlink()
        return 0
    store = DATA / "server/db/etcd" / _STORE
    if words[0] != "save" or not store.is_file():
        print("error: etcd datastore disabled", file=sys.stderr)
        return 1
    target = directory / f"{words[words.index('--name') + 1]}-{socket.gethostname()}-{int(time.time())}"
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(target, "w") as tar:
        copy = Path(scratch, _STORE)
        with contextlib.closing(sqlite3.connect(store)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
            old.backup(new)
        tar.add(copy, _STORE)
        for name in _KEYS:  # k3s keeps them in its datastore, encrypted with the token
            tar.add(DATA / "server" / name, name)
    print(f"Snapshot {target.name} saved.")
    return 0


def cluster_reset(words: list[str]) -> int:
    """Run ``k3s server --cluster-reset --cluster-reset-restore-path=FILE``."""
    record(words)
    if not (DATA / "server/token").is_file():
        print(f"level=fatal msg={DATA}/server/token does not exist, please pass --token to complete the restoration")
        return 1
    (path,) = (word.partition("=")[2] for word in words if word.startswith("--cluster-reset-restore-path="))
    shutil.rmtree(DATA / "server/db", ignore_errors=True)
    etcd = DATA / "server/db/etcd"
    etcd.mkdir(parents=True, mode=0o700)
    with tarfile.open(path) as tar:
        tar.extract(_STORE, etcd)
        for name in _KEYS:
            shutil.rmtree(DATA / "server" / name, ignore_errors=True)
        tar.extractall(DATA / "server", [one for one in tar if one.name != _STORE])
    print("Managed etcd cluster membership has been reset, restart without --cluster-reset flag now.")
    return 0


# -- passwords of nodes ------------------------------------------------------------------------------------------------


def own_password() -> str:
    """Return this node's password, made where there is none."""
    if not PASSWORD.is_file():
        PASSWORD.parent.mkdir(parents=True, exist_ok=True)
        PASSWORD.touch(mode=0o600)
        PASSWORD.write_text(secrets.token_hex(16) + "\n", encoding="ascii")
    return PASSWORD.read_text(encoding="ascii").strip()


def admit(node: str, password: str) -> bool:
    """Whether a node may come in: nobody had its name before, or it knows the password."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    path = "/api/v1/namespaces/kube-system/secrets"
    kubeconfig = str(CONFIG / "k3s.yaml")
    try:
        found = json.loads(request(kubeconfig, "GET", f"{path}/{node}.node-password.k3s"))
        return bool(secrets.compare_digest(base64.b64decode(found["data"]["hash"]).decode(), digest))
    except urllib.error.HTTPError as exc:
        if exc.code != 404:
            raise
    body = {
        "metadata": {"name": f"{node}.node-password.k3s"},
        "data": {"hash": base64.b64encode(digest.encode()).decode()},
    }
    request(kubeconfig, "POST", path, {"apiVersion": "v1", "kind": "Secret", **body})
    return True


# -- the API -----------------------------------------------------------------------------------------------------------


def request(kubeconfig: str, method: str, path: str, body: Any = None) -> str:
    """Ask an API with the certificate of a kubeconfig."""
    import yaml

    document = yaml.safe_load(Path(kubeconfig).read_text(encoding="utf-8"))
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile("w", dir=CONFIG) as pair:  # 0600
        pair.write("".join(base64.b64decode(user[f"client-{kind}-data"]).decode() for kind in ("certificate", "key")))
        pair.flush()
        context.load_cert_chain(pair.name)
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(cluster["server"] + path, data=data, method=method, headers=headers)
    with urllib.request.urlopen(asked, context=context, timeout=10) as answer:
        return str(answer.read().decode())


def kubectl(words: list[str]) -> int:
    """Run ``k3s kubectl --kubeconfig F get|delete --raw PATH``."""
    if len(words) != 5 or words[0] != "--kubeconfig" or words[2] not in ("get", "delete") or words[3] != "--raw":
        print(f"the stand-in cannot: kubectl {' '.join(words)}", file=sys.stderr)
        return 2
    try:
        print(request(words[1], {"get": "GET", "delete": "DELETE"}[words[2]], words[4]))
    except urllib.error.HTTPError as exc:
        print(f"Error from server ({exc.reason}): {exc.read().decode()[:200]}", file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"Unable to connect to the server: {exc}", file=sys.stderr)
        return 1
    return 0
