"""One host: its disk, switching it on and off, and cutting its power."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import MlsError, Refused, TimedOut

from mlsysops_cli.ansible_plugins.module_utils.mls_processes import identity
from mlsysops_cli.files import write_private
from mlsysops_cli.testbed.model import HOSTS
from mlsysops_cli.testbed.nspawn import cgroups
from mlsysops_cli.testbed.nspawn.image import INIT
from mlsysops_cli.testbed.nspawn.layout import namespace
from mlsysops_cli.testbed.nspawn.network import add_host, remove_host
from mlsysops_cli.testbed.nspawn.power import END
from mlsysops_cli.testbed.ssh import answers
from mlsysops_cli.testbed.tools import run

if TYPE_CHECKING:
    from mlsysops_cli.testbed.model import Machine
    from mlsysops_cli.testbed.nspawn.layout import Layout

__all__ = ["crash", "remove", "running", "start", "stop", "wait_for_ssh"]

#: Container runtimes want overlays of their own, and Linux refuses an overlay as another one's upper directory.
_OFF_OVERLAY = ("containerd", "kubelet", "rancher")
#: What a console says where the machine around the host, and nothing of the host, kept it from starting.
_FORBIDDEN = ("Operation not permitted", "Permission denied", "Read-only file system", "Function not implemented")


def running(bed: Layout, machine: Machine) -> int | None:
    """Return the process id of a host's power supply; None where it is off."""
    try:
        pid, started = json.loads((bed.place(machine) / "power.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return int(pid) if identity(int(pid)) == (pid, started) else None


def start(bed: Layout, machine: Machine) -> bool:
    """Switch a host on; return whether it was off. It is not up yet: see `wait_for_ssh`."""
    if running(bed, machine):
        return False
    place, root = bed.place(machine), bed.root(machine)
    for name in ("upper", "work", "root", "data"):
        (place / name).mkdir(parents=True, exist_ok=True)
    add_host(bed, machine)
    if not root.is_mount():
        layers = f"lowerdir={bed.base},upperdir={place / 'upper'},workdir={place / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
    _configure(bed, machine)
    binds = []
    for name in _OFF_OVERLAY:
        (place / "data" / name).mkdir(exist_ok=True)
        (root / "var/lib" / name).mkdir(exist_ok=True)
        binds.append(f"--bind={place / 'data' / name}:/var/lib/{name}")
    argv = [
        "systemd-nspawn", "--quiet", f"--directory={root}", f"--machine={namespace(machine)}", f"--hostname={machine.name}",
        f"--network-namespace-path=/run/netns/{namespace(machine)}", "--register=no", "--keep-unit",
        "--kill-signal=SIGRTMIN+3", "--capability=CAP_NET_ADMIN", "--system-call-filter=@keyring bpf",
        "--resolv-conf=off", "--timezone=off", "--console=pipe", *binds, INIT,
    ]  # fmt: skip
    settings = {"name": machine.name, "group": bed.group, "memory": machine.memory, "cpu": machine.cpu, "argv": argv}
    write_private(place / "power.json", json.dumps(settings, indent=1) + "\n")
    with (place / "console.log").open("ab") as console:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlsysops_cli.testbed.nspawn.power", str(place / "power.json")],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True, cwd="/",
        )  # fmt: skip
    write_private(place / "power.pid", json.dumps(identity(process.pid)))
    return True


def wait_for_ssh(bed: Layout, machine: Machine, timeout: float = 60) -> None:
    """Wait until a host's SSH server introduces itself: that something accepts a connection says nothing.

    Raises:
        MlsError: The host went off again.
        Refused: This machine did not let it start.
        TimedOut: It does not answer in time.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if answers(bed.address(machine)):
            return
        if not running(bed, machine):
            said = _console(bed, machine)
            what = f"host {machine.name} went off while it started: {said}"
            if any(word in said for word in _FORBIDDEN):
                raise Refused(what, hint="systemd-nspawn needs a machine, or a container that is privileged")
            raise MlsError(what)
        time.sleep(0.05)
    raise TimedOut(f"host {machine.name} does not answer over SSH after {timeout:.0f} s: {_console(bed, machine)}")


def stop(bed: Layout, machine: Machine, timeout: float = 20) -> bool:
    """Shut a host down cleanly, and cut its power where it does not; return whether it was on."""
    pid = running(bed, machine)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    if not _wait_off(bed, machine, timeout):
        crash(bed, machine)
    return True


def crash(bed: Layout, machine: Machine) -> bool:
    """Cut a host's power: its disk stays as it is at this moment; return whether it was on.

    Raises:
        TimedOut: It does not go off.
    """
    pid = running(bed, machine)
    if pid is None:
        return False
    container = [child for nspawn in _children(pid) for child in _children(nspawn)]
    for victim in container or _children(pid) or [pid]:  # without its first process a container is gone at once
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    if not _wait_off(bed, machine, 10):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if not _wait_off(bed, machine, 5):
            raise TimedOut(f"host {machine.name} (process {pid}) does not go off")
    return True


def remove(bed: Layout, machine: Machine) -> None:
    """Remove a host that is off: disk, mount, network, control groups."""
    root = bed.root(machine)
    if root.is_mount():
        run("umount", str(root))
    remove_host(machine)
    cgroups.remove(bed.group, machine.name)
    if bed.place(machine).exists():
        run("rm", "-rf", "--one-file-system", str(bed.place(machine)))
    shutil.rmtree(Path("/run/systemd/nspawn/propagate", namespace(machine)), ignore_errors=True)


def _configure(bed: Layout, machine: Machine) -> None:
    """Write what makes a host this one; only where it is not there, so that a reboot finds its disk as it was."""
    etc = bed.root(machine) / "etc"
    if not (etc / "ssh/ssh_host_ed25519_key").exists():
        run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            machine.name,
            "-f",
            str(etc / "ssh/ssh_host_ed25519_key"),
        )
        (etc / "hostname").write_text(machine.name + "\n", encoding="ascii")
        names = [f"{bed.address(one)} {one.name}" for one in HOSTS]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", *names, ""]), encoding="ascii")
        if bed.isolated.exists():
            # Name servers beyond the private network would never answer, and whatever asks them would hang.
            (etc / "resolv.conf").write_text("# no name server: this host is isolated\n", encoding="ascii")
        else:
            shutil.copyfile("/etc/resolv.conf", etc / "resolv.conf")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:  # gone meanwhile
        return []


def _wait_off(bed: Layout, machine: Machine, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid = running(bed, machine)
        if pid is None:
            return True
        with contextlib.suppress(ChildProcessError):  # it may be ours, when one run both starts and stops it
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    return False


def _console(bed: Layout, machine: Machine) -> str:
    try:
        lines = (bed.place(machine) / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no console"
    said = (line.strip() for line in reversed(lines) if line.strip() and END not in line)
    return next(said, "nothing on its console")
