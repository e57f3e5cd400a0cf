"""The client programs of this machine, and the servers that they know."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from mlsysops_core.errors import MlsError, NotFound, UsageError

from mlsysops_cli.testbed.tools import run, which

__all__ = ["CLIENTS", "Remote", "find"]

#: That of Incus comes first; ``lxc`` is LXD's.
CLIENTS = ("incus", "lxc")


@dataclass(frozen=True, slots=True)
class Remote:
    """A server that a client knows.

    Attributes:
        client: The client program.
        name: As the client calls it.
        project: Project that is usual there.
        known: Names of all remotes of that client, servers of images among them.
    """

    client: str
    name: str
    project: str
    known: frozenset[str]


def find(name: str = "") -> Remote:
    """Return a server by name, or the default one of the client.

    Raises:
        UsageError: No client is installed, or it does not say what it knows.
        NotFound: No client knows such a server.
    """
    installed = [client for client in CLIENTS if which(client)]
    if not installed:
        raise UsageError(
            "neither incus nor lxc is installed",
            hint="apt-get install incus-client (LXD: lxd-client), and add a server with `incus remote add`",
        )
    servers: list[str] = []
    for client in installed:
        known = _ask(client, "remote", "list", "--format", "json")
        mine = [remote for remote, entry in known.items() if _is_server(entry)]
        wanted = name or _default(client)
        if wanted in mine:
            variable = "INCUS_PROJECT" if client == "incus" else "LXD_PROJECT"
            project = os.environ.get(variable) or known[wanted].get("Project") or "default"
            return Remote(client=client, name=wanted, project=project, known=frozenset(known))
        servers += mine
    raise NotFound(
        f"no remote {name!r} that makes instances" if name else "the client's default remote makes no instances",
        hint=f"remotes: {', '.join(sorted(set(servers))) or 'none'}; add one with `{installed[0]} remote add`",
    )


def _is_server(entry: dict[str, Any]) -> bool:
    return entry.get("Protocol") not in {"simplestreams", "oci"} and not entry.get("Public")


def _default(client: str) -> str:
    variable = "INCUS_REMOTE" if client == "incus" else "LXD_REMOTE"
    if named := os.environ.get(variable):
        return named
    done = run(client, "remote", "get-default", timeout=30)
    return done.stdout.strip()


def _ask(client: str, *words: str) -> dict[str, dict[str, Any]]:
    done = run(client, *words, timeout=30)
    try:
        answer: dict[str, dict[str, Any]] = json.loads(done.stdout)
    except ValueError as exc:
        raise MlsError(f"{client} {' '.join(words)} does not answer in JSON") from exc
    return answer
