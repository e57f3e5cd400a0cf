"""The private network: one bridge, a network namespace and a veth pair for each host, NAT, and broken links.

Everything carries a name of ours, so that taking it down touches nothing else. The firewall rules are a table of ours
in nftables (https://wiki.nftables.org/).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_core.errors import Conflict

from mlsysops_cli.testbed.nspawn.layout import link, namespace
from mlsysops_cli.testbed.tools import run

if TYPE_CHECKING:
    from mlsysops_cli.testbed.model import Machine
    from mlsysops_cli.testbed.nspawn.layout import Layout

__all__ = [
    "add_host",
    "carrier",
    "made_here",
    "mend",
    "network_down",
    "network_up",
    "partition",
    "remove_host",
    "set_link",
]

#: Veth pairs over tunnels of the machine around ours lose big packets otherwise.
_MTU = "1400"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
#: Every systemd takes several inotify instances of root; the kernel's 128 are too few for five of them.
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_ENOUGH_INOTIFY = 1024


def made_here(bed: Layout) -> bool:
    """Whether the network is this testbed's, and not that of another user or home directory: all have the same names."""
    return (bed.directory / "kernel.json").is_file()


def network_up(bed: Layout, *, isolated: bool) -> None:
    """Make the bridge and, unless the hosts are to be cut off from the world, NAT.

    Raises:
        Conflict: Another network of this machine has the subnet, or somebody else's testbed is up.
    """
    if _link_exists(bed.bridge) and not made_here(bed):
        raise Conflict(
            f"a testbed of another user or home directory is up (interface {bed.bridge})",
            hint="whoever made it removes it with `mls testbed down`",
        )
    if not _link_exists(bed.bridge):
        _check_subnet(bed)
        run("ip", "link", "add", bed.bridge, "mtu", _MTU, "type", "bridge")
        run("ip", "address", "add", f"{bed.gateway}/24", "dev", bed.bridge)
        run("ip", "link", "set", bed.bridge, "up")
    _set_kernel(bed)
    rules = "" if isolated else f"ip saddr {bed.subnet} ip daddr != {bed.subnet} masquerade"
    guard = f"ip saddr {bed.subnet} ip daddr != {bed.subnet} drop" if isolated else ""
    table = f"table ip {bed.table}"
    run(
        "nft", "-f", "-",
        text=f"{table}\ndelete {table}\n{table} {{\n"
        f" chain forward {{ type filter hook forward priority 0; {guard}\n }}\n"
        f" chain post {{ type nat hook postrouting priority 100; {rules}\n }}\n}}\n",
    )  # fmt: skip


def network_down(bed: Layout) -> None:
    """Remove bridge, firewall tables, and what was changed in the kernel's settings."""
    run("ip", "link", "delete", bed.bridge, check=False)
    for family in ("ip", "bridge"):
        run("nft", "delete", "table", family, bed.table, check=False)
    saved = bed.directory / "kernel.json"
    if saved.is_file():
        for name, value in json.loads(saved.read_text(encoding="utf-8")).items():
            Path(name).write_text(value, encoding="ascii")
        saved.unlink()


def add_host(bed: Layout, machine: Machine) -> None:
    """Make a host's namespace, with its interface ``eth0`` on the bridge."""
    space = namespace(machine)
    if Path("/run/netns", space).exists() and _link_exists(link(machine)):
        return
    remove_host(machine)
    run("ip", "netns", "add", space)
    run(
        "ip",
        "link",
        "add",
        link(machine),
        "mtu",
        _MTU,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "mtu",
        _MTU,
        "netns",
        space,
    )
    run("ip", "link", "set", link(machine), "master", bed.bridge, "up")
    run("ip", "-n", space, "link", "set", "lo", "up")
    run("ip", "-n", space, "address", "add", f"{bed.address(machine)}/24", "dev", "eth0")
    run("ip", "-n", space, "link", "set", "eth0", "up")
    run("ip", "-n", space, "route", "add", "default", "via", bed.gateway)


def remove_host(machine: Machine) -> None:
    """Remove a host's interface and namespace."""
    run("ip", "link", "delete", link(machine), check=False)
    run("ip", "netns", "delete", namespace(machine), check=False)


def set_link(machine: Machine, *, up: bool) -> None:
    """Plug a host's cable in, or pull it."""
    run("ip", "link", "set", link(machine), "up" if up else "down")


def carrier(machine: Machine) -> bool:
    """Whether a host's cable is plugged in."""
    state = Path("/sys/class/net", link(machine), "flags")
    return state.is_file() and bool(int(state.read_text(encoding="ascii"), 16) & 1)  # IFF_UP


def partition(bed: Layout, one: Machine, other: Machine) -> None:
    """Let two hosts no longer reach each other; this machine still reaches both."""
    table = f"bridge {bed.table}"
    rules = "".join(
        f"add rule {table} forward iifname {link(a)} oifname {link(b)} drop\n" for a, b in ((one, other), (other, one))
    )
    run(
        "nft", "-f", "-",
        text=f"add table {table}\nadd chain {table} forward {{ type filter hook forward priority 0; }}\n{rules}",
    )  # fmt: skip


def mend(bed: Layout) -> None:
    """End every partition."""
    run("nft", "delete", "table", "bridge", bed.table, check=False)


def _link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def _check_subnet(bed: Layout) -> None:
    routes = json.loads(run("ip", "-json", "route", "show", "root", str(bed.subnet)).stdout or "[]")
    if routes:
        raise Conflict(
            f"subnet {bed.subnet} is in use on {routes[0].get('dev', 'this machine')}", hint="choose another --subnet"
        )


def _set_kernel(bed: Layout) -> None:
    """Allow forwarding and enough inotify instances; what was there before is written down first."""
    saved = bed.directory / "kernel.json"
    if not saved.is_file():
        before = {str(path): path.read_text(encoding="ascii").strip() for path in (_FORWARDING, _INOTIFY)}
        saved.write_text(json.dumps(before), encoding="utf-8")
    _FORWARDING.write_text("1", encoding="ascii")
    if int(_INOTIFY.read_text(encoding="ascii")) < _ENOUGH_INOTIFY:
        _INOTIFY.write_text(str(_ENOUGH_INOTIFY), encoding="ascii")
