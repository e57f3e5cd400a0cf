"""Programs of this machine that a testbed stands on: running one, and which Debian package holds it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from mlsysops_core.errors import MlsError, TimedOut, UsageError

__all__ = ["PROGRAMS", "run", "which"]

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


def which(program: str) -> str | None:
    """Return where a program is, also where only root's PATH would have it; None where it is not installed."""
    return shutil.which(program, path=_PATH)


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
