"""Meeting hosts for the first time: their SSH keys are shown, and recorded with the slice when a person says so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlsysops_cli.runner.host_keys import fetch_keys, fingerprints, record_keys, unknown_address

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.runner import RunResult
    from mlsysops_cli.settings import Settings

__all__ = ["offer_keys", "show_new_keys"]


def show_new_keys(settings: Settings, before: str, known_hosts: Path) -> None:
    """Say which keys ssh has recorded since.

    Args:
        settings: Global options.
        before: What the file of known hosts held.
        known_hosts: The file.
    """
    if not known_hosts.is_file():
        return
    old = fingerprints(before)
    for address, fingerprint in fingerprints(known_hosts.read_text(encoding="utf-8")).items():
        if address not in old:
            settings.note(f"recorded the SSH key of {address}: {fingerprint}")


def offer_keys(settings: Settings, result: RunResult, known_hosts: Path) -> bool:
    """Show the keys of hosts that were refused because nobody knows them, and ask whether to record them.

    Nobody is asked where there is no terminal: the fingerprints are shown, and `--accept-host-keys` records them.

    Args:
        settings: Global options.
        result: The run in which they were refused.
        known_hosts: Where to record them.

    Returns:
        Whether any were recorded, so that it is worth trying again.
    """
    unknown = {failure.host: unknown_address(failure.message) for failure in result.failures}
    unknown = {host: address for host, address in unknown.items() if address}
    keys = fetch_keys(sorted(set(unknown.values())))
    shown = fingerprints("".join(keys.values()))
    asked = {host: address for host, address in unknown.items() if address in shown}
    if not asked:
        return False
    for host, address in asked.items():
        settings.note(f"{host} ({address}) is seen for the first time; its SSH key: {shown[address]}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(
        "Compare them with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says there. Record? [yes/no] "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        return False
    record_keys(known_hosts, [keys[address] for address in sorted(set(asked.values()))])
    return True
