"""Reads a kubeconfig into what an HTTPS client needs."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mlsysops_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Connection", "load_kubeconfig"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where an API server is and how to prove who we are.

    Attributes:
        server: Base URL without trailing slash.
        ssl_context: Trust and client certificate; None for plain HTTP.
        token: Bearer token; empty where a client certificate is used.
        namespace: Default namespace of the context.
        user: Name of the user entry, for messages.
    """

    server: str
    ssl_context: ssl.SSLContext | None
    token: str = ""
    namespace: str = "default"
    user: str = ""


def _named(document: Mapping[str, Any], section: str, name: str, key: str, path: Path) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return dict(entry.get(key) or {})
    raise InvalidInput(f"{path}: no entry {name!r} in {section}", hint="name one that the kubeconfig has")


def _material(entry: Mapping[str, Any], key: str, base: Path) -> bytes | None:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(str(data))
    if name := entry.get(key):
        return (base / str(name)).read_bytes()
    return None


def _context(cluster: Mapping[str, Any], user: Mapping[str, Any], base: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority := _material(cluster, "certificate-authority", base):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _material(user, "client-certificate", base), _material(user, "client-key", base)
    if certificate and key:
        # OpenSSL's chain loader takes files only; mkstemp makes this one 0600 and it lives for one call.
        descriptor, name = tempfile.mkstemp(prefix="client-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(certificate + b"\n" + key)
            context.load_cert_chain(name)
        finally:
            Path(name).unlink()
    return context


def load_kubeconfig(path: str | Path, context: str | None = None) -> Connection:
    """Read the named (or current) context of a kubeconfig.

    Raises:
        InvalidInput: The file is missing, unreadable, or lacks what its context names.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        name = context or document["current-context"]
        chosen = _named(document, "contexts", name, "context", path)
        cluster = _named(document, "clusters", chosen["cluster"], "cluster", path)
        user = _named(document, "users", chosen["user"], "user", path) if chosen.get("user") else {}
        server = str(cluster["server"]).rstrip("/")
        token = user.get("token") or ""
        if not token and user.get("tokenFile"):
            token = (path.parent / user["tokenFile"]).read_text("utf-8").strip()
        tls = _context(cluster, user, path.parent) if server.startswith("https:") else None
    except FileNotFoundError as exc:
        raise InvalidInput(
            f"{exc.filename}: no such file", hint="give the kubeconfig of a running control plane"
        ) from exc
    except (OSError, KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as exc:
        raise InvalidInput(f"{path}: not a usable kubeconfig: {exc}") from exc
    return Connection(server, tls, token, chosen.get("namespace") or "default", str(chosen.get("user") or ""))
