"""What this machine must have to carry a testbed of systemd-nspawn: root, and programs of Debian."""

from __future__ import annotations

import os

from mlsysops_core.errors import MlsError, Refused, Unreachable, UsageError

from mlsysops_cli.testbed.tools import PROGRAMS, run, which

__all__ = ["missing", "require", "require_root"]


def missing() -> list[str]:
    """Return the Debian packages that are not installed, sorted."""
    return sorted({package for program, package in PROGRAMS.items() if not which(program)})


def require_root() -> None:
    """Make sure that we are root.

    Raises:
        Refused: We are not.
    """
    if os.geteuid() != 0:
        raise Refused("a testbed needs root: it makes network namespaces and mounts", hint="run it with sudo")


def require(*, install: bool) -> None:
    """Make sure that this machine can carry a testbed.

    Args:
        install: Install what is missing.

    Raises:
        Refused: Not root.
        UsageError: Something is missing, and may or can not be installed.
        Unreachable: Debian's packages cannot be had.
    """
    require_root()
    packages = missing()
    if not packages:
        return
    names = " ".join(packages)
    if not install:
        raise UsageError(f"not installed: {names}", hint=f"--install does: apt-get install {names}")
    if not which("apt-get"):
        raise UsageError(f"not installed: {names}, and this machine has no apt-get", hint="install them by hand")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    # Somebody else may be installing packages just now: wait for the lock.
    patient = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
    try:
        run(*patient, "update", timeout=300)
        run(*patient, "install", "--yes", "--no-install-recommends", *packages, timeout=600)
    except MlsError as exc:
        hint = "check the network and the sources of apt, or install them by hand"
        raise Unreachable(f"not installed: {names}; {exc.message}", hint=hint) from exc
