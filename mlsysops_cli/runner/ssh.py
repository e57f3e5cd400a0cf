"""How Ansible's SSH connections behave: bounded in time, checked host keys, no questions, gone when the run is over."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_cli.runner.guard import close_connections
from mlsysops_cli.runner.scratch import make_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["connections", "ssh_settings"]

#: Seconds until a host that does not answer counts as unreachable.
CONNECT_TIMEOUT = 10
#: Of the command that runs several playbooks on the same hosts.
_shared: ContextVar[Path | None] = ContextVar("mlsysops_connections", default=None)


def ssh_settings(*, known_hosts: Path | None, accept: bool, sockets: Path) -> dict[str, str]:
    """Return environment variables for Ansible.

    Args:
        known_hosts: Where keys of hosts are recorded, beside those that the person knows already.
        accept: Record keys of hosts that are seen for the first time; a changed key is refused in any case.
        sockets: Directory of the shared connections' sockets.
    """
    # A link that is cut must be noticed: a live shared connection would hang for over a minute.
    options = ["ControlMaster=auto", "ControlPersist=60s", "ServerAliveInterval=3", "ServerAliveCountMax=3"]
    options.append(f"StrictHostKeyChecking={'accept-new' if accept else 'yes'}")
    if known_hosts:
        # Which address a key is of is shown to the person; the inventory beside it names the hosts anyway.
        options.append("HashKnownHosts=no")
        options.append(f'UserKnownHostsFile="{known_hosts}" ~/.ssh/known_hosts ~/.ssh/known_hosts2')
    return {
        "ANSIBLE_SSH_ARGS": shlex.join(word for option in options for word in ("-o", option)),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "ANSIBLE_TIMEOUT": str(CONNECT_TIMEOUT),
        # Whatever ssh wants to ask (a passphrase) fails instead of waiting for a person who sees no question.
        "SSH_ASKPASS": "/bin/false",
        "SSH_ASKPASS_REQUIRE": "force",
    }


@contextmanager
def connections() -> Iterator[Path]:
    """Yield a directory for the sockets of shared connections, which are closed at the end; within another one, that one's.

    It has a short name of its own, because the path of a unix socket may have 107 characters only.
    """
    outer = _shared.get()
    if outer:
        yield outer
        return
    directory = make_scratch(Path(tempfile.gettempdir()), "mls")
    token = _shared.set(directory)
    try:
        yield directory
    finally:
        _shared.reset(token)
        close_connections(directory)
        shutil.rmtree(directory, ignore_errors=True)
