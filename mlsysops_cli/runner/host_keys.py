"""SSH keys of hosts that are met for the first time: fetched, shown by fingerprint, recorded when a person says so."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["fetch_keys", "fingerprints", "record_keys", "unknown_address"]

#: What ssh says of a host without a recorded key (OpenSSH, ``sshconnect.c``).
_UNKNOWN = re.compile(r"host key is known for (\S+) and you have requested strict checking")
_WITH_PORT = re.compile(r"\[(.+)\]:(\d+)")
#: Seconds for one host to show its keys.
_TIMEOUT = 5


def unknown_address(message: str) -> str:
    """Return the address (``[address]:port`` where the port is not 22) that ssh has no key of; empty where that is not why."""
    found = _UNKNOWN.search(message)
    return found[1] if found else ""


def fetch_keys(addresses: Iterable[str]) -> dict[str, str]:
    """Ask hosts for their keys; return lines for a file of known hosts, by address. A host that does not answer is left out.

    Args:
        addresses: As `unknown_address` returns them.
    """
    with ThreadPoolExecutor(8) as pool:
        asked = {address: pool.submit(_fetch, address) for address in addresses}
        return {address: text for address, asking in asked.items() if (text := asking.result())}


def _fetch(address: str) -> str:
    found = _WITH_PORT.fullmatch(address)
    host, port = (found[1], found[2]) if found else (address, "22")
    argv = ["ssh-keyscan", "-T", str(_TIMEOUT), "-p", port, "-t", "ed25519", host]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=3 * _TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if line and not line.startswith("#"))


def fingerprints(known_hosts: str) -> dict[str, str]:
    """Return the fingerprint and kind of each key in the text of a file of known hosts, by address.

    Args:
        known_hosts: The text.
    """
    if not known_hosts.strip():
        return {}
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], capture_output=True, text=True, input=known_hosts, timeout=10, check=False
    )
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()  # bits, fingerprint, address, kind
        if len(words) >= 4:
            found[words[2]] = f"{words[1]} {words[-1]}"
    return found


def record_keys(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file of known hosts, mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as stream:
        stream.writelines(lines)
