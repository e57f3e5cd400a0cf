"""Facts of a machine that descriptions name and Ansible's own facts lack or spell otherwise.

Standard library only: it runs with whatever Python a host has. What cannot be found out is left out.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
RUNTIMES = ("containerd", "docker")
_HYPERVISORS = ("qemu", "kvm", "vmware", "virtualbox", "innotek", "xen", "amazon ec2", "google", "openstack", "bochs")


def collect(root: str = "/") -> dict[str, Any]:
    """Return the facts of this machine.

    Args:
        root: Where ``/proc``, ``/sys`` and ``/etc`` are looked for.

    Returns:
        ``{"cpu": {"model", "architecture", "cores", "frequency": [Hz, …], "performance_indicator": BogoMIPS},
        "memory_bytes", "disk_bytes", "os", "node_type", "container_runtime": […], "python", "machine", "libc"}``
        without what is unknown.
    """
    base = Path(root)
    cpuinfo = _cpuinfo(base)
    facts: dict[str, Any] = {
        # What an environment for this machine has to fit.
        "python": platform.python_version(),
        "machine": machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu": _known(
            model=cpuinfo.get("model name"),
            architecture=ARCHITECTURES.get(platform.machine().lower()),
            cores=os.cpu_count(),
            frequency=_frequencies(base, cpuinfo.get("model name", "")),
            performance_indicator=_number(cpuinfo.get("bogomips")),
        ),
        "memory_bytes": _memory(base),
        "disk_bytes": shutil.disk_usage(base).total,
        "os": os_release(base).get("ID"),
        "node_type": _node_type(base, cpuinfo),
        "container_runtime": [name for name in RUNTIMES if shutil.which(name)],
    }
    return _known(**facts)


def machine(kernel: str = "", largest: int = sys.maxsize) -> str:
    """Return the processor that programs of this machine are for, as ``uname -m`` names it.

    Below a 64-bit kernel there may be a 32-bit system, as Raspberry Pi OS has it; then it is what such a kernel would say
    to a 32-bit program that asks for it (``setarch linux32``).

    Args:
        kernel: What the kernel says; this one's where empty.
        largest: Python's ``sys.maxsize``.
    """
    kernel = kernel or platform.machine()
    return "armv8l" if kernel in ("aarch64", "arm64") and largest < 2**32 else kernel


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\x00\n ")
    except OSError:  # a kernel without this file: the fact is unknown
        return ""


def _number(text: str | None) -> int | None:
    try:
        return int(float(text)) if text else None
    except ValueError:
        return None


def _cpuinfo(base: Path) -> dict[str, str]:
    """Return the first processor's lines of ``/proc/cpuinfo``, keys in lower case."""
    values: dict[str, str] = {}
    for line in _read(base / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip():
            values.setdefault(key.strip().lower(), value.strip())
    return values


def _frequencies(base: Path, model: str) -> list[int]:
    """Return the settable frequencies in Hz: all of them, or the range, or the one that the model's name states."""
    cpufreq = base / "sys/devices/system/cpu/cpu0/cpufreq"
    steps = _read(cpufreq / "scaling_available_frequencies").split()
    bounds = [_read(cpufreq / name) for name in ("cpuinfo_min_freq", "cpuinfo_max_freq")]
    kilohertz = steps or [bound for bound in bounds if bound]
    if kilohertz:
        return sorted({int(value) * 1000 for value in kilohertz})
    nominal = re.search(r"@\s*([0-9.]+)\s*GHz", model)
    return [round(float(nominal[1]) * 1e9)] if nominal else []


def _memory(base: Path) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read(base / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def os_release(base: Path) -> dict[str, str]:
    """Return what os-release(5) says of a system below a root."""
    text = _read(base / "etc/os-release") or _read(base / "usr/lib/os-release")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _node_type(base: Path, cpuinfo: dict[str, str]) -> str | None:
    if "flags" in cpuinfo:  # x86: the hypervisor sets CPUID leaf 1 ECX bit 31, which Linux shows as a flag
        return "virtualized" if "hypervisor" in cpuinfo["flags"].split() else "native"
    vendor = _read(base / "sys/class/dmi/id/sys_vendor").lower()
    if (base / "proc/device-tree/hypervisor").exists() or any(name in vendor for name in _HYPERVISORS):
        return "virtualized"
    return "native" if _read(base / "proc/device-tree/model") else None
