"""Whether a host's system can carry a part of a slice: release, Python, init, kernel, memory, clock; and who it is.

Standard library only, and no syntax newer than Python 3.8. Every function takes the root of the file system to look at.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.mls_findings import Finding, fault, warning
from ansible.module_utils.mls_hardware import machine as own_machine
from ansible.module_utils.mls_hardware import os_release

__all__ = [
    "check_clock", "check_init", "check_kernel", "check_machine", "check_memory", "check_python", "check_release",
    "check_root", "identity",
]  # fmt: skip

#: Oldest releases that are supported, by ``ID`` of os-release(5).
RELEASES = {"debian": (11,), "raspbian": (11,), "ubuntu": (20, 4)}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "armhf", "armv8l": "armhf"}
#: Certificates made on one host are checked on another, and leases are compared; seconds.
CLOCK_TOLERANCE = 60.0
#: Modules without which k3s' network works only in part; each may be built in.
_NETWORK_MODULES = ("br_netfilter", "vxlan")


def check_python(minimum: str) -> list[Finding]:
    """Find a Python that is too old, or lacks a module of the standard library that Debian packages apart."""
    wanted = tuple(int(part) for part in minimum.split(".")[:2])
    if sys.version_info[:2] < wanted:
        found = f"Python {sys.version.split()[0]} is too old"
        return [fault("python", found, f"install {minimum} or newer, and set ansible_python_interpreter to it")]
    return []


def check_root() -> list[Finding]:
    """Find that nothing may be changed."""
    if os.geteuid() == 0:
        return []
    return [fault("root", "not root", "set ansible_become, or log in as root", "refused")]


def check_release(root: str = "/") -> list[Finding]:
    """Find a distribution that is not supported; one that is like a supported one is a warning."""
    said = os_release(Path(root))
    name = said.get("PRETTY_NAME") or said.get("ID") or "an unknown system"
    fix = "use Debian 11, Ubuntu 20.04 or newer"
    oldest = RELEASES.get(said.get("ID", ""))
    if oldest is None:
        like = [word for word in said.get("ID_LIKE", "").split() if word in RELEASES]
        if like:
            return [warning("system", f"{name} is not tested, though it is like {like[0]}", fix)]
        return [fault("system", f"{name} is not supported", fix)]
    version = tuple(int(part) for part in re.findall(r"\d+", said.get("VERSION_ID", "")))
    if version and version < oldest:  # testing and unstable have no number
        return [fault("system", f"{name} is too old", fix)]
    return []


def check_machine(machine: str = "", libc: str = "", *, part: str = "") -> list[Finding]:
    """Find a processor or a C library for which there are no programs.

    Args:
        machine: As ``uname -m`` says; this machine's where empty.
        libc: Its C library; this machine's where empty.
        part: ``control plane`` where the host shall run one of ours.
    """
    machine = machine or own_machine()
    libc = libc or platform.libc_ver()[0]
    found = []
    if machine not in MACHINES:
        found.append(fault("processor", f"processor {machine} is not supported", "amd64, arm64 or armhf"))
    elif part == "control plane" and MACHINES[machine] == "armhf":
        what = "there is no control plane of the embedded engine for armhf"  # nobody builds CEL for it
        found.append(fault("processor", what, "make the host a worker, or take one with amd64 or arm64"))
    if libc != "glibc":
        found.append(fault("C library", "the C library is not glibc", "use Debian or Ubuntu"))
    return found


def check_init(root: str = "/") -> list[Finding]:
    """Find that systemd does not run the host."""
    if _read(Path(root) / "proc/1/comm") == "systemd":
        return []
    return [fault("init", "systemd does not run this host", "hosts over SSH need it: boot the host with systemd")]


def check_kernel(engine: str, root: str = "/") -> list[Finding]:
    """Find what the kernel lacks: control groups for limits of pods; for k3s also overlay mounts and its network."""
    base = Path(root)
    missing = sorted({"cpu", "memory", "pids"} - _controllers(base))
    found = []
    if missing:
        what = "the kernel has no control group for {}: pods are not limited".format(", ".join(missing))
        fix = "add cgroup_enable=memory cgroup_memory=1 to the kernel's command line and reboot"
        found.append(fault("kernel", what, fix) if engine == "k3s" else warning("kernel", what, fix))
    if engine != "k3s":
        return found
    if not _feature(base, "overlay"):
        found.append(fault("kernel", "the kernel has no overlay file system", "install a kernel with module overlay"))
    lacking = [name for name in _NETWORK_MODULES if not _feature(base, name)]
    if lacking:
        what = "the kernel seems to lack {}: pods on other nodes may not be reached".format(", ".join(lacking))
        found.append(warning("kernel", what, "install linux-modules-extra or a kernel that has them"))
    return found


def check_memory(wanted: int, root: str = "/") -> list[Finding]:
    """Find too little memory in bytes, in the machine or in the control group that holds the whole host."""
    base = Path(root)
    said = re.search(r"^MemTotal:\s+(\d+) kB", _read(base / "proc/meminfo"), re.MULTILINE)
    amounts = [int(said.group(1)) * 1024] if said else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(base / "sys/fs/cgroup" / name)
        amounts += [int(text)] if text.isdigit() else []
    if not amounts or min(amounts) >= wanted:
        return []
    found = f"{min(amounts) // 2**20} MiB of memory, its part of the slice needs {wanted // 2**20} MiB"
    return [fault("memory", found, "give the host more, or another role")]


def check_clock(now: float) -> list[Finding]:
    """Find a clock that differs from the control node's.

    Args:
        now: The control node's, seconds since 1970; 0 checks nothing.
    """
    skew = time.time() - now
    if not now or abs(skew) <= CLOCK_TOLERANCE:
        return []
    found = "the clock is {:.0f} s {} the control node's".format(abs(skew), "ahead of" if skew > 0 else "behind")
    return [fault("clock", found, "set the one that is wrong, and keep it with NTP (timedatectl set-ntp true)")]


def identity(root: str = "/") -> dict[str, Any]:
    """Return what must be unique in a slice: ``hostname``, ``machine_id`` and ``boot_id``; empty where unknown."""
    base = Path(root)
    return {
        "hostname": socket.gethostname() if root == "/" else _read(base / "etc/hostname"),
        "machine_id": _read(base / "etc/machine-id"),
        "boot_id": _read(base / "proc/sys/kernel/random/boot_id"),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # a kernel or a system without it
        return ""


def _controllers(base: Path) -> set[str]:
    """Return the controllers of control groups, version 2 (cgroup.controllers) and version 1 (/proc/cgroups)."""
    unified = set(_read(base / "sys/fs/cgroup/cgroup.controllers").split())
    rows = [row.split() for row in _read(base / "proc/cgroups").splitlines() if not row.startswith("#")]
    legacy = {row[0] for row in rows if len(row) == 4 and row[3] == "1"}
    # Enabled ones of version 1 count where they are mounted; with version 2 alone /proc/cgroups says nothing.
    return unified | {name for name in legacy if (base / "sys/fs/cgroup" / name).exists()}


def _feature(base: Path, module: str) -> bool:
    """Whether the kernel has a module: in use, built in, or to be loaded."""
    if (base / "sys/module" / module).exists() or module in _read(base / "proc/filesystems").split():
        return True
    place = base / "lib/modules" / platform.release()
    name = f"/{module}.ko"
    return any(name in _read(place / file).replace("-", "_") for file in ("modules.builtin", "modules.dep"))
