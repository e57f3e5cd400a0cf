"""Whether this machine lets a testbed be made: root alone is not enough in a container or a sandbox.

Asked before anything is made, so that a machine that cannot is told why on one line and is left as it was.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import Refused

from mlsysops_cli.testbed import cgroups
from mlsysops_cli.testbed.tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_ability"]

#: Settings of the kernel that a testbed changes while it is up.
_SETTINGS = (Path("/proc/sys/net/ipv4/ip_forward"), Path("/proc/sys/fs/inotify/max_user_instances"))
_PRIVILEGED = "a container must be privileged to carry a testbed: --privileged of docker and podman"


def check_ability(directory: Path) -> None:
    """Try, in namespaces of their own that end at once, what a testbed does.

    Args:
        directory: Where the hosts' disks will be.

    Raises:
        Refused: This machine does not let a testbed be made; says what it refuses.
    """
    for what, argv, hint in _trials():
        done = run("unshare", "--net", "--mount", *argv, check=False)
        if done.returncode != 0:
            raise Refused(f"this machine refuses {what}: {_said(done.stderr)}", hint=hint)
    for path in (*cgroups.roots(), *_SETTINGS):
        if not os.access(path, os.W_OK):  # also where the file system is mounted read-only
            raise Refused(f"this machine refuses to change {path}: it is read-only", hint=_PRIVILEGED)
    _check_overlay(directory)


def _trials() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield what is tried, the command that tries it, and what to do where it fails."""
    yield "network namespaces and mounts", ("true",), _PRIVILEGED
    yield "veth pairs", ("ip", "link", "add", "mlstb-a", "type", "veth", "peer", "name", "mlstb-b"), _PRIVILEGED
    yield "network bridges", ("ip", "link", "add", "mlstb-a", "type", "bridge"), "load the kernel module bridge"
    yield "packet filter rules", ("nft", "add", "table", "ip", "mls_trial"), "load the kernel module nf_tables"


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
