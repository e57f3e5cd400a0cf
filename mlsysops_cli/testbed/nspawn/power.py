"""A host's power supply: runs systemd-nspawn, and again when the host reboots.

Run as ``python -m mlsysops_cli.testbed.nspawn.power FILE`` with a JSON file: ``name``, ``group``, ``memory``, ``cpu`` and
``argv``. SIGTERM shuts the host down cleanly.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlsysops_cli.testbed.nspawn import cgroups

__all__ = ["END", "main"]

#: Exit status of systemd-nspawn when the host asked for a reboot (systemd-nspawn(1)).
_REBOOT = 133
_PR_SET_PDEATHSIG = 1
#: What the console says in our own words, with nothing about why.
END = "systemd-nspawn ended with status"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Run the host until it is switched off; return systemd-nspawn's exit status."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    cgroups.enter(settings["group"], settings["name"], memory=settings["memory"], cpu=settings["cpu"])
    child: subprocess.Popen[bytes] | None = None
    off = False

    def switch_off(*_: object) -> None:
        nonlocal off
        off = True
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, switch_off)
    # Only the interfaces' settings may be changed from within: they belong to the host's own namespace.
    environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    status = 0
    while not off:
        child = subprocess.Popen(
            settings["argv"], env=environment, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
        )
        status = child.wait()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sys.stdout.write(f"{moment} {settings['name']}: {END} {status}\n")
        sys.stdout.flush()
        if status != _REBOOT:
            break
    return status


if __name__ == "__main__":
    sys.exit(main())
