"""How the API of a kubeconfig is reached and who asks there: TLS, proxies and tokens are those of the official client.

A program for credentials is run by us (`mls_login`), since the official client would wait for it for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Ansible's modules know this package by another name.
from .mls_login import LoginError, log_in

__all__ = ["Access", "ApiError", "ApiUnreachableError", "CredentialsError"]


class ApiError(Exception):
    """The API refused; the message is that of its Status object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CredentialsError(ApiError):
    """The kubeconfig's program for credentials gave none."""

    def __init__(self, message: str) -> None:
        super().__init__(401, message)


class ApiUnreachableError(Exception):
    """The API does not answer."""


class Access:
    """The way to an API.

    Args:
        kubeconfig: Path of a kubeconfig; its current context is used.

    Attributes:
        host: URL of the API, without a slash at its end.
        pool: Sends requests to it (``urllib3.PoolManager``).
        headers: Headers that say who asks.

    Raises:
        CredentialsError: The kubeconfig has a program for credentials, which gives none.
    """

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig
        self._read()

    def renew(self) -> None:
        """Read the kubeconfig again, and what it refers to.

        Raises:
            CredentialsError: Its program for credentials gives none.
        """
        self._read()

    def _read(self) -> None:
        with _told():
            client = _client(self._kubeconfig)
        if not client.configuration.verify_ssl:
            import urllib3.exceptions

            # Whoever wrote insecure-skip-tls-verify knows; a warning at each request tells nobody more.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self.host: str = client.configuration.host.rstrip("/")
        self.pool: Any = client.rest_client.pool_manager
        self.headers: dict[str, str] = {
            setting["key"]: setting["value"]
            for setting in client.configuration.auth_settings().values()
            if setting.get("in") == "header" and setting.get("value")
        }


def _client(kubeconfig: str) -> Any:
    import kubernetes.config  # slow to import, and absent where nothing is applied
    import yaml

    path = Path(kubeconfig)
    document = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    context, cluster, user = _current(document)
    if not isinstance(user.get("exec"), dict):
        return kubernetes.config.new_client_from_config(config_file=kubeconfig)
    try:
        user = log_in(user["exec"], directory=str(path.parent), cluster=cluster)
    except LoginError as exc:
        raise CredentialsError(str(exc)) from exc
    if cluster.get("certificate-authority"):
        cluster["certificate-authority"] = str(path.parent / cluster["certificate-authority"])
    one = {
        "current-context": "context",
        "contexts": [{"name": "context", "context": {**context, "cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
    }
    return kubernetes.config.new_client_from_config_dict(one, persist_config=False)


def _current(document: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return context, cluster and user that are meant; empty where the official client has to say what is wrong."""

    def named(plural: str, kind: str, name: Any) -> dict[str, Any]:
        entries = document.get(plural) if isinstance(document, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
                return dict(entry[kind])
        return {}

    context = named("contexts", "context", document.get("current-context")) if isinstance(document, dict) else {}
    cluster, user = named("clusters", "cluster", context.get("cluster")), named("users", "user", context.get("user"))
    return context, cluster, user


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise what the official client only logs: credentials cannot be had, and it would go on as nobody."""
    said: list[str] = []
    here = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                said.append(" ".join(record.getMessage().split()))

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    if said:
        raise CredentialsError("; ".join(said)[:200])
