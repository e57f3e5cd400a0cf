"""A user's kubeconfig becomes one of its own: one context, everything embedded, and each fault one line with a fix."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_core.errors import InvalidInput, MlsError, NotFound

from mlsysops_cli.existing import read_kubeconfig
from mlsysops_cli.slice.existing import KubeconfigSource


def document() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [
            {"name": "c1", "cluster": {"server": "https://a:6443", "certificate-authority": "ca.crt"}},
            {"name": "c2", "cluster": {"server": "https://b:6443", "insecure-skip-tls-verify": True}},
        ],
        "users": [
            {"name": "u1", "user": {"client-certificate": "keys/u.crt", "client-key": "keys/u.key"}},
            {"name": "u2", "user": {"exec": {"command": "./login", "apiVersion": "client.authentication.k8s.io/v1"}}},
            {"name": "u3", "user": {"tokenFile": "token"}},
        ],
        "contexts": [
            {"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "n"}},
            {"name": "two", "context": {"cluster": "c2", "user": "u2"}},
            {"name": "three", "context": {"cluster": "c2", "user": "u3"}},
            {"name": "broken", "context": {"cluster": "c3", "user": "u1"}},
        ],
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    for name in ("ca.crt", "keys/u.crt", "keys/u.key"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    place = tmp_path / "config"
    place.write_text(yaml.safe_dump(document()), encoding="utf-8")
    return place


def read(path: Path, context: str = "") -> dict[str, Any]:
    return read_kubeconfig(KubeconfigSource(path=str(path), context=context))


def user(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["users"][0]["user"]
    return found


def test_certificates_are_embedded_and_other_contexts_left_out(path: Path) -> None:
    made = read(path)
    assert made["current-context"] == "one"
    assert [len(made[part]) for part in ("contexts", "clusters", "users")] == [1, 1, 1]
    assert made["contexts"][0]["context"]["namespace"] == "n"
    cluster = made["clusters"][0]["cluster"]
    assert cluster["server"] == "https://a:6443"
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"ca.crt"
    assert base64.b64decode(user(made)["client-key-data"]) == b"keys/u.key"
    assert not {"certificate-authority", "client-certificate", "client-key"} & (cluster.keys() | user(made).keys())


def test_programs_and_files_that_others_renew_stay_references(path: Path) -> None:
    assert user(read(path, "two"))["exec"]["command"] == str(path.parent / "login")
    assert user(read(path, "three"))["tokenFile"] == str(path.parent / "token")


def test_embedded_data_wins_over_a_file(path: Path) -> None:
    changed = document()
    changed["clusters"][0]["cluster"]["certificate-authority-data"] = "eA=="
    changed["clusters"][0]["cluster"]["certificate-authority"] = "gone.crt"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert read(path)["clusters"][0]["cluster"]["certificate-authority-data"] == "eA=="


@pytest.mark.parametrize(
    ("change", "context", "family", "message"),
    [
        ({}, "four", NotFound, "has no context 'four' (set mls_context to one of: broken, one, three, two)"),
        ({}, "broken", InvalidInput, "names the cluster 'c3', which is not there"),
        ({"current-context": ""}, "", InvalidInput, "has no current context (set mls_context"),
        ({"clusters": None}, "", InvalidInput, "is no kubeconfig"),
        ({"clusters": [{"name": "c1", "cluster": {"certificate-authority-data": "x"}}]}, "", InvalidInput, "no server"),
    ],
)
def test_faults(path: Path, change: dict[str, Any], context: str, family: type[MlsError], message: str) -> None:
    path.write_text(yaml.safe_dump(document() | change), encoding="utf-8")
    with pytest.raises(family) as caught:
        read(path, context)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(path: Path) -> None:
    (path.parent / "ca.crt").unlink()
    with pytest.raises(InvalidInput, match=r"certificate-authority .*ca.crt: No such file"):
        read(path)
    path.write_bytes(b"{: \xff")
    with pytest.raises(InvalidInput, match="not YAML"):
        read(path)
    with pytest.raises(NotFound, match="no kubeconfig"):
        read(path.parent / "absent")
