"""Who listens on a TCP port of this machine, read off ``/proc``."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from pathlib import Path

__all__ = ["listener", "own", "owner", "pod", "taken", "unit"]

_LISTEN = "0A"


def own(address: str) -> bool:
    """Whether this machine can listen on an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def taken(address: str, port: int) -> bool:
    """Whether binding the address and port fails because somebody holds them."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def listener(address: str, port: int) -> int | None:
    """Return the inode of the socket that listens on the address and port, or on all addresses.

    Of the address that stands for all (``0.0.0.0``), any socket that listens on the port will do.
    """
    wanted = ipaddress.ip_address(address)
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, _, hex_port = fields[1].partition(":")
            if fields[3] != _LISTEN or int(hex_port, 16) != port:
                continue
            bound = _address(local)
            if bound == wanted or 0 in (int(bound), int(wanted)):
                return int(fields[9])
    return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # The kernel prints 32-bit words in the machine's byte order.
    packed = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    found = ipaddress.ip_address(packed)
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def owner(inode: int) -> tuple[int, str] | None:
    """Return process id and command line of a socket's owner; None where it cannot be read."""
    wanted = f"socket:[{inode}]"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            for descriptor in (entry / "fd").iterdir():
                if str(descriptor.readlink()) == wanted:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                    return int(entry.name), command[:120]
        except OSError:  # gone meanwhile, or another user's
            continue
    return None


def unit(pid: int) -> str:
    """Return the systemd unit of a process (``x.service``); empty where it has none."""
    return next((word for word in _groups(pid) if word.endswith(".service")), "")


def pod(pid: int) -> bool:
    """Whether a process is a pod's: kubelets keep those in control groups below ``kubepods`` (``kubepods.slice`` of systemd)."""
    return any(word in ("kubepods", "kubepods.slice") for word in _groups(pid))


def _groups(pid: int) -> list[str]:
    """Return the parts of the names of a process's control groups."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone meanwhile
        return []
    return [word for line in groups.splitlines() for word in line.split(":", 2)[-1].split("/")]
