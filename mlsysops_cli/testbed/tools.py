"""Programs of this machine that the testbed stands on: which are missing, and running one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from mlsysops_core.errors import MlsError, Refused, TimedOut, Unreachable, UsageError

__all__ = ["PROGRAMS", "missing", "require", "require_root", "run"]

#: Programs and the Debian packages that hold them.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "nft": "nftables",
    "zstd": "zstd",
    "tar": "tar",
    "unshare": "util-linux",
}
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def run(
    *argv: str, check: bool = True, text: str | None = None, timeout: float = 120, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        argv: Program and arguments.
        check: Fail where it fails.
        text: Its standard input.
        timeout: Seconds.
        cwd: Its working directory.

    Raises:
        MlsError: It failed.
        TimedOut: It did not come to an end.
        UsageError: It is not installed.
    """
    environment = {**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"}
    source = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, env=environment, timeout=timeout, check=False, cwd=cwd, **source
        )
    except subprocess.TimeoutExpired as exc:
        raise TimedOut(f"{' '.join(argv[:3])} does not end within {timeout:.0f} s") from exc
    except FileNotFoundError as exc:
        package = PROGRAMS.get(argv[0], argv[0])
        raise UsageError(
            f"{argv[0]} is not installed", hint=f"a testbed is made on Debian or Ubuntu: {package}"
        ) from exc
    if check and done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        shown = " ".join(argv) if len(argv) < 12 else " ".join(argv[:3]) + " …"
        raise MlsError(f"{shown}: {said[-1] if said else f'exit status {done.returncode}'}")
    result: subprocess.CompletedProcess[str] = done
    return result


def missing() -> list[str]:
    """Return the Debian packages that are not installed, sorted."""
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=_PATH)})


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
    if not shutil.which("apt-get", path=_PATH):
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
