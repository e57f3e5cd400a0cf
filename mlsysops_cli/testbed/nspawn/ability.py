"""Whether this machine lets a testbed be made: root alone is not enough in a container or a sandbox.

Asked before anything is made, so that a machine that cannot is told why on one line and is left as it was.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mlsysops_core.errors import Refused

from mlsysops_cli.testbed.nspawn import cgroups
from mlsysops_cli.testbed.tools import run

__all__ = ["check_network", "check_rights"]

#: Settings of the kernel that a testbed changes while it is up.
_SETTINGS = (Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/fs/inotify/max_user_instances"))
_PRIVILEGED = "a container must be privileged to carry a testbed: --privileged of docker and podman"


def check_rights(directory: Path) -> None:
    """Try what only the rights of this process decide, with programs that every Debian has.

    Args:
        directory: Where the hosts' disks will be.

    Raises:
        Refused: This machine does not let a testbed be made; says what it refuses.
    """
    _try("network namespaces and mounts", ("true",), _PRIVILEGED)
    for path in (*cgroups.roots(), *_SETTINGS):
        if not os.access(path, os.W_OK):  # also where the file system is mounted read-only
            raise Refused(f"this machine refuses to change {path}: it is read-only", hint=_PRIVILEGED)
    _check_overlay(directory)


def check_network() -> None:
    """Try what the kernel must have for the hosts' network, with the programs that make it.

    Raises:
        Refused: This machine does not let a testbed be made; says what it refuses.
    """
    veth = ("ip", "link", "add", "mlstb-a", "type", "veth", "peer", "name", "mlstb-b")
    _try("veth pairs", veth, "load the kernel module veth")
    _try("network bridges", ("ip", "link", "add", "mlstb-a", "type", "bridge"), "load the kernel module bridge")
    _try("packet filter rules", ("nft", "add", "table", "ip", "mls_trial"), "load the kernel module nf_tables")


def _try(what: str, argv: tuple[str, ...], hint: str) -> None:
    """Run a command in namespaces of its own, which end with it."""
    done = run("unshare", "--net", "--mount", *argv, check=False)
    if done.returncode != 0:
        raise Refused(f"this machine refuses {what}: {_said(done.stderr)}", hint=hint)


def _check_overlay(directory: Path) -> None:
    there = next(path for path in (directory, *directory.parents) if path.is_dir())
    with tempfile.TemporaryDirectory(prefix=".mls-trial-", dir=there) as scratch:
        for name in ("lower", "upper", "work", "root"):
            (Path(scratch) / name).mkdir()
        layers = ",".join(f"{key}dir={scratch}/{key}" for key in ("lower", "upper", "work"))
        mount = ("mount", "-t", "overlay", "overlay", "-o", layers, f"{scratch}/root")
        done = run("unshare", "--mount", *mount, check=False)
        if done.returncode != 0:
            # An overlay cannot be the upper layer of another one, and the root of most containers is one.
            hint = "set XDG_DATA_HOME to a directory of a file system of its own, such as a volume"
            raise Refused(f"no overlay can be mounted below {there}: {_said(done.stderr)}", hint=hint)


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "without a reason"
