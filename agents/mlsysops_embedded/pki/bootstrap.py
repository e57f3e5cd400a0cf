"""Makes the files a control plane needs before it can start; what is valid and matches is left as it is."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization

from mlsysops_embedded.config import BootstrapConfig, KubeconfigEntry
from mlsysops_embedded.pki.certs import Issued, issue, key_pem, make_authority, new_key, still_good

__all__ = ["bootstrap"]


def _write(path: Path, data: bytes, mode: int) -> bool:
    """Writes a file whole, with its mode; says whether that changed anything."""
    if path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
    return True


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _pair(directory: Path, stem: str) -> tuple[Path, Path]:
    return directory / f"{stem}.crt", directory / f"{stem}.key"


def _ensure(
    authority: Issued, paths: tuple[Path, Path], name: str, groups: list[str], sans: list[str], *, server: bool
) -> bool:
    present = (_read(paths[0]), _read(paths[1]))
    if still_good(present[0], present[1], authority[0], name, groups, sans):
        return False
    certificate, key = issue(authority, name, groups, sans, server=server)
    _write(paths[1], key, 0o600)
    _write(paths[0], certificate, 0o644)
    return True


def _kubeconfig(config: BootstrapConfig, authority: bytes, user: str, issued: Issued) -> bytes:
    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": config.context,
                "cluster": {"server": config.server.url, "certificate-authority-data": text(authority)},
            }
        ],
        "users": [
            {"name": user, "user": {"client-certificate-data": text(issued[0]), "client-key-data": text(issued[1])}}
        ],
        "contexts": [{"name": config.context, "context": {"cluster": config.context, "user": user}}],
        "current-context": config.context,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _ensure_kubeconfig(config: BootstrapConfig, entry: KubeconfigEntry, authority: Issued) -> bool:
    issued: Issued = (b"", b"")
    if entry.path.exists():
        try:
            user = yaml.safe_load(entry.path.read_bytes())["users"][0]["user"]
            issued = base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"])
        except (KeyError, IndexError, TypeError, ValueError, yaml.YAMLError):
            issued = (b"", b"")  # not a file of ours any more: it is written anew
    if not still_good(issued[0], issued[1], authority[0], entry.user, entry.groups):
        issued = issue(authority, entry.user, entry.groups)
    return _write(entry.path, _kubeconfig(config, authority[0], entry.user, issued), 0o600)


def bootstrap(config: BootstrapConfig) -> bool:
    """Makes CA, certificates, ServiceAccount keys and kubeconfigs.

    Returns:
        Whether anything was made or changed.
    """
    changed = False
    directory = config.pki_dir
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    ca_paths = _pair(directory, "ca")
    authority: Issued = (_read(ca_paths[0]), _read(ca_paths[1]))
    if not all(authority):
        authority = make_authority(f"{config.context}-ca")
        _write(ca_paths[1], authority[1], 0o600)
        changed |= _write(ca_paths[0], authority[0], 0o644)
    sans = list(dict.fromkeys([*config.server.sans, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]))
    changed |= _ensure(authority, _pair(directory, "server"), "kube-apiserver", [], sans, server=True)
    client = _pair(directory, "apiserver-kubelet-client")
    changed |= _ensure(authority, client, "kube-apiserver-kubelet-client", ["system:masters"], [], server=False)
    signing = directory / "sa.key"
    if not signing.exists():
        changed |= _write(signing, key_pem(new_key()), 0o600)
    public = serialization.load_pem_private_key(signing.read_bytes(), None).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    changed |= _write(directory / "sa.pub", pem, 0o644)
    for entry in config.kubelet_certs:
        pair = _pair(entry.dir, "kubelet")
        changed |= _ensure(authority, pair, f"system:node:{entry.node}", ["system:nodes"], entry.sans, server=True)
        changed |= _write(entry.dir / "ca.crt", authority[0], 0o644)
    for kubeconfig in config.kubeconfigs:
        changed |= _ensure_kubeconfig(config, kubeconfig, authority)
    return changed
